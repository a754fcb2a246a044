"""Submit, progress, result, cancel: the ordinary life of jobs on a real server."""

import dataclasses

import numpy as np
import pytest

from protocol import content, messages
from tests.server.support import SHOT, SHOT_BLOBS, scripted_shot, wait_for


def test_a_shot_is_accepted_makes_progress_is_done_and_can_be_fetched(shared_server, connect):
    peer = connect(shared_server)
    accepted = peer.submit(steps=4)
    assert isinstance(accepted, messages.Accepted)
    done = peer.until_state(accepted.job, "done")
    mine = [m for m in peer.pushes if getattr(m, "job", "") == accepted.job]
    steps = [m for m in mine if isinstance(m, messages.Progress)]
    assert steps[-1].done == steps[-1].total == 4
    assert [m.seq for m in mine if hasattr(m, "seq")] == list(range(1, done.seq + 1))
    (pushed,) = [m for m in mine if isinstance(m, messages.Rendered)]
    fetched = peer.ask(messages.Fetch(job=accepted.job))
    assert fetched == pushed
    assert fetched.shot == content.shot_hash(scripted_shot(steps=4))
    got = peer.ask(messages.BlobGet(sha256=fetched.video.sha256, offset=0, length=5))
    assert (got.data.tobytes(), got.size) == (b"video", 2_500_000)


def test_a_request_sent_twice_runs_once_and_gets_the_same_reply(shared_server, connect, tmp_path):
    peer, ran = connect(shared_server), tmp_path / "ran"
    first = peer.submit(request="twice", ran=str(ran))
    second = peer.submit(request="twice", ran=str(ran))
    assert first == second
    peer.until_state(first.job, "done")
    assert peer.submit(request="twice", ran=str(ran)) == first
    after = peer.submit()
    peer.until_state(after.job, "done")
    assert ran.read_text().splitlines() == [first.job]


def test_the_same_request_id_of_another_client_is_another_request(shared_server, connect):
    ours = connect(shared_server, "a").submit(request="same")
    theirs = connect(shared_server, "b").submit(request="same")
    assert ours.job != theirs.job


def test_a_missing_blob_is_named_and_the_same_request_works_after_its_upload(make_server, connect):
    peer = connect(make_server())
    reply = peer.ask(messages.RenderRequest(shot=scripted_shot()), "r1")
    assert reply.code == "missing_blobs"
    assert set(reply.missing) == {ref.sha256 for ref in content.blobs_of(SHOT)}
    accepted = peer.submit(request="r1")
    peer.until_state(accepted.job, "done")


@pytest.mark.parametrize(
    ("script", "part"),
    [
        pytest.param({"speed": 3}, "no option 'speed'", id="an unknown option"),
        pytest.param({"steps": 5000}, "steps' is 5000", id="out of range"),
        pytest.param({"steps": "many"}, "steps' is 'many'", id="the wrong type"),
        pytest.param({"steps": True}, "steps' is True", id="a bool is not a number"),
        pytest.param({"end": "never"}, "end' is 'never'", id="not among the choices"),
    ],
)
def test_an_option_the_engine_does_not_take_is_refused_before_queueing(
    shared_server, connect, script, part
):
    reply = connect(shared_server).submit(**script)
    assert reply.code == "option"
    assert part in reply.sentence
    assert reply.fix


def test_an_unknown_engine_is_refused_with_those_there_are(shared_server, connect):
    shot = dataclasses.replace(SHOT, engine="dream")
    reply = connect(shared_server).ask(messages.RenderRequest(shot=shot))
    assert (reply.code, reply.fix) == ("engine", "Choose one of: scripted.")


def pick_of(*points, box=None):
    return messages.SegmentRequest(
        scene=SHOT.scene,
        points=np.array(points, np.float64).reshape(-1, 2),
        positive=np.ones(len(points), np.uint8),
        box=box,
    )


@pytest.mark.parametrize(
    ("pick", "code", "part"),
    [
        pytest.param(pick_of(*[(1, 1)] * 1001), "clicks", "1001 clicks", id="too many clicks"),
        pytest.param(pick_of((1, 1), (2, np.nan)), "clicks", "1 of 2 clicks", id="not a number"),
        pytest.param(pick_of(box=(1.0, 2.0)), "box", "has 2 numbers", id="half a box"),
    ],
)
def test_clicks_that_mean_nothing_are_refused_before_queueing(
    shared_server, connect, pick, code, part
):
    peer = connect(shared_server)
    for data in SHOT_BLOBS.values():
        peer.upload(data)
    reply = peer.ask(pick)
    assert (reply.code, bool(reply.fix)) == (code, True)
    assert part in reply.sentence


