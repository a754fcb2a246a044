"""Lines around some of a photo's pixels."""

import numpy as np

from blender_addon.core import outline

K = np.array([[10.0, 0, 2], [0, 10.0, 1], [0, 0, 1]])


def as_sides(segments):
    """Both ends of each side as rounded (x, z, height) in any order."""
    return {frozenset(tuple(np.round(end, 4).tolist()) for end in side) for side in segments}


def test_one_pixel_has_its_four_sides_at_its_depth():
    # Column 2, row 1 of a photo 4 wide: from the principal point (2, 1) one pixel right and down.
    found = outline.segments(np.array([1 * 4 + 2]), np.array([5.0], np.float32), K, 4)
    assert found.shape == (4, 2, 3)
    corners = [(0.0, 5.0, 0.0), (0.5, 5.0, 0.0), (0.5, 5.0, -0.5), (0.0, 5.0, -0.5)]
    expected = {frozenset((corners[n], corners[(n + 1) % 4])) for n in range(4)}
    assert as_sides(found + 0.0) == expected


def test_no_line_runs_between_two_pixels_of_the_set():
    block = np.array([row * 4 + column for row in (0, 1) for column in (0, 1, 2)])
    found = outline.segments(block, np.full(6, 5.0, np.float32), K, 4)
    assert len(found) == 2 * (3 + 2)


def test_a_hole_has_an_outline_too_and_the_photos_edge_counts_as_outside():
    ring = np.array([k for k in range(9) if k != 4])
    found = outline.segments(ring, np.full(8, 2.0, np.float32), K, 3)
    assert len(found) == 12 + 4


def test_nothing_has_no_outline():
    found = outline.segments(np.zeros(0, np.int32), np.zeros(0, np.float32), K, 4)
    assert found.shape == (0, 2, 3)
