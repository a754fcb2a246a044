"""Segments without clicks: the grid, what is good, what is the same, and the map."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.perception import automatic
from backend.perception.automatic import Options
from backend.perception.segment_anything import SegmentAnything
from tests.perception.test_segment_anything import Discs


def test_the_grid_is_the_middles_of_equal_cells():
    grid = automatic.point_grid(2, 100, 40)
    assert grid.tolist() == [[10, 25], [30, 25], [10, 75], [30, 75]]
    assert len(automatic.point_grid(32, 427, 640)) == 1024


def test_stability_is_the_area_at_plus_one_over_that_at_minus_one():
    sure = torch.full((4, 4), -9.0)
    sure[:2] = 9.0
    unsure = sure.clone()
    unsure[2] = 0.5  # four pixels that one threshold counts and the other does not
    assert automatic.stability(sure, 1.0) == 1.0
    assert automatic.stability(unsure, 1.0) == 8 / 12
    assert automatic.stability(torch.full((4, 4), -9.0), 1.0) == 0.0


def test_boxes_end_after_the_last_pixel():
    logits = torch.full((6, 8), -1.0)
    assert automatic.mask_box(logits).tolist() == [0, 0, 0, 0]
    logits[1:4, 2:7] = 1.0
    assert automatic.mask_box(logits).tolist() == [2, 1, 7, 4]


def reference_non_maximum_suppression(boxes, scores, most):
    """The same rule, one pair after the other."""
    kept = []
    for index in sorted(range(len(boxes)), key=lambda n: (-scores[n], n)):
        a = boxes[index]
        for other in kept:
            b = boxes[other]
            across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
            common = across * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
            if common > most * (sum(areas) - common):
                break
        else:
            kept.append(index)
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_what_overlaps_a_better_one_goes_as_the_plain_rule_says(seed):
    generator = np.random.default_rng(seed)
    corners = generator.integers(0, 30, (60, 2))
    boxes = np.concatenate([corners, corners + generator.integers(1, 20, (60, 2))], 1).astype(float)
    scores = generator.integers(0, 10, 60) / 10  # with ties
    found = automatic.non_maximum_suppression(
        torch.from_numpy(boxes), torch.from_numpy(scores), 0.5
    )
    assert found.tolist() == reference_non_maximum_suppression(boxes.tolist(), scores.tolist(), 0.5)


def test_only_sure_stable_and_distinct_masks_stay_best_first():
    """Four prompts with one mask each: fine, the same but better, not sure, not stable."""
    block, shaky = torch.full((16, 16), -9.0), torch.full((16, 16), -0.5)
    block[2:8, 2:8] = 9.0
    shaky[9:12, 9:12] = 9.0
    logits = torch.stack([block, block + 1, block.flip(0), shaky])[:, None]
    scores = torch.tensor([0.9, 0.95, 0.5, 0.99])[:, None]
    numbers = {(float(n), 0.0): n for n in range(4)}

    def decode(points):
        rows = [numbers[tuple(point)] for point in points]
        return logits[rows], scores[rows]

    points = np.array([[float(n), 0.0] for n in range(4)])
    for batch in (1, 3, 4):
        kept = automatic.generate_masks(decode, points, Options(batch=batch), (16, 16))
        assert len(kept) == 1
        assert torch.equal(kept[0], logits[1, 0])


def test_padding_counts_for_nothing():
    """A mask that fills all of the photo is none, though the padding below is empty."""
    logits = torch.full((1, 1, 8, 8), -9.0)
    logits[:, :, :4] = 9.0
    kept = automatic.generate_masks(
        lambda points: (logits, torch.ones(1, 1)), np.zeros((1, 2)), Options(), (4, 8)
    )
    assert len(kept) == 0


def test_islands_and_holes_below_a_two_thousandth_go_but_never_the_whole_mask():
    mask = torch.full((100, 100), -3.0)
    mask[10:60, 10:60] = 3.0
    mask[20:22, 20:22] = -3.0  # 4 pixels: a speck
    mask[30:40, 30:40] = -3.0  # 100: a hole that is meant
    mask[80, 80] = 3.0
    clean = automatic.remove_specks(mask, 100 * 100)
    assert clean[20, 20] > 0
    assert clean[35, 35] == -3
    assert clean[80, 80] < 0
    assert clean[15, 15] == 3
    assert mask[80, 80] == 3  # what was given is as it was
    dot = torch.full((100, 100), -3.0)
    dot[5, 5] = 3.0
    assert torch.equal(automatic.remove_specks(dot, 100 * 100), dot)


def test_the_map_counts_from_the_largest_and_a_part_of_something_larger_is_no_segment():
    whole, part, far, other = np.zeros((4, 100, 100), bool)
    whole[10:90, 10:50] = True
    part[20:40, 20:40] = True
    far[95:99, 2:9] = True
    other[10:90, 40:90] = True  # larger than the whole, and of its columns 40..49 too
    found = automatic.segment_map([part, far, other, whole], (100, 100))
    assert found.dtype == np.int32
    assert (found[50, 45], found[50, 20], found[30, 30]) == (1, 2, 2)
    assert (found[96, 4], found[0, 0]) == (3, 0)
    assert [int((found == n).sum()) for n in (1, 2, 3)] == [80 * 50, 80 * 30, 28]


def test_no_mask_at_all_is_an_empty_map():
    assert not automatic.segment_map([], (20, 30)).any()


def test_a_grid_of_discs_becomes_a_map_of_discs():
    """The known geometry again: 8 x 8 discs of 40 on a photo that the network sees at its size."""
    model = SegmentAnything("discs", Discs())
    embedding = model.encode(np.zeros((1024, 1024, 3), np.uint8))
    masks = model.automatic(embedding, Options(points_per_side=8, stability_score_thresh=0.9))
    assert len(masks) == 64
    found = automatic.segment_map(masks, (1024, 1024))
    assert found.max() == 64
    # 1024 / 8 = 128 apart, so that they do not touch; each an area of pi 40^2 = 5027
    assert np.abs(np.bincount(found.ravel())[1:] - 5027).max() < 40
    assert (
        len({int(found[64 + 128 * row, 64 + 128 * n]) for row in range(8) for n in range(8)}) == 64
    )
