"""The extension's client against real servers, absent ones, and ones that come and go."""

import os
import signal
import socket

import pytest
import zmq

import protocol
from blender_addon.core.jobs import (
    JobRow,
    TaskAccepted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskProgress,
    TaskState,
)
from protocol import content, messages
from tests.server.support import SHOT, SHOT_BLOBS, Extension, scripted_shot


@pytest.fixture
def unused_endpoint():
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{free.getsockname()[1]}"


def test_it_connects_and_knows_the_engines_and_the_round_trip(shared_server, extension):
    one = extension(shared_server, heartbeat_seconds=0.05)
    one.until_phase("connected")
    assert [engine.name for engine in one.client.welcome.engines] == ["scripted"]
    one.until(lambda: one.client.status.round_trip_seconds is not None, "a round trip")
    assert 0 < one.client.status.round_trip_seconds < 5


def test_a_shot_comes_back_as_a_video_with_its_bytes(shared_server, extension):
    # So patient that it never asks by itself: every event below is of a message that was pushed
    one = extension(shared_server, heartbeat_seconds=60, ask_seconds=600, retry_seconds=600)
    task = one.render(steps=5)
    end = one.until_end(task)
    assert isinstance(end, TaskFinished)
    assert end.blobs == {end.result.video.sha256: b"video" * 500_000}
    order = [type(e) for e in one.of(task, TaskAccepted, TaskState, TaskFinished)]
    assert order == [TaskAccepted, TaskState, TaskState, TaskFinished]
    assert [e.state for e in one.of(task, TaskState)] == ["running", "done"]
    phases = {e.phase for e in one.of(task, TaskProgress)}
    assert phases == {"upload", "step", "download"}


def test_an_unchanged_photo_is_not_sent_again(shared_server, extension):
    one = extension(shared_server)
    assert isinstance(one.until_end(one.render()), TaskFinished)
    task = one.client.start(messages.RenderRequest(shot=scripted_shot()), {})
    assert isinstance(one.until_end(task), TaskFinished)


def test_a_blob_larger_than_the_credit_arrives_whole(shared_server, extension):
    one = extension(shared_server)
    data = b'{"steps": 1, "ran": ""' + b" " * 1_000_000 + b"}"  # 16 chunks of 64 KiB, 4 at a time
    image = content.blob_of(data, "application/json")
    task = one.client.start(messages.LiftRequest(image=image), {image.sha256: data})
    end = one.until_end(task)
    assert isinstance(end, TaskFinished)
    assert set(end.blobs) == {
        end.result.scene.image.sha256,
        end.result.scene.depth.sha256,
        end.result.segments.sha256,
    }


def test_a_failure_arrives_as_a_sentence_and_a_fix(shared_server, extension):
    one = extension(shared_server)
    end = one.until_end(one.lift(end="shot_error"))
    assert (end.code, end.sentence, end.fix) == (
        "too_dark",
        "The photo is black.",
        "Use another one.",
    )


def test_bytes_that_are_nowhere_fail_the_task_with_what_to_do(make_server, extension):
    one = extension(make_server())
    end = one.until_end(one.client.start(messages.RenderRequest(shot=scripted_shot()), {}))
    assert (end.code, end.fix) == ("missing_blobs", "Lift the photo again.")


def test_no_server_is_said_with_its_address_and_what_to_do(unused_endpoint, extension):
    one = extension(unused_endpoint, heartbeat_seconds=0.05, wait_seconds=0.3)
    task = one.render()
    one.until_phase("lost")
    assert one.client.status.reason == f"No backend answers at {unused_endpoint}."
    assert "levitor serve" in one.client.status.fix
    end = one.until_end(task)
    assert (end.code, end.sentence) == ("no_server", f"No backend answers at {unused_endpoint}.")


@pytest.mark.parametrize("endpoint", ["tcp://", "somewhere", "tcp://127.0.0.1:nine"])
def test_what_is_no_address_is_said_so(extension, endpoint):
    one = extension(endpoint)
    assert one.client.status.phase == "refused"
    assert "is not an address" in one.client.status.reason
    assert isinstance(one.until_end(one.render()), TaskFailed)


def test_a_task_started_before_the_server_runs_once_it_is_there(make_server, extension):
    server = make_server()
    server.end()
    one = extension(server, heartbeat_seconds=0.1, wait_seconds=60)
    task = one.render()
    one.until_phase("lost")
    server.again()
    assert isinstance(one.until_end(task), TaskFinished)


