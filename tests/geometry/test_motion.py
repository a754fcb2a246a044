"""Moving points: instances, camera, lens, and how large things get."""

from __future__ import annotations

import torch

from backend.contracts import Motion, PointCloud
from backend.geometry.camera import project
from backend.geometry.motion import camera_from_rest, is_identity, magnification, move_cloud
from tests.geometry.scenes import motion, scaled, translation, turn_y, wall_camera

CAMERA = wall_camera()


def test_only_the_instance_of_a_matrix_moves():
    cloud = PointCloud(
        xyz=torch.tensor([[0.0, 0, 5], [0, 0, 5], [0, 0, 5]]),
        instance=torch.tensor([0, 1, 2], dtype=torch.int32),
    )
    path = motion(CAMERA, [[translation(), translation()], [translation(x=1), translation(y=2)]])
    moved = move_cloud(cloud, camera_from_rest(path, CAMERA)[1])
    assert moved.tolist() == [[0, 0, 5], [1, 0, 5], [0, 2, 5]]


def test_a_static_instance_stays_with_the_background():
    cloud = PointCloud(xyz=torch.zeros(1, 3), instance=torch.tensor([7], dtype=torch.int32))
    path = motion(CAMERA, [[translation(x=1)]])
    assert move_cloud(cloud, camera_from_rest(path, CAMERA)[0]).tolist() == [[0, 0, 0]]


def test_the_camera_acts_after_the_instance():
    path = motion(CAMERA, [[turn_y(0.3)]], [translation(z=2)])
    expected = translation(z=2) @ turn_y(0.3)
    torch.testing.assert_close(camera_from_rest(path, CAMERA)[0, 1], expected)


def test_an_animated_lens_projects_as_its_own_intrinsics_would():
    zoomed = CAMERA.intrinsics.clone()
    zoomed[0, 0] *= 1.7
    zoomed[1, 1] *= 1.4
    zoomed[0, 2] += 3.0
    path = Motion(
        moved_from_rest=torch.zeros(1, 0, 4, 4),
        camera_from_world=torch.eye(4).double()[None],
        intrinsics=zoomed[None],
    )
    point = torch.tensor([[0.4, -0.3, 6.0]])
    cloud = PointCloud(xyz=point, instance=torch.zeros(1, dtype=torch.int32))
    moved = move_cloud(cloud, camera_from_rest(path, CAMERA)[0])
    expected = (zoomed.float() @ point[0])[:2] / 6.0
    torch.testing.assert_close(project(moved, CAMERA)[0], expected)
    assert moved[0, 2] == 6.0


def test_half_the_distance_is_twice_the_size_and_scale_counts_too():
    times = magnification(
        torch.tensor([6.0, 6.0, 6.0]),
        torch.tensor([6.0, 3.0, -1.0]),
        torch.stack([translation(), scaled(3.0, (0, 0, 6))]),
        torch.tensor([0, 1, 5], dtype=torch.int32),
    )
    torch.testing.assert_close(times, torch.tensor([1.0, 6.0, 1.0]))


def test_still_is_the_identity_and_nothing_else():
    matrices = torch.stack([translation(), translation(x=1e-8), translation(x=1e-3)])
    assert is_identity(matrices).tolist() == [True, True, False]
