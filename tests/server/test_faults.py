"""What ends, hangs or runs out, and what is promised then. Every next job works."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys

import pytest
import zmq

import protocol
from backend.engines.base import LOADING, QUIET_PHASES
from backend.server.worker import ENDPOINT, EXIT_DEVICE_FAILED, TOKEN
from protocol import messages
from tests.server.support import HERE, PATIENCE, ROOT, scripted_shot, wait_for


def end_of(peer, job):
    return peer.until(
        lambda m: isinstance(m, messages.State) and m.job == job and m.state in ("done", "failed"),
        f"the end of job {job}",
    )


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("end", "code", "part"),
    [
        pytest.param("shot_error", "too_dark", "The photo is black.", id="the artist can mend it"),
        pytest.param("memory", "out_of_memory", "wanted 9 GB", id="memory"),
        pytest.param("cuda_memory", "out_of_memory", "wanted 90 GB", id="the device's memory"),
        pytest.param("torch_memory", "out_of_memory", "1125899.9 GB", id="torch's memory"),
        pytest.param("cv2_memory", "out_of_memory", "281475.0 GB", id="OpenCV's memory"),
        pytest.param("exit", "worker_died", "exit code 3", id="the worker exits"),
        pytest.param("kill", "worker_died", "signal 9", id="the worker is killed"),
    ],
)
def test_a_failed_job_says_why_and_the_next_one_works(shared_server, connect, end, code, part):
    peer = connect(shared_server)
    failed = end_of(peer, peer.submit(end=end).job)
    assert (failed.state, failed.code) == ("failed", code)
    assert part in failed.sentence
    assert failed.fix
    assert end_of(peer, peer.submit().job).state == "done"


def test_a_bug_is_logged_once_with_the_name_that_the_client_is_told(make_server, connect):
    server = make_server()
    peer = connect(server)
    failed = end_of(peer, peer.submit(end="bug").job)
    assert failed.code == "internal"
    name = failed.sentence.split("error ")[1].rstrip(").")
    assert server.log().count(name) == 1
    assert server.log().count("KeyError: 'scripted'") == 1


@pytest.mark.parametrize("phase", sorted(QUIET_PHASES))
def test_a_job_that_loads_or_compiles_is_quiet_for_longer_than_a_step_may_take(
    make_server, connect, extension, tmp_path, phase
):
    server, gate = make_server("--stall-seconds", "1"), tmp_path / "gate"
    peer = connect(server)
    quiet = peer.submit(phase=phase, silent=str(gate)).job
    peer.until_running(quiet)
    assert peer.ask(messages.GetState(job=quiet)).phase == phase
    # One that began later, in the other worker, is found to hang; the quiet one is not
    one = extension(server)
    failed = one.until_end(one.lift(phase="depth", silent=str(gate)))
    assert (failed.code, failed.sentence) == ("stalled", "No step was made for 1 s (depth).")
    assert "--stall-seconds" in failed.fix
    assert peer.ask(messages.GetState(job=quiet)).state == "running"
    gate.touch()
    assert end_of(peer, quiet).state == "done"


def test_loading_that_never_ends_is_found_too(make_server, connect):
    server = make_server("--stall-seconds", "0.1", "--quiet-seconds", "0.5")
    peer = connect(server)
    failed = end_of(peer, peer.submit(phase=LOADING, silent="/nowhere").job)
    assert (failed.code, failed.sentence) == (
        "stalled",
        "No step was made for 0.5 s (loading weights).",
    )


def test_after_loading_a_step_that_never_ends_is_found_by_the_limit_for_steps(make_server, connect):
    peer = connect(make_server("--stall-seconds", "0.5"))
    failed = end_of(peer, peer.submit(phase=LOADING, steps=1, end="hang").job)
    assert (failed.code, failed.sentence) == ("stalled", "No step was made for 0.5 s (step).")


@pytest.mark.parametrize(
    ("end", "code", "part"),
    [
        ("illegal_access", "device", "an illegal memory access was encountered"),
        ("device_assert", "device", "device-side assert triggered"),
        ("launch_failure", "device", "unspecified launch failure"),
        ("told_as_shot_error", "odd", "The engine explains it."),
        ("device_gone", "device", "a consequence that does not name its cause"),
    ],
)
def test_a_worker_whose_device_failed_is_replaced_before_the_next_job(
    make_server, connect, tmp_path, end, code, part
):
    server, gate = make_server(), tmp_path / "gate"
    peer = connect(server)
    first = server.worker("render")
    # In the queue when it happens, so a worker that is not replaced at once would get them
    bad = [peer.submit(until=str(gate), end=end).job, peer.submit(end=end).job]
    good = [peer.submit().job for _ in range(3)]
    gate.touch()
    for job in bad:
        failed = end_of(peer, job)
        assert (failed.state, failed.code) == ("failed", code)
        assert part in failed.sentence
        assert failed.fix
    assert [end_of(peer, job).state for job in good] == ["done"] * 3
    wait_for(lambda: not alive(first), "the first worker to be gone")
    assert peer.ask(messages.Ping()) == messages.Pong()


def test_a_worker_whose_device_failed_ends_by_itself(tmp_path):
    """Also where nobody ends it: the loop may hang or be gone."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as loop:
        port = loop.bind_to_random_port("tcp://127.0.0.1")
        told = {ENDPOINT: f"tcp://127.0.0.1:{port}", TOKEN: "t"}
        paths = os.pathsep.join([str(ROOT), str(HERE)])
        command = [sys.executable, "-m", "backend.server.worker", "--role", "render"]
        with subprocess.Popen(
            [*command, "--blobs", str(tmp_path / "blobs"), "--handlers", "scripted"],
            env={**os.environ, "PYTHONPATH": paths, **told},
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as worker:
            address = loop.recv_multipart()[0]
            script = scripted_shot(steps=1, end="illegal_access")
            loop.send_multipart(
                [address, *protocol.encode(messages.RenderRequest(shot=script), id="j")]
            )
            assert worker.wait(PATIENCE) == EXIT_DEVICE_FAILED
        kinds = [type(protocol.decode(loop.recv_multipart()[2:]).message) for _ in range(3)]
        assert kinds == [messages.Progress, messages.Refusal, messages.State]


def test_a_worker_killed_from_outside_fails_its_job_and_is_replaced(make_server, connect):
    server = make_server()
    peer = connect(server)
    job = peer.submit(steps=0).job
    peer.until_running(job)
    os.kill(server.worker("render"), signal.SIGKILL)
    assert end_of(peer, job).code == "worker_died"
    assert peer.ask(messages.Ping()) == messages.Pong()
    assert end_of(peer, peer.submit().job).state == "done"


def test_a_worker_that_hangs_on_cancel_is_replaced_and_the_job_cancelled(
    make_server, connect, tmp_path
):
    server, past = make_server("--cancel-seconds", "0.3"), tmp_path / "past"
    peer = connect(server)
    job = peer.submit(steps=1, end="hang", past=str(past)).job
    wait_for(past.exists, "the worker to hang")
    before = server.worker("render")
    assert peer.ask(messages.Cancel(job=job)).state == "cancel_requested"
    assert peer.ask(messages.Ping()) == messages.Pong()
    peer.until_state(job, "cancelled")
    assert end_of(peer, peer.submit().job).state == "done"
    assert server.worker("render") != before
    wait_for(lambda: not alive(before), "the hung worker to be gone")


def test_a_worker_that_makes_no_step_is_replaced_and_the_job_failed(make_server, connect):
    server = make_server("--stall-seconds", "0.5")
    peer = connect(server)
    assert end_of(peer, peer.submit(steps=1, end="hang").job).code == "stalled"
    # On a busy machine half a second may be too short for a good job too
    wait_for(lambda: end_of(peer, peer.submit().job).state == "done", "a job after it to be done")


def test_workers_that_never_start_are_given_up_and_tried_again_for_a_new_job(
    make_server, connect, tmp_path
):
    allowed = tmp_path / "allowed"
    server = make_server(SCRIPTED_START=str(allowed))
    peer = connect(server)
    failed = end_of(peer, peer.submit().job)
    assert failed.code == "worker_died"
    assert "does not start" in failed.sentence
    wait_for(lambda: not server.workers(), "the server to stop trying")
    allowed.touch()
    assert end_of(peer, peer.submit().job).state == "done"


def test_a_killed_server_leaves_its_job_interrupted_and_its_queue_runs_on(
    make_server, connect, tmp_path
):
    server, ran = make_server(), tmp_path / "ran"
    peer = connect(server)
    running = peer.submit(steps=0).job
    peer.until_running(running)
    queued = [peer.submit(request=f"q{n}", ran=str(ran)).job for n in range(3)]
    peer.ask(messages.Cancel(job=queued.pop(1)))
    stopping = peer.ask(messages.GetState(job=running))
    assert stopping.state == "running"
    workers = server.workers()
    server.stop()
    wait_for(lambda: not any(map(alive, workers.values())), "the workers to end by themselves")

    peer = connect(server.again())
    found = peer.ask(messages.GetState(job=running))
    assert (found.state, found.code) == ("interrupted", "interrupted")
    assert peer.ask(messages.Fetch(job=running)).code == "no_result"
    for job in queued:
        wait_for(lambda j=job: peer.ask(messages.GetState(job=j)).state == "done", "queued jobs")
    assert ran.read_text().split() == queued
    assert not list((server.state / "blobs" / "incoming").iterdir())


def test_a_server_killed_while_it_stops_a_job_leaves_it_cancelled(make_server, connect, tmp_path):
    server, past = make_server("--cancel-seconds", "60"), tmp_path / "past"
    peer = connect(server)
    job = peer.submit(steps=1, end="hang", past=str(past)).job
    wait_for(past.exists, "the worker to hang")
    assert peer.ask(messages.Cancel(job=job)).state == "cancel_requested"
    server.stop()
    assert connect(server.again()).ask(messages.GetState(job=job)).state == "cancelled"


def test_a_result_outlives_the_server(make_server, connect):
    server = make_server()
    peer = connect(server)
    accepted = peer.submit(request="kept")
    peer.until_state(accepted.job, "done")
    server.stop()
    peer = connect(server.again())
    assert peer.submit(request="kept") == accepted
    result = peer.ask(messages.Fetch(job=accepted.job))
    blob = messages.BlobGet(sha256=result.video.sha256, offset=0, length=5)
    assert peer.ask(blob).data.tobytes() == b"video"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_server_and_workers_with_code_0(make_server, connect, number):
    server = make_server()
    peer = connect(server)
    job = peer.submit(steps=1, end="hang").job
    peer.until_running(job)
    workers = [server.worker(role) for role in ("interactive", "render")]
    assert server.end(number) == 0
    assert not any(map(alive, workers))
    assert not (server.state / "connection.json").exists()
    peer.until_state(job, "interrupted")


def test_the_connection_file_is_private_and_names_endpoint_and_process(make_server):
    server = make_server()
    path = server.state / "connection.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "endpoint": server.endpoint,
        "pid": server.process.pid,
    }


