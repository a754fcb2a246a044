"""The merging rule, branch by branch, on a frame of 100 x 100: the least area is 10 pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.control.merge_masks import merge_masks
from tests.randomness import examples

SIZE = (100, 100)


def box(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def areas(merged):
    return {int(i): int((merged == i).sum()) for i in np.unique(merged) if i}


def test_picks_count_from_one_and_the_worst_automatic_mask_follows_them():
    best, worst = box(50, 0, 60, 10), box(70, 0, 80, 10)
    merged = merge_masks([box(0, 0, 10, 10)], [best, worst], SIZE)
    assert (merged[0, 0], merged[75, 5], merged[55, 5]) == (1, 2, 3)


def test_an_automatic_mask_never_takes_a_picks_pixels():
    merged = merge_masks([box(0, 0, 10, 10)], [box(0, 0, 50, 50)], SIZE)
    assert areas(merged) == {1: 100, 2: 2400}


def test_the_larger_owner_keeps_contested_pixels():
    merged = merge_masks([box(0, 0, 30, 30), box(20, 20, 35, 35)], [], SIZE)
    assert areas(merged) == {1: 900, 2: 225 - 100}


def test_the_smaller_owner_loses_them():
    merged = merge_masks([box(0, 0, 20, 20), box(10, 10, 50, 50)], [], SIZE)
    assert areas(merged) == {1: 400 - 100, 2: 1600}


def test_of_several_owners_the_one_with_most_contested_pixels_decides_for_all():
    first, second = box(0, 0, 30, 30), box(0, 30, 10, 40)
    third = box(0, 20, 30, 40)  # 300 pixels of the first, 100 of the second; area 600 < 900
    assert areas(merge_masks([first, second, third], [], SIZE)) == {1: 900, 2: 100, 3: 200}


def test_what_is_left_with_too_few_pixels_is_no_instance():
    assert areas(merge_masks([box(0, 0, 2, 5)], [], SIZE)) == {}  # 10 pixels: not more than 10
    assert areas(merge_masks([box(0, 0, 1, 11)], [], SIZE)) == {1: 11}


def test_pixels_cleared_for_a_mask_that_then_fails_stay_nothing():
    # The automatic mask is the larger by its first area, but the pick takes nearly all of it.
    pick, automatic = box(0, 0, 40, 40), box(0, 0, 40, 41)
    other = box(0, 40, 20, 41)  # 20 pixels, laid down before: worst first
    merged = merge_masks([pick], [automatic, other], SIZE)
    assert areas(merged) == {1: 1600, 3: 40}


def test_no_masks_is_an_empty_map():
    assert merge_masks([], [], (4, 5)).shape == (4, 5)


def merged_of_three(first, second, third, picks=3):
    masks = [first, second, third]
    return areas(merge_masks(masks[:picks], masks[picks:][::-1], SIZE))


# Frame of 100 x 100, so a mask needs 11 pixels. Ids are in the order the three are laid down.
@pytest.mark.parametrize(
    ("masks", "picks", "left"),
    [
        pytest.param(
            [box(0, 0, 20, 20), box(30, 0, 50, 20), box(60, 0, 80, 20)],
            3,
            {1: 400, 2: 400, 3: 400},
            id="apart: nobody loses anything",
        ),
        pytest.param(
            [box(0, 0, 20, 20), box(10, 0, 60, 20), box(50, 0, 90, 20)],
            3,
            {1: 200, 2: 1000, 3: 600},
            id="picks lose to each other: 400 < 1000, then 1000 is not < 800",
        ),
        pytest.param(
            [box(0, 0, 20, 20), box(0, 0, 20, 20), box(0, 20, 20, 30)],
            3,
            {1: 400, 3: 200},
            id="an equal area is not larger: the owner keeps all, the second vanishes",
        ),
        pytest.param(
            [box(0, 0, 20, 20), box(0, 0, 40, 40), box(0, 0, 10, 10)],
            3,
            {2: 1600},
            id="the first is swallowed by the second, which then keeps its pixels from the third",
        ),
        pytest.param(
            [box(0, 0, 20, 20), box(10, 10, 40, 40), box(30, 30, 70, 70)],
            1,
            {1: 400, 2: 800 - 100, 3: 1600},
            id="automatic ones spare the pick and fight each other, larger wins",
        ),
        pytest.param(
            [box(0, 0, 30, 30), box(0, 30, 30, 50), box(0, 10, 30, 40)],
            1,
            {1: 900, 2: 300, 3: 300},
            id="the area that counts is the one before the pick took its part: 600 < 900",
        ),
        pytest.param(
            [box(0, 0, 10, 40), box(10, 0, 20, 40), box(5, 0, 15, 41)],
            3,
            {1: 200, 2: 200, 3: 410},
            id="a tie of two owners goes to the smaller id; both lose when it is the smaller area",
        ),
        pytest.param(
            [box(0, 0, 30, 30), box(30, 0, 35, 30), box(20, 0, 35, 30)],
            3,
            {1: 900, 2: 150},
            id="the owner of most contested pixels keeps them for the smaller owner too",
        ),
        pytest.param(
            [box(0, 0, 4, 4), box(0, 0, 4, 2), box(0, 2, 4, 9)],
            3,
            {3: 28},
            id="8 pixels are too few to be laid down, and so are the 8 that are left of the first",
        ),
        pytest.param(
            [box(0, 0, 10, 10), box(0, 0, 10, 10) ^ box(2, 0, 10, 10), box(50, 50, 60, 60)],
            2,
            {1: 100, 3: 100},
            id="a pick inside a larger pick has no pixel left",
        ),
    ],
)
def test_three_masks_meet_by_the_rule(masks, picks, left):
    assert merged_of_three(*masks, picks=picks) == left


def reference_merge(masks, picks):
    """The documented rule, with whole maps."""
    merged = np.zeros(SIZE, int)
    for q, mask in enumerate(masks, 1):
        m = mask.copy()
        if q > picks:
            m &= ~((merged >= 1) & (merged <= picks))
        d = m & (merged > 0)
        if d.any():
            p = np.bincount(merged[d]).argmax()
            if (merged == p).sum() < mask.sum():
                merged[d] = 0
            else:
                m &= ~d
        if m.sum() > 10:
            merged[m] = q
    for q in range(1, len(masks) + 1):
        if (merged == q).sum() <= 10:
            merged[merged == q] = 0
    return merged


@given(st.integers(0, 10_000), st.integers(0, 4))
@examples(60)
def test_any_masks_meet_by_the_rule_as_it_is_told(seed, picks):
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(12):
        top, left = rng.integers(0, 90, 2)
        height, width = rng.integers(1, 50, 2)
        masks.append(box(top, left, top + height, left + width) & (rng.random(SIZE) < 0.9))
    merged = merge_masks(masks[:picks], masks[picks:][::-1], SIZE)
    assert (merged == reference_merge(masks, picks)).all()
    assert merged.dtype == np.int32


def test_a_stack_with_scores_is_laid_down_worst_first():
    stack = np.stack([box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10)])
    merged = merge_masks([], stack, SIZE, scores=[0.9, 0.95, 0.88])
    assert (merged[5, 5], merged[25, 5], merged[45, 5]) == (2, 3, 1)
    best_first = merge_masks([], [stack[1], stack[0], stack[2]], SIZE)
    assert (merged == best_first).all()


def test_of_equal_scores_the_first_is_the_better_one():
    stack = np.stack([box(0, 0, 10, 10), box(20, 0, 30, 10)])
    assert merge_masks([], stack, SIZE, scores=np.array([0.9, 0.9]))[5, 5] == 2


def test_of_too_many_automatic_masks_the_worst_are_left_out():
    rows = [box(n // 8, 12 * (n % 8), n // 8 + 1, 12 * (n % 8) + 12) for n in range(300)]
    merged = merge_masks([box(90, 0, 100, 100)] * 2, rows, SIZE)
    # 253 places beside two picks; the second pick lost all to the first
    assert sorted(areas(merged)) == [1, *range(3, 256)]
    assert merged[0, 0] == 255
    assert merged[252 // 8, 12 * (252 % 8)] == 3
    assert merged[253 // 8, 12 * (253 % 8)] == 0


def test_sizes_numbers_and_scores_are_checked():
    small = np.ones((3, 3), bool)
    with pytest.raises(ValueError, match=r"pick 1 is \(3, 3\), the map \(100, 100\)"):
        merge_masks([small], [], SIZE)
    with pytest.raises(ValueError, match=r"automatic mask 2 is \(3, 3\)"):
        merge_masks([], [box(0, 0, 9, 9), small], SIZE)
    with pytest.raises(ValueError, match="256 masks were picked; an id map holds at most 255"):
        merge_masks([box(0, 0, 1, 1)] * 256, [], SIZE)
    for scores in ([0.5], [0.5, np.nan], [[0.5], [0.5]]):
        with pytest.raises(ValueError, match="2 automatic masks need 2 finite scores"):
            merge_masks([], [box(0, 0, 9, 9)] * 2, SIZE, scores)
