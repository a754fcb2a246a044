"""The supervisor by itself: workers that cannot be started, and unknown peers on its socket."""

import subprocess
import sys

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

import protocol
from backend.server import supervisor as module
from backend.server.settings import ServerSettings
from backend.server.supervisor import JobStopped, Supervisor, WorkerUnavailable
from backend.server.worker import EXIT_DEVICE_FAILED
from protocol.messages import Limits, Refusal
from protocol.messages import State as StateMessage
from tests.server.support import PATIENCE

MILLISECONDS = int(PATIENCE * 1000)


@pytest.fixture
def supervisor(tmp_path):
    """A supervisor whose workers cannot be started: their command line has 4 MB."""
    context = zmq.Context()
    settings = ServerSettings(
        state=tmp_path, handlers="x" * 4_000_000, limits=Limits(frame_bytes=1000, chunk_bytes=100)
    )
    one = Supervisor(context, settings)
    yield one
    one.stop()
    context.destroy(linger=0)


@pytest.fixture
def unknown_peer(supervisor):
    """A peer on the supervisor's socket that is not one of its workers."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(supervisor.socket.getsockopt_string(zmq.LAST_ENDPOINT))
        yield socket


def test_workers_that_cannot_be_started_are_given_up_and_tried_again_when_wanted(supervisor):
    supervisor.start()
    assert supervisor.poll_events() == [
        WorkerUnavailable(role="interactive"),
        WorkerUnavailable(role="render"),
    ]
    assert supervisor.poll_events() == []
    supervisor.ensure_started("render")
    assert supervisor.poll_events() == [WorkerUnavailable(role="render")]
    assert not supervisor.is_idle("render")


def test_300_messages_take_three_calls_so_that_the_clients_get_their_turn(supervisor, unknown_peer):
    for _ in range(300):
        unknown_peer.send(b"no token")
    for _ in range(3):
        assert supervisor.socket.poll(MILLISECONDS)
        assert supervisor.poll_events() == []


def test_a_frame_of_a_byte_too_many_costs_its_sender_the_connection(supervisor, unknown_peer):
    with unknown_peer.get_monitor_socket(zmq.EVENT_DISCONNECTED) as watch:
        unknown_peer.send(bytes(1001))
        assert watch.poll(MILLISECONDS)
        assert recv_monitor_message(watch)["event"] == zmq.EVENT_DISCONNECTED
        assert not supervisor.socket.poll(0)
        unknown_peer.disable_monitor()


def exited(supervisor, code):
    """The render worker, which worked on job j and has just exited."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"raise SystemExit({code})"], stdin=subprocess.PIPE
    )
    process.wait(PATIENCE)
    worker = module._Worker(role="render", process=process, token=b"secret", ready=True, job="j")
    supervisor._workers["render"] = worker
    supervisor._exits["render"] = module.MAX_CONSECUTIVE_EXITS  # it is not started again here


def test_what_a_worker_said_of_its_failed_device_is_heard_though_it_comes_after_its_exit(
    supervisor, unknown_peer
):
    exited(supervisor, EXIT_DEVICE_FAILED)
    assert supervisor.poll_events() == []
    state = StateMessage(job="j", seq=0, state="failed", code="device", sentence="It failed.")
    for message in (Refusal(code="device", sentence="It failed."), state):
        unknown_peer.send_multipart([b"secret", *protocol.encode(message)])
    found = []
    while not found:  # the two messages may arrive one after the other
        assert supervisor.socket.poll(MILLISECONDS)
        found = [one for one in supervisor.poll_events() if isinstance(one, JobStopped)]
    (stopped,) = found
    assert (stopped.job, stopped.state, stopped.code) == ("j", "failed", "device")


@pytest.mark.parametrize(
    ("code", "seconds"),
    [
        pytest.param(EXIT_DEVICE_FAILED, 0.0, id="a failed device, of which nothing came"),
        pytest.param(1, module.LAST_MESSAGE_SECONDS, id="any other exit"),
    ],
)
def test_a_worker_that_said_nothing_fails_its_job(supervisor, monkeypatch, code, seconds):
    monkeypatch.setattr(module, "LAST_MESSAGE_SECONDS", seconds)
    exited(supervisor, code)
    found = []
    while not found:
        found = supervisor.poll_events()
    assert isinstance(found[0], JobStopped)
    assert found[0].code == "worker_died"
