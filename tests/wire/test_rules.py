"""What a shot must be: each rule fires, names the numbers, and fires alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protocol.messages import Instance, Limits
from protocol.rules import nothing_to_follow, problems
from tests.wire.samples import FRAMES, IDS, INTRINSICS, SCENE, moved, shot


def turned(scale=(1.0, 1.0, 1.0), at=1):
    matrices = moved()
    matrices[at, 0, :3, :3] = np.diag(scale)
    return matrices


def with_nan():
    matrices = moved()
    matrices[2, 0, 0, 3] = np.nan
    return matrices


def away(z):
    matrices = moved()
    matrices[2, 0, 2, 3] = z
    return matrices


def camera(frame=1, **entry):
    matrices = np.tile(np.eye(4), (FRAMES, 1, 1))
    for name, value in entry.items():
        matrices[frame, int(name[1]), int(name[2])] = value
    return matrices


def lens(frame, factor):
    intrinsics = np.tile(INTRINSICS, (FRAMES, 1, 1))
    intrinsics[frame, 0, 0] *= factor
    return intrinsics


def row_of_zeros():
    intrinsics = np.tile(INTRINSICS, (FRAMES, 1, 1))
    intrinsics[1, 2] = 0
    return intrinsics


def sized(height, width):
    """A shot of another size; its blobs need not exist to be judged."""
    scene = replace(
        SCENE,
        image=replace(SCENE.image, shape=(height, width, 3)),
        depth=replace(SCENE.depth, shape=(height, width)),
    )
    return shot(scene=scene, instance_map=replace(IDS, shape=(height, width)))


@pytest.mark.parametrize(
    ("height", "width", "says"),
    [
        pytest.param(21, 33, "33 x 21 pixels; video needs even", id="odd"),
        pytest.param(1, 1, "1 x 1 pixels; video needs even", id="one pixel"),
        pytest.param(2, 40_000, "longest side may have 4096", id="a thread"),
    ],
)
def test_sizes_that_no_video_has_are_refused(height, width, says):
    found = problems(sized(height, width))
    assert [error.code for error in found] == ["size"]
    assert says in found[0].sentence


def test_frames_times_pixels_are_limited():
    found = problems(shot(), Limits(samples=71))
    assert "3 frames of 6 x 4 are 0 million pixels" in found[0].sentence


def far_scene(**changes):
    return replace(SCENE, **changes)


DAHLIA = Instance(id=1, name="Dahlia", moving=True, handle=(0.0, 0.0, 5.0))


def shaped(**form):
    return {"instances": (replace(DAHLIA, **form),)}


def still(frames=FRAMES):
    return np.tile(np.eye(4), (frames, 1, 1, 1))


def test_a_good_shot_has_no_problems():
    assert problems(shot()) == []


def test_a_camera_move_alone_is_a_shot():
    moving = shot(
        instances=(), moved_from_rest=np.zeros((FRAMES, 0, 4, 4)), camera_from_world=camera(_03=0.2)
    )
    assert problems(moving) == []


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        pytest.param(
            {
                "moved_from_rest": still(1),
                "camera_from_world": np.eye(4)[None],
                "intrinsics": INTRINSICS[None],
            },
            "frames",
            "1 frame; a video needs at least 2",
            id="one frame",
        ),
        pytest.param({"frame_end": 1}, "frame_range", "from frame 1 to 1", id="empty range"),
        pytest.param({"frame_end": 10_001}, "frame_range", "10001 Blender", id="endless range"),
        pytest.param({"fps": 0.0}, "fps", "0 frames per second", id="fps"),
        pytest.param({"instance_map": SCENE.image}, "size", "instance map is uint8", id="map"),
        pytest.param(
            {"instances": ()}, "instances", "matrices for 1 moving instances", id="no instance"
        ),
        pytest.param(
            {"instances": (Instance(id=2, name="x", moving=True, handle=(0.0, 0.0, 1.0)),)},
            "instances",
            "1, 2, 3",
            id="ids with a gap",
        ),
        pytest.param(
            {"moved_from_rest": with_nan()},
            "not_a_number",
            "'Dahlia' has no position at frame 9",
            id="NaN in a matrix",
        ),
        pytest.param(
            {"moved_from_rest": turned((1.0, 2.0, 1.0))},
            "not_rigid",
            "stretched, sheared or mirrored at frame 5",
            id="uneven scale",
        ),
        pytest.param(
            {"moved_from_rest": turned((-1.0, -1.0, -1.0))}, "not_rigid", "mirrored", id="mirror"
        ),
        pytest.param(
            {"camera_from_world": camera(_00=np.inf)}, "not_a_number", "The camera", id="camera inf"
        ),
        pytest.param(
            {"camera_from_world": camera(_00=2.0)}, "camera", "scaled or sheared", id="camera scale"
        ),
        pytest.param(
            {"intrinsics": lens(1, -1)}, "camera", "focal length -8 pixels", id="focal length"
        ),
        pytest.param(
            {"scene": far_scene(near=3.0, far=2.0)},
            "depth_range",
            "Near 3 and far 2",
            id="near far",
        ),
        pytest.param(
            {"intrinsics": row_of_zeros()},
            "camera",
            "lens at frame 5 is no pinhole",
            id="no pinhole",
        ),
        pytest.param(
            {"scene": far_scene(intrinsics=INTRINSICS * 2)},
            "camera",
            "photo's intrinsics",
            id="scaled matrix",
        ),
        pytest.param(
            {"moved_from_rest": still()}, "nothing_moves", "Nothing moves", id="nothing moves"
        ),
        pytest.param(
            shaped(flatten=1.5), "shape", "'Dahlia' is flattened by 1.5, which", id="too flat"
        ),
        pytest.param(shaped(flatten=-0.1), "shape", "flattened by -0.1", id="more than relief"),
        pytest.param(shaped(flatten=np.nan), "shape", "flattened by nan", id="flatten NaN"),
        pytest.param(
            shaped(thickness=21.0),
            "shape",
            "'Dahlia' is 21 units thick, .* the far distance, 20",
            id="too thick",
        ),
        pytest.param(shaped(thickness=-1.0), "shape", "is -1 units thick", id="thin as nothing"),
        pytest.param(shaped(thickness=np.inf), "shape", "is inf units thick", id="endless"),
        pytest.param(
            {"instances": (), "moved_from_rest": np.zeros((FRAMES, 0, 4, 4))},
            "nothing_moves",
            "0 moving instances",
            id="no moving instances",
        ),
        pytest.param(
            {"moved_from_rest": away(-6.0)},
            "behind_camera",
            "'Dahlia' is behind the camera at frame 9 \\(depth -1\\)",
            id="handle behind the camera",
        ),
        pytest.param(
            {"moved_from_rest": moved()[::-1]},
            "first_frame",
            "'Dahlia' is not at rest at the first frame 1 \\(moved by 0.5",
            id="first frame moved",
        ),
        pytest.param(
            {"camera_from_world": camera(0, _03=0.1)},
            "first_frame",
            "The camera is not where",
            id="first camera moved",
        ),
        pytest.param(
            {"intrinsics": lens(0, 1.5)},
            "first_frame",
            "The lens is zoomed by 1.5",
            id="first lens",
        ),
    ],
)
def test_a_rule_names_what_is_wrong(changes, code, says):
    found = problems(shot(**changes))
    assert [error.code for error in found] == [code]
    assert found[0].sentence.endswith(".")
    assert found[0].fix.endswith(".")
    with pytest.raises(type(found[0]), match=says):
        raise found[0]


def test_a_flat_instance_as_thick_as_the_scene_is_far_is_allowed():
    assert problems(shot(**shaped(flatten=1.0, thickness=20.0))) == []


def test_too_many_instances_are_counted():
    many = tuple(
        Instance(id=i + 1, name=str(i), moving=True, handle=(0.0, 0.0, 5.0)) for i in range(256)
    )
    found = problems(shot(instances=many, moved_from_rest=np.tile(still(), (1, 256, 1, 1))))
    assert found[0].sentence == "The shot has 256 instances; the limit is 255."


def test_the_servers_own_limits_count():
    found = problems(shot(), Limits(frames=2))
    assert {error.code for error in found} == {"frames", "frame_range"}


def still_instance():
    one = shot()
    static = tuple(replace(item, moving=False) for item in one.instances)
    return replace(one, instances=static, moved_from_rest=np.zeros((FRAMES, 0, 4, 4)))


@pytest.mark.parametrize(
    ("requires", "anchors", "fix"),
    [
        pytest.param(("masks",), True, None, id="what stays gives points"),
        pytest.param(("masks",), False, "switch Static Anchors on", id="nothing gives points"),
        pytest.param(("tracks", "prompt"), False, "switch Static Anchors on", id="nor tracks"),
        pytest.param(("boxes",), True, "Pick one and switch Moving on.", id="what stays: no box"),
        pytest.param(("draft", "prompt"), False, None, id="an engine that follows nothing"),
        pytest.param((), False, None, id="a server before 1.3"),
    ],
)
def test_an_engine_that_follows_instances_is_told_when_there_is_nothing(requires, anchors, fix):
    error = nothing_to_follow(replace(still_instance(), anchors=anchors), requires)
    assert (error is None) == (fix is None)
    if error is not None:
        assert error.sentence == (
            "The engine 'draft' follows instances that move, and the shot has 0 of them."
        )
        assert fix in error.fix
    assert nothing_to_follow(replace(shot(), anchors=anchors), requires) is None
