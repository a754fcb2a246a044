"""Clients that send too much or read too little cost the others nothing."""

import json

import protocol
from protocol import messages

CHUNK = 65536


def large_ping(number):
    """A ping with 40 000 fields that nobody knows: 0.9 MB of JSON."""
    (frame,) = protocol.encode(messages.Ping(), id=f"big{number}")
    header = json.loads(bytes(frame))
    header["body"] = {f"field_{n:012}": n for n in range(35_000)}
    return json.dumps(header).encode()


def test_large_headers_do_not_hold_up_what_the_workers_report(make_server, connect):
    peer = connect(make_server())
    peer.until_running(peer.submit(steps=0).job)
    data = large_ping(0)
    assert 800_000 < len(data) < protocol.codec.MAX_HEADER_BYTES
    steps_between = 0
    for _ in range(20):  # where other programs hold up the worker, it steps in a later round
        for _ in range(40):
            peer.socket.send(data)
        replies = 0
        while replies < 40:
            message = peer.receive().message
            replies += isinstance(message, messages.Pong)
            steps_between += isinstance(message, messages.Progress) and 0 < replies < 40
        if steps_between >= 3:
            break
    assert steps_between >= 3


def test_a_client_that_does_not_read_is_not_remembered_for_ever(make_server, connect):
    server = make_server("--chunk", str(CHUNK))
    rude, other = connect(server, "same", rcvhwm=1), connect(server, "same")
    blob = rude.upload(bytes(CHUNK))
    job = other.submit(steps=0).job
    other.until_running(job)
    for number in range(1500):
        rude.send(messages.BlobGet(sha256=blob.sha256, offset=0, length=CHUNK), f"get{number}")
    rude.send(messages.Cancel(job=job), "last")
    other.until_state(job, "cancelled")  # by then all 1500 have been answered, or left out
    got, message = 0, None
    while not isinstance(message, messages.Pong):
        # A reply may be left out too while the queue is full: an unanswered ping is sent again
        if not rude.socket.poll(500):
            rude.send(messages.Ping(), "end")
        message = rude.receive().message
        got += isinstance(message, messages.BlobData)
    assert 0 < got < 700  # 64 of the server's and what the system's buffers hold, not all 1500
    # It has lost pushes and replies. What it asks for next is answered.
    assert rude.ask(messages.GetState(job=job)).state == "cancelled"
