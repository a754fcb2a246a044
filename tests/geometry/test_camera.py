"""Pinhole cameras: numbers to check by hand, and round trips."""

from __future__ import annotations

import math

import pytest
import torch

from backend.contracts import Camera
from backend.geometry.camera import (
    intrinsics_from_focal,
    intrinsics_from_fov,
    project,
    scaled_intrinsics,
    unproject,
)


def camera(fx=8.0, fy=8.0, cx=3.0, cy=2.0, height=4, width=6):
    return Camera(intrinsics=intrinsics_from_focal(fx, fy, cx, cy), height=height, width=width)


def test_ninety_degrees_across_is_a_focal_length_of_half_the_width():
    k = intrinsics_from_fov(90.0, 300, 400)
    torch.testing.assert_close(
        k, torch.tensor([[200.0, 0, 200], [0, 200, 150], [0, 0, 1]]).double()
    )


@pytest.mark.parametrize("degrees", [0.0, -5.0, 180.0, math.nan])
def test_an_impossible_field_of_view_is_refused(degrees):
    with pytest.raises(ValueError, match="between 1 and 175"):
        intrinsics_from_fov(degrees, 3, 4)


def test_a_point_on_the_axis_projects_to_the_principal_point():
    assert project(torch.tensor([0.0, 0.0, 7.0]), camera()).tolist() == [3.0, 2.0]


@pytest.mark.parametrize(
    ("point", "pixel"),
    [
        pytest.param((1.0, 0.0, 8.0), (4.0, 2.0), id="right is plus x"),
        pytest.param((0.0, 1.0, 8.0), (3.0, 3.0), id="down is plus y"),
        pytest.param((1.0, 0.0, 4.0), (5.0, 2.0), id="twice as near is twice as far out"),
    ],
)
def test_points_land_where_they_should(point, pixel):
    assert tuple(project(torch.tensor(point), camera()).tolist()) == pixel


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(camera(), id="landscape"),
        pytest.param(camera(height=9, width=5, cx=2.5, cy=4.5), id="portrait"),
        pytest.param(camera(fx=11.0, fy=7.0), id="oblong pixels"),
        pytest.param(camera(cx=0.3, cy=3.9), id="off-centre"),
        pytest.param(camera(height=1, width=1, cx=0.5, cy=0.5), id="one pixel"),
    ],
)
def test_unprojected_pixels_project_to_their_own_centres(view):
    depth = torch.rand(view.height, view.width, generator=torch.Generator().manual_seed(0)) + 1
    points = unproject(depth, view.intrinsics)
    assert points.shape == (view.height, view.width, 3)
    torch.testing.assert_close(points[..., 2], depth)
    pixel = project(points, view)
    x = (torch.arange(view.width) + 0.5).expand(view.height, -1)
    y = (torch.arange(view.height) + 0.5)[:, None].expand(-1, view.width)
    torch.testing.assert_close(pixel, torch.stack([x, y], -1), atol=1e-5, rtol=0)


def test_resizing_the_image_keeps_the_directions():
    k = intrinsics_from_focal(8.0, 6.0, 3.0, 2.0)
    half = scaled_intrinsics(k, 0.5, 0.5)
    ray = torch.linalg.inv(k) @ torch.tensor([1.0, 3.0, 1.0]).double()
    torch.testing.assert_close(half @ ray, torch.tensor([0.5, 1.5, 1.0]).double())


def test_unprojecting_is_differentiable_in_depth():
    depth = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d: unproject(d, camera().intrinsics), depth)


def test_intrinsics_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\), got \(4, 4\)"):
        unproject(torch.ones(2, 2), torch.eye(4))