def serve(*arguments):
    return subprocess.run(
        [sys.executable, str(HERE / "launch.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_taken_port_is_one_sentence_and_touches_no_file(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = serve("--port", str(port), "--state", str(tmp_path / "state"))
    assert ended.returncode == 1
    assert ended.stdout == ""
    (sentence,) = ended.stderr.splitlines()
    assert f"Port {port} is taken" in sentence
    assert "another --port" in sentence
    assert not (tmp_path / "state").exists()


def test_a_second_server_names_the_first_and_leaves_its_store_alone(make_server, connect):
    server = make_server()
    ended = serve("--state", str(server.state))
    assert ended.returncode == 1
    (sentence,) = ended.stderr.splitlines()
    assert "is in use" in sentence
    assert f"process {server.process.pid}" in sentence
    peer = connect(server)
    assert end_of(peer, peer.submit().job).state == "done"


def test_a_store_of_a_newer_server_is_refused_with_both_formats(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    ended = serve("--state", str(tmp_path))
    assert ended.returncode == 1
    assert "format 9" in ended.stderr
    assert "up to 1" in ended.stderr


def test_a_stranger_on_the_workers_socket_changes_nothing(make_server, connect):
    server = make_server()
    front = int(server.endpoint.rsplit(":", 1)[1])
    peer = connect(server)
    job = peer.submit(steps=0).job
    peer.until_running(job)
    for port in listening(server.process.pid) - {front}:
        end = messages.State(job=job, seq=0, state="failed", code="forged")
        peer.socket.connect(f"tcp://127.0.0.1:{port}")
        peer.socket.disconnect(server.endpoint)
        peer.socket.send_multipart([b"no token", *protocol.encode(end)])
    again = connect(server, "tester")
    assert again.ask(messages.GetState(job=job)).state == "running"
    again.ask(messages.Cancel(job=job))
    again.until_state(job, "cancelled")


def listening(pid):
    """TCP ports on which a process listens."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        name = os.readlink(f"/proc/{pid}/fd/{fd}")
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    ports = set()
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].split(":")[1], 16))
    return ports