def test_a_server_killed_and_restarted_under_it_is_found_again(make_server, extension):
    server = make_server()
    one = extension(server, heartbeat_seconds=0.1)
    task = one.render(steps=0)
    one.until_running(task)
    server.end(signal.SIGKILL)
    one.until_phase("lost")
    server.again()
    end = one.until_end(task)
    assert (end.code, end.fix) == ("interrupted", "Send it again.")
    one.until_phase("connected")  # 0.3 s of silence, which a busy machine may bring, and it is lost
    assert isinstance(one.until_end(one.render()), TaskFinished)


def test_rows_read_lost_while_the_server_is_gone_and_then_what_became_of_their_jobs(
    make_server, extension, tmp_path
):
    server, gate = make_server(), tmp_path / "gate"
    one = extension(server, heartbeat_seconds=0.1)
    done = one.render(until=str(gate))
    one.until(lambda: one.rows.get(done).phase == "step", "a step")
    queued = one.render()
    one.until(lambda: one.rows.get(queued).state == "queued", "a place in the queue")
    os.kill(server.process.pid, signal.SIGSTOP)  # a pause: the job goes on in its worker
    one.until_phase("lost")
    assert [(row.activity, row.eta) for row in one.rows] == [("lost", None)] * 2
    gate.touch()
    os.kill(server.process.pid, signal.SIGCONT)
    one.until_end(done)
    one.until_end(queued)
    gate.unlink()
    running, queued = one.render(steps=0), one.render(until=str(gate))
    one.until(lambda: one.rows.get(running).phase == "step", "a step")
    one.until(lambda: one.rows.get(queued).state == "queued", "a place in the queue")
    server.end(signal.SIGKILL)
    one.until_phase("lost")
    assert {one.rows.get(task).activity for task in (running, queued)} == {"lost"}
    assert one.rows.get(running).eta is None
    server.again()
    one.until_end(running)
    row = one.rows.get(running)
    assert (row.state, row.lost, row.fix) == ("failed", False, "Send it again.")
    assert row.sentence == "The server ended while it worked on this job."
    gate.touch()  # not before: a take that is done mends the row of one that failed
    assert isinstance(one.until_end(queued), TaskFinished)
    assert one.rows.get(running) is None


def test_a_job_that_went_on_while_nobody_answered_is_told_to_run_though_nothing_has_changed(
    make_server, extension
):
    server = make_server()
    one = extension(server, heartbeat_seconds=0.1)
    task = one.lift(end="hang")  # no step comes that would say so by itself
    one.rows.add(JobRow(task=task, kind="lift", label="photo"))
    one.until(lambda: one.rows.get(task).phase == "step", "a step")
    os.kill(server.process.pid, signal.SIGSTOP)
    one.until_phase("lost")
    assert one.rows.get(task).activity == "lost"
    os.kill(server.process.pid, signal.SIGCONT)
    one.until(lambda: not one.rows.get(task).lost, "word of the job")
    assert one.rows.get(task).state == "running"


def test_a_server_that_left_two_pings_unanswered_is_lost_after_three_intervals_of_silence(
    extension,
):
    welcome = messages.Welcome(
        product="mute", limits=messages.Limits(), engines=(), perception=(), device="cpu"
    )
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        one = extension(f"tcp://127.0.0.1:{port}", heartbeat_seconds=0.3)
        peer, _hello = router.recv_multipart()
        router.send_multipart([peer, *protocol.encode(welcome)])
        one.until_phase("connected")
        one.until_phase("lost")
        pings = 0
        while router.poll(100):
            sender, frame = router.recv_multipart()
            pings += sender == peer and b'"ping"' in frame
        assert 1 <= pings <= 2


def test_a_queued_job_is_finished_by_the_next_server(make_server, extension, tmp_path):
    server = make_server()
    one = extension(server, heartbeat_seconds=0.1)
    first = one.render(steps=0)
    one.until_running(first)
    second = one.render()
    one.until_event(second, TaskAccepted)
    server.end(signal.SIGKILL)
    server.again()
    assert isinstance(one.until_end(second), TaskFinished)


def test_a_server_that_forgot_the_connection_is_greeted_again(make_server, extension):
    server = make_server()
    one = extension(server, heartbeat_seconds=0.2, missed_heartbeats=1000)
    one.until_phase("connected")
    server.end()
    server.again()  # so quickly that the client never notices a silence
    assert isinstance(one.until_end(one.render()), TaskFinished)
    assert one.client.status.phase == "connected"


def test_a_running_task_is_cancelled(shared_server, extension):
    one = extension(shared_server)
    task = one.render(steps=0)
    one.until(lambda: any(e.phase == "step" for e in one.of(task, TaskProgress)), "a step")
    one.client.cancel(task)
    one.client.cancel(task)
    one.until_event(task, TaskCancelled)