def test_a_shot_with_more_pixels_in_all_than_the_server_takes_is_refused(make_server, connect):
    height, width = SHOT.scene.depth.shape
    peer = connect(make_server("--samples", str(2 * height * width - 1)))
    reply = peer.submit()
    assert (reply.code, bool(reply.fix)) == ("size", True)
    assert f"2 frames of {width} x {height}" in reply.sentence


def test_a_file_of_another_size_than_the_shot_says_is_refused_with_both(shared_server, connect):
    peer = connect(shared_server)
    image = dataclasses.replace(peer.upload(b"five."), size=6)
    reply = peer.ask(messages.LiftRequest(image=image))
    assert (reply.code, reply.fix) == ("field", "Lift the photo again.")
    assert "6 bytes, but it has 5" in reply.sentence


def test_a_shot_in_which_nothing_moves_is_refused_before_queueing(shared_server, connect):
    still = dataclasses.replace(SHOT, moved_from_rest=SHOT.moved_from_rest[[0, 0]])
    assert connect(shared_server).ask(messages.RenderRequest(shot=still)).code == "nothing_moves"


def test_a_full_queue_takes_no_more(make_server, connect):
    peer = connect(make_server("--queue", "2"))
    running = peer.submit(steps=0).job
    peer.until_running(running)
    places = [peer.submit(request=f"r{n}").place for n in range(2)]
    assert places == [0, 1]
    assert peer.submit(request="r2").code == "queue_full"


def test_a_job_nobody_knows_is_unknown_and_has_no_result(shared_server, connect):
    peer = connect(shared_server)
    assert peer.ask(messages.GetState(job="nobody")).state == "unknown"
    assert peer.ask(messages.Cancel(job="nobody")).state == "unknown"
    assert peer.ask(messages.Fetch(job="nobody")).code == "unknown_job"


def test_another_clients_job_can_be_neither_seen_nor_stopped(shared_server, connect):
    owner, stranger = connect(shared_server, "owner"), connect(shared_server, "stranger")
    job = owner.submit(steps=0).job
    owner.until_running(job)
    assert stranger.ask(messages.GetState(job=job)).state == "unknown"
    assert stranger.ask(messages.Cancel(job=job)).state == "unknown"
    assert stranger.ask(messages.Fetch(job=job)).code == "unknown_job"
    assert owner.ask(messages.GetState(job=job)).state == "running"
    owner.ask(messages.Cancel(job=job))
    owner.until_state(job, "cancelled")


def test_a_running_job_stops_at_its_next_step(shared_server, connect):
    peer, worker = connect(shared_server), shared_server.worker("render")
    job = peer.submit(steps=0).job
    peer.until_running(job)
    assert peer.ask(messages.Cancel(job=job)).state == "cancel_requested"
    assert peer.ask(messages.Cancel(job=job)).state in ("cancel_requested", "cancelled")
    peer.until_state(job, "cancelled")
    assert peer.ask(messages.Fetch(job=job)).code == "no_result"
    assert shared_server.worker("render") == worker  # it stopped by itself: nobody was ended for it


def test_a_late_client_learns_how_far_a_running_job_is(shared_server, connect):
    peer = connect(shared_server)
    job = peer.submit(steps=0).job
    peer.until_running(job)
    wait_for(lambda: peer.ask(messages.GetState(job=job)).done > 0, "a step to be told")
    state = peer.ask(messages.GetState(job=job))
    assert state.phase
    peer.ask(messages.Cancel(job=job))
    peer.until_state(job, "cancelled")


def test_a_queued_job_is_cancelled_at_once_and_never_runs(shared_server, connect, tmp_path):
    peer, ran = connect(shared_server), tmp_path / "ran"
    first = peer.submit(steps=0).job
    peer.until_running(first)
    second = peer.submit(ran=str(ran)).job
    third = peer.submit(ran=str(ran)).job
    waiting = peer.ask(messages.GetState(job=third))
    assert (waiting.state, waiting.place) == ("queued", 1)
    peer.ask(messages.Cancel(job=third))
    assert peer.ask(messages.Cancel(job=second)).state == "cancelled"
    assert peer.ask(messages.GetState(job=first)).state == "running"
    peer.ask(messages.Cancel(job=first))
    peer.until_state(first, "cancelled")
    peer.until_state(peer.submit().job, "done")
    assert not ran.exists()


