"""Handshake, heartbeat, limits, and what malformed frames do: nothing."""

import json
import random

import pytest

import protocol
from protocol import messages


def test_a_hello_is_answered_with_limits_and_engines(shared_server, connect):
    welcome = connect(shared_server).welcome
    assert welcome.product == "levitor"
    assert welcome.limits.chunk_bytes == 65536
    assert [engine.name for engine in welcome.engines] == ["scripted"]


def test_a_ping_is_answered_with_a_pong(shared_server, connect):
    assert connect(shared_server).ask(messages.Ping()) == messages.Pong()


def test_nothing_is_answered_before_a_hello(shared_server, connect):
    reply = connect(shared_server, hello=False).ask(messages.GetState(job="x"))
    assert reply.code == "hello_first"


def test_a_client_without_a_proper_name_is_refused(shared_server, connect):
    peer = connect(shared_server, hello=False)
    reply = peer.ask(messages.Hello(client="../../etc", product="test"))
    assert isinstance(reply, messages.Refusal)
    assert reply.code == "client"


def with_major(major, message, request):
    frames = protocol.encode(message, id=request)
    header = json.loads(bytes(frames[0]))
    header["levitor"] = [major, 4]
    return [json.dumps(header).encode(), *frames[1:]]


@pytest.mark.parametrize(
    ("offset", "update"),
    [
        pytest.param(1, "Update the LeviTor server.", id="the client is newer"),
        pytest.param(-1, "Update the LeviTor extension in Blender.", id="the client is older"),
    ],
)
def test_another_major_is_refused_with_both_versions(shared_server, connect, offset, update):
    ours = protocol.VERSION[0]
    peer = connect(shared_server, hello=False)
    hello = messages.Hello(client="tester", product="test")
    peer.socket.send_multipart(with_major(ours + offset, hello, "r1"))
    reply = peer.receive()
    assert reply.re == "r1"
    assert reply.message.code == "version"
    assert f"{ours}.{protocol.VERSION[1]}" in reply.message.sentence
    assert f"{ours + offset}.4" in reply.message.sentence
    assert reply.message.fix == update


def test_a_request_of_another_major_is_refused_too(shared_server, connect):
    peer = connect(shared_server)
    peer.socket.send_multipart(with_major(protocol.VERSION[0] + 1, messages.Ping(), "r1"))
    reply = peer.receive()
    assert (reply.re, reply.message.code) == ("r1", "version")
    assert isinstance(reply.message, messages.Refusal)


def test_a_request_of_an_unknown_type_is_answered_by_its_id(shared_server, connect):
    peer = connect(shared_server)
    (frame,) = protocol.encode(messages.Ping(), id="r1")
    peer.socket.send(bytes(frame).replace(b'"ping"', b'"warp"'))
    reply = peer.receive()
    assert (reply.re, reply.message.code) == ("r1", "type")
    assert reply.message.fix


def test_a_reply_sent_as_a_request_is_an_error(shared_server, connect):
    assert connect(shared_server).ask(messages.Pong()).code == "type"


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([b""], id="an empty frame"),
        pytest.param([b"not json"], id="no JSON"),
        pytest.param([b"[]"], id="JSON that is no object"),
        pytest.param([b'{"levitor":[1,0],"type":"warp"}'], id="an unknown type"),
        pytest.param([b'{"levitor":[1,0],"type":"ping","body":{}}', b"x"], id="a frame too many"),
    ],
)
def test_frames_that_cannot_be_read_are_answered_with_a_sentence(shared_server, connect, frames):
    peer = connect(shared_server)
    peer.socket.send_multipart(frames)
    reply = peer.receive().message
    assert isinstance(reply, messages.Error)
    assert reply.sentence
    assert peer.ask(messages.Ping()) == messages.Pong()


def test_ten_thousand_random_messages_leave_the_server_answering(shared_server, connect):
    dice = random.Random(2)
    stranger, peer = connect(shared_server), connect(shared_server)
    good = [bytes(frame) for frame in protocol.encode(messages.GetState(job="job"), id="id")]
    for number in range(10_000):
        if number % 2:
            frames = [dice.randbytes(dice.randrange(40)) for _ in range(dice.randrange(1, 4))]
        else:
            changed = bytearray(good[0])
            changed[dice.randrange(len(changed))] = dice.randrange(256)
            frames = [bytes(changed), *good[1:]]
        stranger.socket.send_multipart(frames)
        if number % 1000 == 0:
            assert peer.ask(messages.Ping()) == messages.Pong()
    # Of the answers that it has not read, the server may have left some out, this one's too
    assert stranger.ask_until_answered(messages.Ping()) == messages.Pong()
    assert shared_server.process.poll() is None


def test_an_oversized_frame_costs_the_connection_and_not_the_server(shared_server, connect):
    peer, rude = connect(shared_server), connect(shared_server)
    rude.socket.send(bytes(rude.welcome.limits.frame_bytes + 1))
    assert peer.ask(messages.Ping()) == messages.Pong()
    # Its socket comes back by itself, as somebody who has not said hello.
    assert rude.ask(messages.Ping()).code == "hello_first"
