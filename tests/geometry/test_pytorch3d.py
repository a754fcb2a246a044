"""PyTorch3D's rasteriser behind our signature: its coordinates here, its ids where it is there."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.contracts import Camera
from backend.geometry.camera import intrinsics_from_focal
from backend.geometry.splat import render_masks
from backend.geometry.splat_pytorch3d import ids_and_depth, ndc_from_pixels, ndc_points
from tests.randomness import examples

PRESENT = importlib.util.find_spec("pytorch3d") is not None


def cloud(seed, count=60):
    """Points before, at and behind a camera of 9 x 6 pixels or 6 x 9; its ids and radii."""
    generator = torch.Generator().manual_seed(seed)
    height, width = (6, 9) if seed % 2 else (9, 6)
    camera = Camera(
        intrinsics=intrinsics_from_focal(5.0, 4.0, 3.2, 2.7), height=height, width=width
    )
    points = torch.randn(count, 3, generator=generator)
    points[:, 2] = points[:, 2] + 1.0
    points[:, 2] = (points[:, 2] * 4).round() / 4
    instance = torch.randint(0, 5, (count,), generator=generator, dtype=torch.int32)
    return points, instance, camera, torch.rand(count, generator=generator) * 2 + 0.2


@pytest.mark.parametrize(
    ("height", "width", "pixel", "ndc"),
    [
        pytest.param(2, 4, (2.0, 1.0), (0.0, 0.0), id="landscape, the middle"),
        pytest.param(2, 4, (0.0, 0.0), (2.0, 1.0), id="landscape, top left is +x +y"),
        pytest.param(2, 4, (4.0, 2.0), (-2.0, -1.0), id="landscape, bottom right"),
        pytest.param(2, 4, (0.5, 0.5), (1.5, 0.5), id="landscape, centre of the first pixel"),
        pytest.param(512, 288, (144.0, 256.0), (0.0, 0.0), id="portrait, the middle"),
        pytest.param(512, 288, (0.0, 0.0), (1.0, 16 / 9), id="portrait, the corner is at 512/288"),
        pytest.param(512, 288, (288.0, 256.0), (-1.0, 0.0), id="portrait, the right edge is -1"),
    ],
)
def test_the_shorter_side_spans_minus_one_to_one(height, width, pixel, ndc):
    found = ndc_from_pixels(torch.tensor(pixel, dtype=torch.float64), height, width)
    torch.testing.assert_close(found, torch.tensor(ndc, dtype=torch.float64))


def test_the_radius_is_in_the_same_unit_and_smaller_ids_come_first():
    # Focal length 1 and principal point 0: a point (x, y, 1) lands on pixel (x, y)
    camera = Camera(intrinsics=intrinsics_from_focal(1.0, 1.0, 0.0, 0.0), height=288, width=512)
    points = torch.tensor([[256.0, 144.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    ids, radius = torch.tensor([7, 3, 1]), torch.tensor([1.44, 0.72, 5.0])
    ndc, reach, order = ndc_points(points, ids, camera, radius)
    assert order.tolist() == [1, 0]  # z = 0 is not seen
    torch.testing.assert_close(ndc, torch.tensor([[16 / 9, 1.0, 1.0], [0.0, 0.0, 1.0]]))
    torch.testing.assert_close(reach, torch.tensor([0.005, 0.01]))  # 144 pixels are 1


def nearest_in_ndc(ndc, reach, height, width):
    """What the package documents, pixel by pixel: +x left, +y up, of equals the first."""
    found = torch.full((height, width), -1, dtype=torch.int64)
    unit = 2 / min(height, width)
    for row in range(height):
        for column in range(width):
            x, y = (width / 2 - column - 0.5) * unit, (height / 2 - row - 0.5) * unit
            covers = (ndc[:, 0] - x) ** 2 + (ndc[:, 1] - y) ** 2 < reach**2
            if bool(covers.any()):
                found[row, column] = torch.where(covers, ndc[:, 2], torch.inf).argmin()
    return found


@given(st.integers(0, 10_000))
@examples(30)
def test_the_documented_rule_in_its_coordinates_shows_our_ids_and_depths(seed):
    points, instance, camera, radius = cloud(seed)
    ours = render_masks(points[None], instance, camera, radius)
    ndc, reach, order = ndc_points(points, instance, camera, radius)
    nearest = nearest_in_ndc(ndc.double(), reach.double(), camera.height, camera.width)
    found = torch.where(nearest >= 0, order[nearest.clamp(min=0)], -1)
    ids, depth = ids_and_depth(found, points, instance)
    torch.testing.assert_close(ids, ours.instance[0], rtol=0, atol=0)
    torch.testing.assert_close(depth, ours.depth[0], rtol=0, atol=0)


@pytest.mark.skipif(PRESENT, reason="pytorch3d is installed")
def test_without_the_package_a_sentence_says_what_to_do_instead():
    points, instance, camera, radius = cloud(0)
    with pytest.raises(ValueError, match="pytorch3d, which is not installed; rasteriser 'own'"):
        render_masks(points[None], instance, camera, radius, rasteriser="pytorch3d")


def test_a_rasteriser_nobody_knows_is_refused_by_name():
    points, instance, camera, radius = cloud(0)
    with pytest.raises(ValueError, match="'opengl' is not one of own, pytorch3d"):
        render_masks(points[None], instance, camera, radius, rasteriser="opengl")


@pytest.mark.skipif(not PRESENT, reason="pytorch3d is not installed")
@pytest.mark.filterwarnings("default")  # the package's own
@pytest.mark.parametrize("seed", range(6))
def test_the_package_shows_our_ids_and_depths(seed):
    points, instance, camera, radius = cloud(seed, count=300)
    given = torch.stack([points, points * 0.8]), instance, camera, radius
    ours, theirs = render_masks(*given), render_masks(*given, rasteriser="pytorch3d")
    torch.testing.assert_close(theirs.instance, ours.instance, rtol=0, atol=0)
    torch.testing.assert_close(theirs.depth, ours.depth, rtol=0, atol=0)


@pytest.mark.skipif(not PRESENT, reason="pytorch3d is not installed")
@pytest.mark.filterwarnings("default")
def test_the_package_shows_nothing_of_no_points():
    _, _, camera, _ = cloud(0)
    points, instance = torch.zeros(1, 0, 3), torch.zeros(0, dtype=torch.int32)
    masks = render_masks(points, instance, camera, 1.0, rasteriser="pytorch3d")
    assert bool((masks.instance == -1).all())