def test_a_task_cancelled_before_its_job_has_a_name_does_not_run_on(
    shared_server, extension, connect
):
    one = extension(shared_server, client_id="early")
    one.until_phase("connected")
    assert isinstance(one.until_end(one.render()), TaskFinished)  # all its blobs are there now
    task = one.client.start(messages.RenderRequest(shot=scripted_shot(steps=0)), {})
    one.client.cancel(task)
    one.until_event(task, TaskCancelled)
    connect(shared_server, "early")
    assert isinstance(one.until_end(one.render()), TaskFinished)  # the render worker is free


def test_a_task_that_was_never_sent_is_dropped(unused_endpoint, extension):
    one = extension(unused_endpoint)
    task = one.render()
    one.client.cancel(task)
    one.poll()
    assert one.of(task, TaskCancelled)


def test_a_server_of_another_major_is_refused_and_no_task_waits_for_it(extension):
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        one = extension(f"tcp://127.0.0.1:{port}")
        peer, hello = router.recv_multipart()
        assert b'"hello"' in hello
        refusal = messages.Refusal(code="version", sentence="Versions 2.0 and 1.0.", fix="Update.")
        frames = protocol.encode(refusal)
        router.send_multipart([peer, bytes(frames[0]).replace(b"[1,", b"[2,", 1)])
        one.until_phase("refused")
        assert one.client.status.reason == "Versions 2.0 and 1.0."
        assert isinstance(one.until_end(one.render()), TaskFailed)


def test_a_server_that_knows_no_previews_is_told_to_be_too_old_and_gets_none(extension):
    welcome = messages.Welcome(
        product="old", limits=messages.Limits(), engines=(), perception=(), device="cpu"
    )
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        one = extension(f"tcp://127.0.0.1:{port}")
        preview = one.client.start(messages.PreviewRequest(shot=scripted_shot()), SHOT_BLOBS)
        peer, hello = router.recv_multipart()
        assert b'"hello"' in hello
        router.send_multipart([peer, *protocol.encode(welcome, version=(1, 0))])
        failed = one.until_end(preview)
        assert (failed.code, failed.sentence, failed.fix) == (
            "old_server",
            "The backend speaks protocol 1.0; a preview needs 1.1 or newer.",
            "Update the LeviTor backend.",
        )
        # The rest works as ever, and the first thing that is sent belongs to it
        render = one.render()
        one.poll()
        assert protocol.decode(router.recv_multipart()[1:]).message == messages.BlobOffer(
            sha256=SHOT.scene.image.sha256, size=SHOT.scene.image.size
        )
        assert not one.of(render, TaskFailed)


def test_whatever_a_server_sends_poll_does_not_raise(extension):
    blob = content.blob_of(b"x", "video/mp4")
    shot, _ = scripted_shot(), SHOT_BLOBS
    odd = [
        messages.Accepted(job="j", place=-5),
        messages.State(job="j", seq=-3, state="unknown"),
        messages.Progress(job="", seq=1 << 40, phase="", done=-1, total=0),
        messages.BlobStatus(sha256="no hash", received=-1, complete=True),
        messages.Error(code="", sentence=""),
        messages.RenderRequest(shot=shot),
        messages.Rendered(
            job="j", video=blob, frames=0, height=0, width=0, fps=0.0, engine="", seed=0, shot=""
        ),
    ]
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        one = extension(f"tcp://127.0.0.1:{port}")
        peer, _hello = router.recv_multipart()
        welcome = messages.Welcome(
            product="odd",
            limits=messages.Limits(chunk_bytes=0, credit=0),
            engines=(),
            perception=(),
            device="",
        )
        router.send_multipart([peer, *protocol.encode(welcome)])
        one.until_phase("connected")
        for data in (b"", b"{", b"\xff"):
            router.send_multipart([peer, data])
        for number in range(20):
            task = one.render()
            one.poll()
            request = protocol.decode(router.recv_multipart()[1:]).id
            for re in (request, ""):
                router.send_multipart([peer, *protocol.encode(odd[number % len(odd)], re=re)])
            one.poll()
            one.client.cancel(task)
        router.send_multipart([peer, *protocol.encode(messages.Pong())])
        one.poll()


def test_poll_and_start_never_wait(unused_endpoint, extension):
    one = extension(unused_endpoint, heartbeat_seconds=3600.0, wait_seconds=3600.0)
    tasks = [one.render()]
    for _ in range(500):
        one.poll()  # a wait for anything would be an hour here: nobody answers
    tasks.append(one.render())
    assert one.client.status.phase == "connecting"
    assert [one.of(task, TaskFailed, TaskFinished) for task in tasks] == [[], []]


def test_close_leaves_at_once_and_may_be_followed_by_poll(unused_endpoint):
    one = Extension(unused_endpoint)
    one.render()
    one.client.close()
    one.client.close()
    assert one.client.poll() == []
