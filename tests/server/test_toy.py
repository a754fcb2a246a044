"""A real server with a toy engine that uses all a specification can say: rule, kinds, weights."""

import dataclasses

import numpy as np
import pytest

from blender_addon.core.jobs import TaskFailed, TaskFinished
from protocol import content, messages
from protocol.frames import FrameRule, rule_of
from tests.server.support import Extension, python_server
from tests.toy.spec import SPEC

HEIGHT, WIDTH = 32, 48


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    told = ("--state", folder / "state", "--weights", folder)
    with python_server("tests.toy.serve", *told) as process:
        process.weights = folder
        yield process


@pytest.fixture
def extension(server):
    one = Extension(server.endpoint)
    yield one
    one.client.close()


def toy_shot(frames=5, **options):
    """Two grey squares before a grey wall, one on either side; both go a little to the right."""
    image, pixels = content.array_blob_of(np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
    depth, planes = content.array_blob_of(np.full((HEIGHT, WIDTH), 5.0, np.float32))
    marks = np.zeros((HEIGHT, WIDTH), np.int32)
    marks[8:24, 4:16], marks[8:24, 30:42] = 1, 2
    ids, labels = content.array_blob_of(marks)
    lens = np.array([[40.0, 0.0, WIDTH / 2], [0.0, 40.0, HEIGHT / 2], [0.0, 0.0, 1.0]])
    moved = np.tile(np.eye(4), (frames, 2, 1, 1))
    moved[:, :, 0, 3] = np.linspace(0.0, 0.1, frames)[:, None]
    shot = messages.ShotMessage(
        scene=messages.Scene(image=image, depth=depth, intrinsics=lens, near=1.0, far=9.0),
        instance_map=ids,
        instances=tuple(
            messages.Instance(id=n, name=f"Square {n}", moving=True, handle=(0.0, 0.0, 5.0))
            for n in (1, 2)
        ),
        moved_from_rest=moved,
        camera_from_world=np.tile(np.eye(4), (frames, 1, 1)),
        intrinsics=np.tile(lens, (frames, 1, 1)),
        frame_start=1,
        frame_end=frames,
        fps=24.0,
        engine="toy",
        options=options,
    )
    return shot, {image.sha256: pixels, depth.sha256: planes, ids.sha256: labels}


def render(extension, frames=5, **options):
    shot, blobs = toy_shot(frames, **options)
    return extension.until_end(extension.client.start(messages.RenderRequest(shot=shot), blobs))


def refused(extension, frames=5, **options):
    end = render(extension, frames, **options)
    assert isinstance(end, TaskFailed), end
    return f"{end.sentence} {end.fix}"


def first_frame(end):
    """uint8 (H, W, 3) of the video's first frame."""
    import io

    import av

    with av.open(io.BytesIO(end.blobs[end.result.video.sha256])) as film:
        return next(film.decode(video=0)).to_ndarray(format="rgb24").astype(int)


def test_the_welcome_says_all_that_the_specification_says(extension):
    extension.until_phase("connected")
    toy = extension.client.welcome.engines[0]
    assert toy.options == SPEC.options
    assert rule_of(toy) == FrameRule(min=1, max=81, step=4)
    assert toy.requires == ("boxes", "prompt")
    assert toy.missing == ""  # its default options need no weights
    levitor = next(e for e in extension.client.welcome.engines if e.name == "levitor")
    assert (levitor.num_frames, levitor.least_frames, levitor.most_frames) == (16, 2, 64)


def test_a_text_of_lines_and_a_choice_of_instances_reach_the_engine(extension):
    end = render(extension, prompt="red,\nvery red", which="2", tint=0.5)
    assert isinstance(end, TaskFinished), end
    assert end.result.frames == 5
    assert "Prompt: 'red,\\nvery red'." in end.result.notes
    assert end.result.options["which"] == "2"
    red, green = first_frame(end)[16, :, 0], first_frame(end)[16, :, 1]
    tinted = red - green
    assert tinted[33:39].min() > 60
    assert tinted[:27].max() < 30


def test_without_a_choice_all_instances_are_meant(extension):
    pixels = first_frame(render(extension, tint=0.5))
    tinted = pixels[16, :, 0] - pixels[16, :, 1]
    assert tinted[7:13].min() > 60
    assert tinted[33:39].min() > 60


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param(
            {"frames": 7},
            "The engine 'toy' makes 1, 5, 9 ... 81 frames, the shot has 7. "
            "Sample the shot in 5 or 9 frames.",
            id="between two steps",
        ),
        pytest.param(
            {"which": "1,3"}, "Option 'which' names instance 3; the shot has 1, 2.", id="instance"
        ),
        pytest.param(
            {"prompt": "x" * 61}, "Option 'prompt' has 61 characters, allowed 60.", id="long text"
        ),
        pytest.param({"mode": "fine"}, "There is no toy. Make it.", id="weights of these options"),
    ],
)
def test_what_cannot_be_is_refused_before_a_job_is_queued(extension, given, sentence):
    assert refused(extension, **given).startswith(sentence)


def test_a_submit_is_judged_with_the_weights_that_its_own_options_need(server, extension):
    (server.weights / "toy").touch()
    assert refused(extension, mode="fine") == "There is no toy-fine. Make it."
    (server.weights / "toy-fine").touch()
    assert isinstance(render(extension, mode="fine"), TaskFinished)


def test_boxes_of_instances_that_move_are_asked_for_where_none_does(extension):
    shot, blobs = toy_shot()
    view = np.tile(np.eye(4), (5, 1, 1))
    view[:, 0, 3] = np.linspace(0, 0.1, 5)
    still = dataclasses.replace(
        shot,
        instances=tuple(dataclasses.replace(item, moving=False) for item in shot.instances),
        moved_from_rest=np.zeros((5, 0, 4, 4)),
        camera_from_world=view,
    )
    end = extension.until_end(extension.client.start(messages.RenderRequest(shot=still), blobs))
    assert end.sentence.startswith("The engine 'toy' follows instances that move")