def test_a_finished_job_answers_a_cancel_with_its_state(shared_server, connect):
    peer = connect(shared_server)
    job = peer.submit().job
    peer.until_state(job, "done")
    assert peer.ask(messages.Cancel(job=job)).state == "done"
    assert isinstance(peer.ask(messages.Fetch(job=job)), messages.Rendered)


def test_picking_goes_on_while_a_render_runs(shared_server, connect):
    peer = connect(shared_server)
    render = peer.submit(steps=0).job
    peer.until_running(render)
    image = peer.upload(b'{"steps": 2}')
    lift = peer.ask(messages.LiftRequest(image=image)).job
    peer.until_state(lift, "done")
    assert peer.ask(messages.GetState(job=render)).state == "running"
    peer.ask(messages.Cancel(job=render))
    peer.until_state(render, "cancelled")


def test_jobs_of_one_role_run_in_the_order_they_came(shared_server, connect, tmp_path):
    peer, ran, gate = connect(shared_server), tmp_path / "ran", tmp_path / "gate"
    jobs = [peer.submit(steps=1, until=str(gate), ran=str(ran)).job for _ in range(3)]
    gate.touch()
    for job in jobs:
        peer.until_state(job, "done")
    assert ran.read_text().split() == jobs


def test_every_connection_of_a_client_hears_of_its_jobs(shared_server, connect):
    asks, listens = connect(shared_server, "same"), connect(shared_server, "same")
    job = asks.submit().job
    listens.until_state(job, "done")


def test_a_client_that_left_finds_its_result(shared_server, connect):
    first = connect(shared_server, "leaver")
    job = first.submit().job
    first.close()
    peer = connect(shared_server, "leaver")
    wait_for(lambda: peer.ask(messages.GetState(job=job)).state == "done", "the job to be done")
    assert peer.ask(messages.Fetch(job=job)).job == job


def test_a_preview_does_not_wait_behind_a_render(shared_server, connect):
    peer = connect(shared_server)
    render = peer.submit(steps=0)
    peer.until_running(render.job)
    shown = peer.ask(messages.PreviewRequest(shot=scripted_shot()))
    assert shown.place == 0
    peer.until_state(shown.job, "done")
    assert peer.ask(messages.GetState(job=render.job)).state == "running"
    (previewed,) = [m for m in peer.pushes if isinstance(m, messages.Previewed)]
    assert peer.ask(messages.Fetch(job=shown.job)) == previewed
    peer.ask(messages.Cancel(job=render.job))
    peer.until_state(render.job, "cancelled")


def test_a_preview_stops_when_it_is_told_and_the_render_beside_it_goes_on(
    shared_server, connect, tmp_path
):
    peer, go = connect(shared_server), tmp_path / "go"
    render = peer.submit(until=str(go))
    shown = peer.ask(messages.PreviewRequest(shot=scripted_shot(steps=0)))
    peer.until_running(shown.job)
    peer.ask(messages.Cancel(job=shown.job))
    peer.until_state(shown.job, "cancelled")
    go.touch()
    peer.until_state(render.job, "done")


def test_a_preview_of_a_bad_shot_gets_the_sentence_a_submit_gets(shared_server, connect):
    peer = connect(shared_server)
    peer.submit()
    moved = SHOT.moved_from_rest.copy()
    moved[1, 0, 0, 3] = np.nan
    for wrong in (
        dataclasses.replace(SHOT, frame_end=1),
        dataclasses.replace(SHOT, moved_from_rest=moved),
        dataclasses.replace(SHOT, moved_from_rest=np.tile(np.eye(4), (2, 1, 1, 1))),
        dataclasses.replace(SHOT, engine="dream"),
        dataclasses.replace(SHOT, instance_map=dataclasses.replace(SHOT.instance_map, sha256="x")),
    ):
        submitted = peer.ask(messages.RenderRequest(shot=wrong))
        previewed = peer.ask(messages.PreviewRequest(shot=wrong))
        assert isinstance(previewed, messages.Error)
        assert previewed == submitted
