"""Small scenes for the geometry's and the draft's tests."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from backend.contracts import Camera, Lift, Motion, Shot
from backend.geometry.camera import intrinsics_from_focal


def wall_camera(height: int = 40, width: int = 60, focal: float = 50.0) -> Camera:
    return Camera(
        intrinsics=intrinsics_from_focal(focal, focal, width / 2, height / 2),
        height=height,
        width=width,
    )


def translation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, 3] = torch.tensor([x, y, z], dtype=torch.float64)
    return matrix


def turn_y(angle: float, about: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    c, s = math.cos(angle), math.sin(angle)
    matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = c, s, -s, c
    return translation(*about) @ matrix @ translation(*(-a for a in about))


def scaled(factor: float, about: tuple[float, float, float]) -> Tensor:
    matrix = torch.diag(torch.tensor([factor] * 3 + [1.0], dtype=torch.float64))
    return translation(*about) @ matrix @ translation(*(-a for a in about))


def motion(camera: Camera, moved: list[list[Tensor]], view: list[Tensor] | None = None) -> Motion:
    """``moved[f][n]``; the camera stands still unless ``view`` says otherwise."""
    frames = len(moved)
    still = torch.eye(4, dtype=torch.float64)
    rows = [torch.stack(row) if row else torch.zeros(0, 4, 4).double() for row in moved]
    return Motion(
        moved_from_rest=torch.stack(rows),
        camera_from_world=torch.stack(view or [still] * frames),
        intrinsics=camera.intrinsics.repeat(frames, 1, 1),
    )


def two_instances(height: int = 40, width: int = 60) -> tuple[Lift, Tensor]:
    """A grey wall at 10, a red square at 5 (id 1), a blue one at 4 to its right (id 2)."""
    camera = wall_camera(height, width)
    image = torch.full((3, height, width), 0.5)
    depth = torch.full((height, width), 10.0)
    instance = torch.zeros(height, width, dtype=torch.int32)
    top, bottom = height // 4, 3 * height // 4
    for item, (left, colour, z) in enumerate(
        [(width // 6, (1.0, 0.0, 0.0), 5.0), (width // 2 + 4, (0.0, 0.0, 1.0), 4.0)], 1
    ):
        part = (slice(top, bottom), slice(left, left + width // 4))
        image[:, part[0], part[1]] = torch.tensor(colour)[:, None, None]
        depth[part] = z
        instance[part] = item
    return Lift(image=image, depth=depth, camera=camera, near=2.0, far=12.0), instance


def shot_of(
    lift: Lift, instance: Tensor, path: Motion, static: tuple[int, ...] = (), **options: float
) -> Shot:
    return Shot(
        lift=lift,
        instance=instance,
        static=static,
        motion=path,
        engine="draft",
        seed=0,
        options=options,
    )
