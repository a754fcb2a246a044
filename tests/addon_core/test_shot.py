"""Frame times, the instance map, and the shot message."""

from dataclasses import replace

import numpy as np
import pytest

from blender_addon.core import photo_cloud, shot
from blender_addon.core.coords import lens_of
from blender_addon.core.shot import PhotoCamera, Picked, RenderSettings
from blender_addon.link.wire import content, rules
from protocol.frames import FrameRule

K = np.array([[4.0, 0, 2], [0, 4, 1], [0, 0, 1]])
PHOTO = PhotoCamera(height=2, width=4, intrinsics=K, near=1.0, far=10.0)
CAMERA = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def cloud(segments=(0, 1, 1, 2, 0, 3, 3, 3)) -> photo_cloud.Cloud:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    depth = np.full((2, 4), 5, np.float32)
    return photo_cloud.cloud_of(image, depth, np.int32(segments).reshape(2, 4), K)


def split(whole, *groups):
    """The background and one cloud a group of pixels."""
    taken = np.isin(whole.pixel, sum(groups, ()))
    return whole.take(~taken), [whole.take(np.isin(whole.pixel, group)) for group in groups]


def picked(name, points, moving=True, rise=0.0, frames=3) -> Picked:
    rest = np.eye(4)
    rest[:3, 3] = [0, 5, 0]
    matrices = np.tile(rest, (frames, 1, 1))
    matrices[:, 2, 3] += np.linspace(0, rise, frames)
    return Picked(name=name, moving=moving, rest=rest, cloud=points, matrices=matrices)


def build(background, items, frames=3, **take):
    settings = {"frame_start": 1, "frame_end": 9, "fps": 24.0, "engine": "draft"} | take
    cameras = np.tile(CAMERA, (frames, 1, 1))
    return shot.build(
        PHOTO, background, items, cameras, [lens_of(K, 4, 2)] * frames, RenderSettings(**settings)
    )


def test_four_samples_of_frames_1_to_10_are_three_frames_apart():
    assert shot.frame_times(1, 10, 4) == [1, 4, 7, 10]


def test_ids_count_moving_instances_first_each_kind_in_the_order_of_the_list():
    assert shot.id_order([False, True, False, True]) == [1, 3, 0, 2]


def test_samples_between_frames_are_subframes():
    assert shot.frame_times(1, 4, 3) == [1, 2.5, 4]


def test_one_sample_is_the_first_frame():
    assert shot.frame_times(7, 20, 1) == [7]


@pytest.mark.parametrize(
    ("asked", "rule", "limit", "count"),
    [
        pytest.param(0, {}, 512, 81, id="every frame"),
        pytest.param(0, {}, 40, 40, id="at most the server's limit"),
        pytest.param(0, {"default": 16}, 512, 16, id="as many as the engine makes"),
        pytest.param(0, {"step": 8}, 79, 73, id="the nearest that engine and server take"),
        pytest.param(5, {"default": 16}, 512, 5, id="what was asked for"),
        pytest.param(5, {"step": 8}, 512, 5, id="also where it will be refused"),
    ],
)
def test_sample_counts_of_frames_20_to_100(asked, rule, limit, count):
    assert shot.sample_count(asked, 20, 100, FrameRule(**rule), limit) == count


def test_picks_come_first_in_the_instance_map_and_segments_after_them():
    background, (a, b) = split(cloud(), (0,), (1, 5))
    ids = shot.instance_map(background, [a, b], 2, 4)
    # Segment 1 has one pixel left, 2 has one, 3 has two; they become 3, 4 and 5.
    assert ids.tolist() == [[1, 2, 3, 4], [0, 2, 5, 5]]


def test_segments_that_do_not_fit_are_dropped_smallest_first():
    background, (a,) = split(cloud(), (0,))
    ids = shot.instance_map(background, [a], 2, 4, limit=2)
    # Room for one: segment 3 with three pixels.
    assert ids.tolist() == [[1, 0, 0, 0], [0, 2, 2, 2]]


