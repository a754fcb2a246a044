"""The masks of one answer, without Blender."""

import numpy as np
import pytest

from blender_addon.core.mask_candidates import from_reply
from protocol import content, messages
from protocol.errors import ShotError

CLICKS = ((1.5, 0.5, True),)


def reply(*masks, scores=(), logits=(), depths=None, plain=False):
    """A ``segmented`` of these (2, 3) masks, each 7 deep; and its blobs."""
    blobs = {}

    def put(array):
        ref, data = content.array_blob_of(array)
        blobs[ref.sha256] = data
        return ref

    masks = [np.array(mask, np.uint8).reshape(2, 3) for mask in masks]
    if depths is None:
        depths = [np.full(int(mask.sum()), 7.0, np.float32) for mask in masks]
    refs = tuple(put(mask) for mask in masks)
    message = messages.Segmented(
        job="j",
        mask=refs[0],
        depth=put(np.arange(6, dtype=np.float32).reshape(2, 3)),
        segment_model="m",
        candidates=() if plain else refs,
        depths=() if plain else tuple(put(depth) for depth in depths),
        scores=tuple(scores),
        logits=tuple(put(one) for one in logits),
    )
    return message, blobs


def test_each_mask_has_its_own_pixels_and_depth_at_the_points_that_are_left():
    far = np.array([5.0, 6.0], np.float32)
    near = np.array([1.0], np.float32)
    found = from_reply(
        *reply([0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0], depths=[far, near]), 6, CLICKS, None
    )
    mask, depth = found.masks[0].at(np.array([5, 4, 1]), 6)
    assert (mask.tolist(), depth.tolist()) == ([True, False, True], [6.0, 0.0, 5.0])
    mask, depth = found.masks[1].at(np.array([5, 0]), 6)
    assert (mask.tolist(), depth.tolist()) == ([False, True], [0.0, 1.0])


def test_a_mask_says_which_of_how_many_it_is_and_how_sure_the_model_is():
    masks = [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]
    assert from_reply(*reply(*masks, scores=(0.934, 0.5)), 6, CLICKS, None).label(0) == (
        "Mask 1 of 2 (0.93)"
    )
    assert from_reply(*reply(*masks), 6, CLICKS, None).label(1) == "Mask 2 of 2"


def test_a_server_that_knows_no_candidates_gives_one_with_the_depth_under_its_mask():
    found = from_reply(*reply([0, 1, 0, 0, 0, 1], plain=True), 6, CLICKS, None)
    assert len(found.masks) == 1
    assert found.masks[0].depth.tolist() == [1.0, 5.0]
    assert found.masks[0].score is found.masks[0].logits is None


def test_what_an_answer_takes_is_its_bits_its_depths_and_its_logits():
    logits = [np.zeros((2, 2), np.float32)]
    found = from_reply(
        *reply([1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], logits=logits), 6, CLICKS, None
    )
    assert [mask.nbytes for mask in found.masks] == [1 + 2 * 4 + 16, 1 + 4 * 4]
    assert found.nbytes == 42


def test_logits_stay_with_their_mask():
    logits = [np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)]
    found = from_reply(
        *reply([1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], logits=logits), 6, CLICKS, None
    )
    ref, data = found.masks[1].logits
    assert (content.array_of(ref, data) == 1).all()


@pytest.mark.parametrize(
    ("clicks", "box", "goes_on"),
    [
        (((1.5, 0.5, True), (0.1, 0.2, False)), None, True),
        (((1.5, 0.5, True),), None, False),
        (((1.5, 0.5, False), (0.1, 0.2, False)), None, False),
        (((0.5, 0.5, True), (1.5, 0.5, True)), None, False),
        (((1.5, 0.5, True), (0.1, 0.2, False)), (0.0, 0.0, 1.0, 1.0), False),
        ((), None, False),
    ],
    ids=["one more", "the same", "another sign", "another first", "another box", "none"],
)
def test_only_more_clicks_after_the_same_ones_in_the_same_box_go_on(clicks, box, goes_on):
    found = from_reply(*reply([1, 0, 0, 0, 0, 0]), 6, CLICKS, None)
    assert found.goes_on(clicks, box) == goes_on


def test_clicks_are_compared_as_blender_keeps_them():
    found = from_reply(*reply([1, 0, 0, 0, 0, 0]), 6, ((0.1, 0.7, True),), (0.1, 0.2, 0.3, 0.4))
    kept = (float(np.float32(0.1)), float(np.float32(0.7)), True)
    box = tuple(float(np.float32(edge)) for edge in (0.1, 0.2, 0.3, 0.4))
    assert found.goes_on((kept, (2.0, 1.0, True)), box)


@pytest.mark.parametrize(("size", "depths"), [(7, None), (6, [np.zeros(3, np.float32)]), (6, [])])
def test_an_answer_whose_parts_do_not_belong_together_is_refused(size, depths):
    with pytest.raises(ShotError, match="Mask 1 of the answer has 6 pixels"):
        from_reply(*reply([1, 1, 0, 0, 0, 0], depths=depths), size, CLICKS, None)
