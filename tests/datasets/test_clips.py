"""Clips: which frames of a video, and which part of them."""

import numpy as np
import pytest

from backend.datasets.base import LabelledClip
from backend.datasets.clips import crop_to, instance_areas, only, windows, without_small
from tests.datasets import tiny


def a_clip(frames=3, objects=2):
    return LabelledClip(
        frames=np.stack([tiny.picture(at, objects) for at in range(frames)]),
        ids=np.stack([tiny.labels(at, objects) for at in range(frames)]).astype(np.int32),
        names=tuple(f"object {number}" for number in range(1, objects + 1)),
    )


@pytest.mark.parametrize(
    ("total", "length", "step", "starts"),
    [
        pytest.param(50, 16, None, (0, 16, 32), id="side by side"),
        pytest.param(20, 16, 4, (0, 4), id="overlapping"),
        pytest.param(16, 16, None, (0,), id="exactly one"),
        pytest.param(15, 16, None, (), id="too short"),
    ],
)
def test_windows_of_consecutive_frames(total, length, step, starts):
    assert windows(total, length, step) == starts


@pytest.mark.parametrize(("height", "width"), [(48, 64), (24, 24), (24, 64), (96, 64), (288, 512)])
def test_the_middle_is_kept_in_the_proportions_asked_for(height, width):
    cropped = crop_to(a_clip(), height, width)
    assert cropped.frames.shape == (3, height, width, 3)
    assert cropped.ids.shape == (3, height, width)
    assert set(np.unique(cropped.ids)) <= {0, 1, 2}


def test_a_crop_cuts_as_much_from_either_side_and_ids_stay_on_their_objects():
    clip = a_clip()
    square = crop_to(clip, tiny.HEIGHT, tiny.HEIGHT)
    cut = (tiny.WIDTH - tiny.HEIGHT) // 2
    np.testing.assert_array_equal(square.frames, clip.frames[:, :, cut:-cut])
    np.testing.assert_array_equal(square.ids, clip.ids[:, :, cut:-cut])


def test_depth_is_cropped_too():
    clip = a_clip().with_depth(np.full((3, tiny.HEIGHT, tiny.WIDTH), 5.0, np.float32), 2.0, 9.0)
    assert crop_to(clip, 24, 32).depth.shape == (3, 24, 32)
    assert crop_to(clip, 24, 32).annotated().near == 2.0


def test_areas_are_counted_for_each_object_and_frame():
    np.testing.assert_array_equal(instance_areas(a_clip()), np.full((3, 2), 144))


def test_objects_that_are_left_out_close_up():
    clip = only(a_clip(), [2])
    assert clip.names == ("object 2",)
    np.testing.assert_array_equal(clip.ids[0] == 1, tiny.labels(0) == 2)
    assert clip.ids.max() == 1


def test_an_object_that_is_never_larger_than_a_share_of_the_frame_is_left_out():
    clip = a_clip()
    clip.ids[:, 20:32] = 0
    clip.ids[1, 20, 20] = 2
    assert without_small(clip, 0.001).names == ("object 1",)
    assert without_small(clip, 0.0).names == ("object 1", "object 2")


def test_without_depth_there_is_no_control_and_the_sentence_says_how_to_mend_it():
    with pytest.raises(ValueError, match="call with_depth first"):
        a_clip().annotated()


def test_an_annotated_clip_has_the_frames_and_ids_of_the_files():
    ready = a_clip().with_depth(np.ones((3, tiny.HEIGHT, tiny.WIDTH), np.float32), 0.5, 2.0)
    clip = ready.annotated()
    assert clip.frames.shape == (3, 3, tiny.HEIGHT, tiny.WIDTH)
    np.testing.assert_allclose(clip.frames[1].movedim(0, -1) * 255, tiny.picture(1), atol=1e-4)
    assert (clip.moving, clip.names) == (2, ("object 1", "object 2"))
