"""The real `levitor serve` with the LeviTor engine and tiny networks: a shot becomes a video."""

import os
import subprocess
import sys

import numpy as np
import pytest

from blender_addon.core.jobs import TaskCancelled, TaskFailed, TaskFinished, TaskProgress
from protocol import content, messages
from tests.server.support import PATIENCE, ROOT, Extension, workers_of

FRAMES = 4
QUICK = {"width": 64, "height": 64, "steps": 2}


def serve(state, *arguments):
    """The process of a server that has an ``endpoint``; nothing is looked for outside ``state``."""
    nowhere = str(state.parent / "nowhere")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEVITOR_")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "backend", "serve", "--port", "0", "--device", "cpu"),
            *("--state", str(state), *arguments),
        ],
        env={**kept, "PYTHONPATH": str(ROOT), "HF_HOME": nowhere, "XDG_DATA_HOME": nowhere},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process.endpoint = process.stdout.readline().split()[-1]
    return process


def end(process):
    process.terminate()
    assert process.wait(PATIENCE) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    # Imported here, since the other processes that collect this file have no use for diffusers
    from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER, make_tiny_weights

    folder = tmp_path_factory.mktemp("levitor")
    make_tiny_weights(folder)
    process = serve(
        folder / "state",
        *("--weights", f"svd-xt={folder / BASE_FOLDER}"),
        *("--weights", f"levitor={folder / CONTROL_FOLDER}"),
    )
    yield process
    end(process)


@pytest.fixture
def extension(server):
    one = Extension(server.endpoint)
    yield one
    one.client.close()


def a_shot(frames=FRAMES, **options):
    """A square of 24 x 24 pixels before a wall goes a third of a unit to the right."""
    pixels = np.full((64, 96, 3), 128, np.uint8)
    pixels[20:44, 30:54] = (200, 40, 40)
    planes, labels = np.full((64, 96), 8.0, np.float32), np.zeros((64, 96), np.int32)
    planes[20:44, 30:54], labels[20:44, 30:54] = 4.0, 1
    parts = [content.array_blob_of(part) for part in (pixels, planes, labels)]
    lens = np.array([[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]])
    moved = np.tile(np.eye(4), (frames, 1, 1, 1))
    moved[:, 0, 0, 3] = np.linspace(0.0, 1 / 3, frames)
    shot = messages.ShotMessage(
        scene=messages.Scene(
            image=parts[0][0], depth=parts[1][0], intrinsics=lens, near=2.0, far=12.0
        ),
        instance_map=parts[2][0],
        instances=(messages.Instance(id=1, name="Square", moving=True, handle=(0.0, 0.0, 4.0)),),
        moved_from_rest=moved,
        camera_from_world=np.tile(np.eye(4), (frames, 1, 1)),
        intrinsics=np.tile(lens, (frames, 1, 1)),
        frame_start=1,
        frame_end=frames,
        fps=8.0,
        engine="levitor",
        options=QUICK | options,
    )
    return shot, {ref.sha256: data for ref, data in parts}


def start(extension, **told):
    shot, blobs = a_shot(**told)
    return shot, extension.client.start(messages.RenderRequest(shot=shot), blobs)


def steps_of(extension, task):
    return [(e.done, e.total) for e in extension.of(task, TaskProgress) if e.phase == "levitor"]


def test_a_shot_becomes_a_video_and_every_step_of_it_is_told(extension):
    """2 steps, then 4 frames decoded at once: 3."""
    shot, task = start(extension)
    take = extension.until_end(task)
    assert isinstance(take, TaskFinished), take
    assert (take.result.frames, take.result.height, take.result.width) == (FRAMES, 64, 64)
    assert take.result.shot == content.shot_hash(shot)
    assert take.blobs[take.result.video.sha256][4:8] == b"ftyp"
    assert steps_of(extension, task)[-1] == (3, 3)
    assert steps_of(extension, task) == sorted(set(steps_of(extension, task)))
    assert "measure" in {event.phase for event in extension.of(task, TaskProgress)}
    found = take.result.obedience  # of noise: some numbers, of all frames but the first
    assert (found.frames, [one.id for one in found.instances]) == (FRAMES - 1, [1])
    assert found.centroid_error_px >= 0
    assert 0 <= found.mask_iou <= 1
    assert not any("measured" in note for note in take.result.notes)


def test_a_picture_of_the_take_in_the_making_comes_with_its_progress(extension):
    """Four frames in a square, a pixel a latent: 2 x 8 pixels each way."""
    _, task = start(extension)
    assert isinstance(extension.until_end(task), TaskFinished)
    pictures = [e.picture for e in extension.of(task, TaskProgress) if e.picture is not None]
    assert [(picture.shape, picture.dtype) for picture in pictures[:1]] == [((16, 16, 3), "uint8")]
    assert pictures[0].std() > 0


def test_a_take_is_cancelled_in_its_middle_and_the_same_worker_renders_the_next(server, extension):
    _, task = start(extension, steps=200)
    extension.until(lambda: steps_of(extension, task), "a denoising step")
    workers = workers_of(server)
    extension.client.cancel(task)
    assert isinstance(extension.until_end(task), TaskCancelled)
    done, total = steps_of(extension, task)[-1]
    assert (done < 200, total) == (True, 201)
    _, task = start(extension)
    assert isinstance(extension.until_end(task), TaskFinished)
    assert workers_of(server) == workers


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"width": 100}, "A frame of 100 x 64 pixels has a side that is below 64 or not a mul"),
        ({"guidance_min": 4.0}, "The guidance of the last frame, 3, is below the first frame's, 4"),
        ({"steps": 0}, "Option 'steps' is 0, allowed 1 to 200."),
        ({"frames": 65}, "The engine 'levitor' makes 2 to 64 frames, the shot has 65."),
    ],
)
def test_what_it_cannot_render_is_refused_in_a_sentence(extension, told, sentence):
    _, task = start(extension, **told)
    end = extension.until_end(task)
    assert isinstance(end, TaskFailed)
    assert sentence in end.sentence
    assert end.fix


def test_without_weights_it_is_listed_with_why_and_refused(tmp_path):
    process = serve(tmp_path / "state")
    extension = Extension(process.endpoint)
    try:
        _, task = start(extension)
        failed = extension.until_end(task)
        assert isinstance(failed, TaskFailed)
        assert failed.code == "weights"
        assert "'svd-xt'" in failed.sentence
        assert "are not on this computer; looked in " in failed.sentence
        assert "`levitor weights fetch svd-xt`" in failed.fix
    finally:
        extension.client.close()
        end(process)
