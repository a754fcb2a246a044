"""Nothing that a client, a path or an environment holds ends the loop, nor does a bug in it."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import types

import pytest
import zmq

import protocol
from backend.server import app
from protocol import messages
from tests.server.support import PATIENCE, ROOT, SHOT, scripted_shot, wait_for

HALF = "\ud800"
TIMES = 3


class Fault:
    """Makes a function raise in the server's thread, a number of times once it is armed."""

    def __init__(self, server, monkeypatch, owner, name, which=None):
        self.left, self.thrown = 0, 0
        real = getattr(owner, name)

        def faulty(*arguments, **keywords):
            mine = which is None or arguments[0] is which
            if self.left and mine and threading.current_thread() is server.thread:
                self.left -= 1
                self.thrown += 1
                raise RuntimeError(f"scripted fault in {name}")
            return real(*arguments, **keywords)

        monkeypatch.setattr(owner, name, faulty)


PLACES = {
    "wait": lambda server: (zmq.Poller, "poll"),
    "receive": lambda server: (zmq.Socket, "recv_multipart", server._socket),
    "decode": lambda server: (protocol, "decode"),
    "reply": lambda server: (server, "_reply"),
    "encode": lambda server: (protocol, "encode"),
    "send": lambda server: (zmq.Socket, "send_multipart", server._socket),
    "publish": lambda server: (server._jobs, "_publish"),
    "receive from workers": lambda server: (zmq.Socket, "recv_multipart", server._workers.socket),
    "send to workers": lambda server: (zmq.Socket, "send_multipart", server._workers.socket),
    "worker events": lambda server: (server._workers, "poll_events"),
    "check workers": lambda server: (server._workers, "_check_worker"),
    "handle an event": lambda server: (server._jobs, "handle_event"),
    "finish a job": lambda server: (server._jobs, "_finish"),
    "complete an upload": lambda server: (server._uploads, "completed"),
    "dispatch": lambda server: (server._jobs, "dispatch"),
    "start a job": lambda server: (server._jobs, "_start"),
    "write the store": lambda server: (server._store, "save"),
    "delete what expired": lambda server: (server._jobs, "delete_expired"),
}


@pytest.mark.parametrize("place", PLACES)
def test_whatever_raises_in_the_loop_clients_are_answered_and_later_jobs_run(
    place, make_server_here, connect, monkeypatch
):
    monkeypatch.setattr(app, "ERROR_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(app, "CLEANUP_SECONDS", 0.0)
    server = make_server_here("--cancel-seconds", "0.5", "--stall-seconds", "5")
    peer = connect(server)
    peer.submit()  # its files are there from now on
    fault = Fault(server, monkeypatch, *PLACES[place](server.server))
    fault.left = TIMES
    pong = peer.ask_until_answered(messages.Ping(), silence=0.3)
    assert pong == messages.Pong() or pong.code == "internal"

    def ends():
        reply = peer.ask_until_answered(messages.RenderRequest(shot=scripted_shot()), silence=0.3)
        if isinstance(reply, messages.Error):
            assert reply.code == "internal"
            return False
        return wait_for(lambda: end_of(peer, reply.job), "the job to end")

    # What the fault hits may fail, but nothing stays for ever
    wait_for(lambda: ends() == "done" and not fault.left, f"a job after a fault in {place}")
    assert fault.thrown == TIMES
    assert server.thread.is_alive()


def end_of(peer, job):
    state = peer.ask_until_answered(messages.GetState(job=job), silence=0.3)
    if isinstance(state, messages.Error):
        assert state.code == "internal"
        return None
    assert state.state != "unknown"
    return state.state if state.state in messages.FINAL_STATES else None


@pytest.mark.parametrize("name", ["o" + HALF, "o\udcff", "o" * 900_000])
def test_an_option_whose_name_is_no_text_or_very_long_is_refused_and_the_server_lives(
    make_server, connect, name
):
    server = make_server()
    peer = connect(server)
    peer.submit()
    frames = protocol.encode(messages.RenderRequest(shot=scripted_shot()), id="r1")
    header = json.loads(frames[0])
    header["body"]["shot"]["options"] = {name: [1] if len(name) > 9 else 1}
    peer.socket.send_multipart([json.dumps(header).encode(), *frames[1:]])
    while (reply := peer.receive()).re != "r1":
        pass
    assert isinstance(reply.message, messages.Error)
    assert 0 < len(reply.message.sentence) < 1000
    assert peer.ask(messages.Ping()) == messages.Pong()


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        pytest.param(b"/mnt/w\xff", r"/mnt/w\xff", id="bytes that are no text"),
        pytest.param(b"/mnt/w\xc3\xa9", "/mnt/wé", id="a letter with an accent"),
        pytest.param(b"/mnt/" + b"w" * 5000, "", id="a name that no disk takes"),
        pytest.param(b"/proc/self/mem/w", "/proc/self/mem/w", id="a file as a folder"),
    ],
)
def test_a_place_of_weights_that_no_disk_or_text_can_be_leaves_the_server_answering(
    tmp_path, connect, weights, told
):
    state = os.fsdecode(os.fsencode(tmp_path) + b"/state\xff")
    command = [sys.executable, "-m", "backend", "serve", "--port", "0", "--state", state]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "HF_HOME": str(tmp_path), "LC_ALL": "C"}
            | {"LEVITOR_WEIGHTS": os.fsdecode(weights)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        endpoint = re.search(r"tcp://\S+", process.stdout.readline())[0]
        peer = connect(types.SimpleNamespace(endpoint=endpoint))
        levitor = next(e for e in peer.welcome.engines if e.name == "levitor")
        assert levitor.missing
        assert told in levitor.missing
        refused = peer.ask(messages.RenderRequest(shot=dataclasses.replace(SHOT, engine="levitor")))
        assert isinstance(refused, messages.Error)
        assert told in refused.sentence
        assert peer.ask(messages.Ping()) == messages.Pong()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
