"""Transforms points from rest to camera axes of each frame: instance, camera and lens motion."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import Camera, Motion, PointCloud


def camera_from_rest(motion: Motion, camera: Camera) -> Tensor:
    """One matrix per frame and instance, from rest positions to camera axes.

    The intrinsics of each frame are folded in: x and y are changed so that the photo's intrinsics
    project a point where the frame's would. z, and with it every depth test, is unchanged.

    Returns:
        ``(F, N + 1, 4, 4)`` float64; index 0 is for everything static.
    """
    frames = motion.num_frames
    device = motion.moved_from_rest.device
    still = torch.eye(4, dtype=torch.float64, device=device).expand(frames, 1, 4, 4)
    world = torch.cat([still, motion.moved_from_rest.to(torch.float64)], 1)
    lens = torch.eye(4, dtype=torch.float64, device=device).repeat(frames, 1, 1)
    inverse: Tensor = torch.linalg.inv(camera.intrinsics.to(lens))
    lens[:, :3, :3] = inverse @ motion.intrinsics.to(torch.float64)
    view = lens @ motion.camera_from_world.to(torch.float64)
    return view[:, None] @ world


def is_identity(matrices: Tensor, tolerance: float = 1e-5) -> Tensor:
    """``(...,)`` bool: which ``(..., 4, 4)`` matrices are the identity within ``tolerance``."""
    eye = torch.eye(4, dtype=matrices.dtype, device=matrices.device)
    return ((matrices - eye).abs() <= tolerance).all(-1).all(-1)


def move_points(xyz: Tensor, matrix: Tensor) -> Tensor:
    """``(P, 3)`` points transformed by a ``(4, 4)`` matrix, in the dtype of the points."""
    matrix = matrix.to(xyz)
    return xyz @ matrix[:3, :3].T + matrix[:3, 3]


def move_cloud(cloud: PointCloud, matrices: Tensor) -> Tensor:
    """All points of a cloud in one frame.

    Args:
        cloud: the points at rest.
        matrices: ``(N + 1, 4, 4)``, one frame of :func:`camera_from_rest`.

    Returns:
        ``(P, 3)`` in camera axes. Static instances use matrix 0.
    """
    moved = move_points(cloud.xyz, matrices[0])
    for index in range(1, matrices.shape[0]):
        own = torch.nonzero(cloud.instance == index)[:, 0]
        moved[own] = move_points(cloud.xyz[own], matrices[index])
    return moved


def magnification(rest_z: Tensor, moved_z: Tensor, matrices: Tensor, instance: Tensor) -> Tensor:
    """How many times larger a point's neighbourhood is projected than in the photo.

    Args:
        rest_z: ``(P,)`` depth at rest.
        moved_z: ``(P,)`` depth at the frame; values <= 0 give 1.
        matrices: ``(N + 1, 4, 4)`` of the frame, for the scale of each instance.
        instance: ``(P,)`` int32.

    Returns:
        ``(P,)`` float32, at least 0.01.
    """
    scale: Tensor = torch.linalg.matrix_norm(matrices[:, :3, :3], ord=2).to(rest_z)
    own = torch.where(instance < matrices.shape[0], instance, 0).clamp(min=0).long()
    ratio = torch.where(moved_z > 0, rest_z / moved_z, 1.0)
    return (ratio * scale[own]).clamp(min=0.01)
