"""The merging rule, branch by branch, on a frame of 100 x 100: the least area is 10 pixels."""

from __future__ import annotations

import numpy as np
import pytest

from backend.control.merge import merge_masks

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


def test_sizes_and_numbers_are_checked():
    with pytest.raises(ValueError, match=r"mask 1 is \(3, 3\), the map \(100, 100\)"):
        merge_masks([np.ones((3, 3), bool)], [], SIZE)
    with pytest.raises(ValueError, match="256 masks"):
        merge_masks([box(0, 0, 1, 1)] * 256, [], SIZE)