def test_a_thousand_segments_leave_at_most_255_ids():
    image = np.zeros((40, 50, 3), np.uint8)
    segments = (np.arange(2000, dtype=np.int32) // 2 + 1).reshape(40, 50)
    whole = photo_cloud.cloud_of(image, np.ones((40, 50), np.float32), segments, K)
    background, (a,) = split(whole, (0, 1, 2))
    ids = shot.instance_map(background, [a], 40, 50)
    assert sorted(np.unique(ids)) == list(range(256))


def test_moving_instances_are_numbered_before_static_ones():
    background, (a, b) = split(cloud(), (0,), (1, 2))
    made, blobs = build(background, [picked("Vase", a, moving=False), picked("Cat", b, rise=1)])
    assert [(i.id, i.name, i.moving) for i in made.instances] == [
        (1, "Cat", True),
        (2, "Vase", False),
    ]
    assert made.moved_from_rest.shape == (3, 1, 4, 4)
    ids = content.array_of(made.instance_map, blobs[made.instance_map.sha256])
    assert ids.tolist()[0][:3] == [2, 1, 1]
    assert made.instances[0].handle == (0, 0, 5)


def test_a_shot_with_a_rising_handle_has_no_problems_and_holds_the_photo():
    background, (a,) = split(cloud(), (0, 1))
    made, blobs = build(background, [picked("Cat", a, rise=1)])
    assert rules.problems(made) == []
    assert content.array_of(
        made.scene.image, blobs[made.scene.image.sha256]
    ).ravel().tolist() == list(range(24))
    assert (made.intrinsics == K).all()
    assert made.moved_from_rest[:, 0, 1, 3].tolist() == pytest.approx([0, -0.5, -1])


def test_a_shot_without_moving_instances_is_built_and_refused_by_the_rules():
    made, _ = build(cloud(), [])
    assert made.moved_from_rest.shape == (3, 0, 4, 4)
    assert [problem.code for problem in rules.problems(made)] == ["nothing_moves"]


def test_equal_shots_have_equal_hashes_and_another_seed_another():
    background, (a,) = split(cloud(), (0, 1))
    first, second, third = (
        content.shot_hash(build(background, [picked("Cat", a, rise=1)], seed=seed)[0])
        for seed in (0, 0, 1)
    )
    assert first == second != third


def test_flatten_and_thickness_travel_with_their_instance_and_the_depth_stays_as_it_was_lifted():
    background, (a, b) = split(cloud(), (0,), (1, 2))
    shaped = replace(picked("Vase", a, moving=False), flatten=0.5, thickness=0.25)
    made, _ = build(background, [shaped, picked("Cat", b, rise=1)])
    plain, _ = build(background, [picked("Vase", a, moving=False), picked("Cat", b, rise=1)])
    assert [(i.name, i.flatten, i.thickness) for i in made.instances] == [
        ("Cat", 0.0, 0.0),
        ("Vase", 0.5, 0.25),
    ]
    assert made.scene.depth == plain.scene.depth
    assert rules.problems(made) == []
    assert content.shot_hash(made) != content.shot_hash(plain)


def test_anchors_are_on_unless_they_are_switched_off():
    background, (a,) = split(cloud(), (0, 1))
    built = [
        build(background, [picked("Cat", a, rise=1)], **t)[0] for t in ({}, {"anchors": False})
    ]
    assert [one.anchors for one in built] == [True, False]


def test_a_static_handle_that_strays_is_told_from_one_that_stays():
    a = cloud()
    assert shot.strayed(picked("Vase", a)) is None
    assert shot.strayed(picked("Vase", a, rise=2.0)) == 1


@pytest.mark.parametrize("largest", [3, 2**31 - 1])
def test_segments_of_any_number_are_counted_alike(largest):
    # Sizes 4, 3, 2 of segments 1, 2 and the largest; with one pick and three ids the last goes.
    segments = np.array([[1, 1, 2, 2], [1, 2, largest, largest], [1, 0, -1, 0]], np.int32)
    shape = segments.shape
    cloud = photo_cloud.cloud_of(
        np.zeros((*shape, 3), np.uint8), np.ones(shape), segments, np.eye(3)
    )
    mine = np.arange(12) == 11
    found = shot.instance_map(cloud.take(~mine), [cloud.take(mine)], 3, 4, limit=3)
    assert found.tolist() == [[2, 2, 3, 3], [2, 3, 0, 0], [2, 0, 0, 1]]
