"""The real `levitor serve` with its real workers: a photo is lifted, a piece of it drafted."""

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from blender_addon.core.jobs import TaskCancelled, TaskFailed, TaskFinished, TaskProgress
from protocol import content, messages
from tests.server.support import PATIENCE, ROOT, Extension, python_server, workers_of

FRAMES = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The process of a server that has an ``endpoint``."""
    state = tmp_path_factory.mktemp("whole") / "state"
    with python_server("backend", "serve", "--port", 0, "--state", state) as process:
        yield process


@pytest.fixture
def extension(server):
    one = Extension(server.endpoint)
    yield one
    one.client.close()


def photo():
    """A red square before a blue ramp, as PNG bytes; 96 x 64 pixels."""
    import cv2

    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[..., 0] = np.linspace(60, 200, 96)  # OpenCV's order: blue first
    pixels[24:48, 36:60] = (20, 20, 220)
    return cv2.imencode(".png", pixels)[1].tobytes()


def lift(extension, data):
    image = content.blob_of(data, "image/png")
    task = extension.client.start(messages.LiftRequest(image=image), {image.sha256: data})
    return extension.until_end(task)


def shot_of(lifted, frames=FRAMES):
    """The red square goes half a unit to the right."""
    scene = lifted.result.scene
    labels = np.zeros(scene.depth.shape, np.int32)
    labels[24:48, 36:60] = 1
    ids, data = content.array_blob_of(labels)
    moved = np.tile(np.eye(4), (frames, 1, 1, 1))
    moved[:, 0, 0, 3] = np.linspace(0.0, 0.5, frames)
    shot = messages.ShotMessage(
        scene=scene,
        instance_map=ids,
        instances=(messages.Instance(id=1, name="Square", moving=True, handle=(0.0, 0.0, 4.0)),),
        moved_from_rest=moved,
        camera_from_world=np.tile(np.eye(4), (frames, 1, 1)),
        intrinsics=np.tile(scene.intrinsics, (frames, 1, 1)),
        frame_start=1,
        frame_end=frames,
        fps=8.0,
        engine="draft",
    )
    return shot, {**lifted.blobs, ids.sha256: data}


def test_a_photo_is_lifted_picked_and_drafted_by_real_workers(extension):
    lifted = lift(extension, photo())
    assert isinstance(lifted, TaskFinished)
    assert lifted.result.scene.depth.shape == (64, 96)

    pick = messages.SegmentRequest(
        scene=lifted.result.scene,
        points=np.array([[48.0, 36.0]]),
        positive=np.array([1], np.uint8),
        upright=lifted.result.upright,
    )
    picked = extension.until_end(extension.client.start(pick, lifted.blobs))
    mask = content.array_of(picked.result.mask, picked.blobs[picked.result.mask.sha256])
    assert mask[36, 48] == 1
    assert mask[4, 4] == 0

    shot, blobs = shot_of(lifted)
    task = extension.client.start(messages.RenderRequest(shot=shot), blobs)
    take = extension.until_end(task)
    assert isinstance(take, TaskFinished)
    assert (take.result.frames, take.result.height, take.result.width) == (FRAMES, 64, 96)
    assert take.result.shot == content.shot_hash(shot)
    assert take.blobs[take.result.video.sha256][4:8] == b"ftyp"
    assert take.result.obedience is None  # others are measured against a draft
    assert "measure" not in {event.phase for event in extension.of(task, TaskProgress)}


def test_a_draft_is_cancelled_and_the_next_one_works(server, extension):
    lifted = lift(extension, photo())
    shot, blobs = shot_of(lifted, frames=200)
    task = extension.client.start(messages.RenderRequest(shot=shot), blobs)
    extension.until(
        lambda: any(
            e.phase not in ("upload", "download") for e in extension.of(task, TaskProgress)
        ),
        "a step",
    )
    workers = workers_of(server)
    assert set(workers) == {"interactive", "render"}
    extension.client.cancel(task)
    assert isinstance(extension.until_end(task), TaskCancelled)
    assert workers_of(server) == workers  # the draft stopped by itself: nobody was ended for it
    shot, blobs = shot_of(lifted, frames=2)
    task = extension.client.start(messages.RenderRequest(shot=shot), blobs)
    assert isinstance(extension.until_end(task), TaskFinished)


def test_a_file_that_is_no_photo_fails_with_a_sentence(extension):
    end = lift(extension, b"GIF89a, or not even that")
    assert isinstance(end, TaskFailed)
    assert end.sentence
    assert end.fix


def test_an_engine_option_out_of_range_is_refused_by_name(extension):
    shot, blobs = shot_of(lift(extension, photo()))
    shot = dataclasses.replace(shot, options={"softness": 1e9})
    end = extension.until_end(extension.client.start(messages.RenderRequest(shot=shot), blobs))
    assert (end.code, "softness" in end.sentence) == ("option", True)


def test_a_preview_has_the_very_bytes_that_the_command_line_writes(extension, tmp_path):
    shot, blobs = shot_of(lift(extension, photo()))
    options = {"width": 96, "height": 64}
    shot = dataclasses.replace(shot, engine="levitor", options=options)
    written = {}
    for over in ("draft", "photo"):
        task = extension.client.start(messages.PreviewRequest(shot=shot, over=over), blobs)
        end = extension.until_end(task)
        assert isinstance(end, TaskFinished)
        result = end.result
        assert (result.frames, result.height, result.width) == (FRAMES, 64, 192)
        assert result.points >= 3
        assert result.shot == content.shot_hash(shot)
        phases = {event.phase for event in extension.of(task, TaskProgress)}
        assert {"control", "video"} <= phases
        assert ("draft" in phases) == (over == "draft")
        written[over] = end.blobs[result.video.sha256]
    (tmp_path / "a.shot").write_bytes(content.pack_shot(shot, blobs))
    code = (
        "import sys; from backend.cli.main import main; file, folder, *overs = sys.argv[1:]; "
        "sys.exit(max(main(['control', file, '-o', f'{folder}/{over}.mp4', '--over', over]) "
        "for over in overs))"
    )
    subprocess.run(  # one for both: a process imports torch
        [sys.executable, "-c", code, str(tmp_path / "a.shot"), str(tmp_path), *written],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert len(written) == 2
    for over, data in written.items():
        assert (tmp_path / f"{over}.mp4").read_bytes() == data


def test_a_preview_comes_while_a_draft_is_being_rendered(server, extension):
    """The draft stands still until the preview has come, so that it cannot have waited for it."""
    shot, blobs = shot_of(lift(extension, photo()), frames=400)
    render = extension.client.start(messages.RenderRequest(shot=shot), blobs)
    extension.until(
        lambda: any(e.phase == "draft" for e in extension.of(render, TaskProgress)),
        "a drafted frame",
    )
    worker = workers_of(server)["render"]
    os.kill(worker, signal.SIGSTOP)
    try:
        shot, blobs = shot_of(lift(extension, photo()), frames=2)
        preview = extension.client.start(messages.PreviewRequest(shot=shot), blobs)
        assert isinstance(extension.until_end(preview), TaskFinished)
        assert not extension.of(render, TaskFinished, TaskFailed)
    finally:
        os.kill(worker, signal.SIGCONT)
    extension.client.cancel(render)
    assert isinstance(extension.until_end(render), TaskCancelled)


def test_a_long_preview_is_cancelled_at_a_step_of_its_own(server, extension):
    shot, blobs = shot_of(lift(extension, photo()), frames=400)
    workers = workers_of(server)
    task = extension.client.start(messages.PreviewRequest(shot=shot, over="photo"), blobs)
    extension.until(
        lambda: any(e.phase == "control" for e in extension.of(task, TaskProgress)),
        "a splatted frame",
    )
    extension.client.cancel(task)
    assert isinstance(extension.until_end(task), TaskCancelled)
    assert workers_of(server) == workers


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_limit_of_silence_that_is_none_is_refused_before_the_server_starts(tmp_path, seconds):
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "backend", "serve", "--state", str(tmp_path / "state")),
            f"--stall-seconds={seconds}",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "is not 1 or more" in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "state").exists()


def test_the_limit_of_silence_reaches_the_server(tmp_path):
    """A worker that was stopped in the middle of a render is found within it."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "backend", "serve", "--port", "0", "--state", str(tmp_path)),
            *("--stall-seconds", "6"),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        one = Extension(process.stdout.readline().split()[-1])
        try:
            shot, blobs = shot_of(lift(one, photo()), frames=400)
            task = one.client.start(messages.RenderRequest(shot=shot), blobs)
            one.until(lambda: any(e.phase == "draft" for e in one.of(task, TaskProgress)), "a step")
            os.kill(workers_of(process)["render"], signal.SIGSTOP)
            failed = one.until_end(task)
            assert (failed.code, failed.sentence) == (
                "stalled",
                "No step was made for 6 s (draft).",
            )
        finally:
            one.client.close()
            process.terminate()
            process.wait(PATIENCE)
