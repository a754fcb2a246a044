"""Random ways of things before a camera, in depth too, and of the camera itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from backend.datasets.textures import uniform

LENS = 50.0
"""Degrees that a frame is wide."""
REACH = 1.63
"""The farthest that an outline goes out, in radii of its circle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """How a thing moves.

    Attributes:
        place: ``(F, 3)`` float64, its middle in camera axes.
        turn: ``(F, 3, 3)`` float64 from rest.
        growth: ``(F,)`` float64 from rest.
        radius: at rest, as a share of the frame's shorter side.
    """

    place: Tensor
    turn: Tensor
    growth: Tensor
    radius: float

    def moved_from_rest(self) -> Tensor:
        """``(F, 4, 4)``."""
        matrix = torch.eye(4, dtype=torch.float64).repeat(len(self.place), 1, 1)
        matrix[:, :3, :3] = self.turn * self.growth[:, None, None]
        matrix[:, :3, 3] = self.place - (matrix[:, :3, :3] @ self.place[0])
        return matrix


def random_paths(generator: Generator, count: int, frames: int, meeting: float) -> list[Path]:
    """Ways of ``count`` things, or of fewer, if the frame is full.

    Args:
        generator: of all that is random.
        count: of things.
        frames: of every way.
        meeting: how likely the first two cross, where there are two.
    """
    paths: list[Path] = []
    meet = count > 1 and uniform(generator, 0, 1) < meeting
    for _ in range(count):
        radius = uniform(generator, 0.12, 0.24)
        begin = _free_spot(generator, radius, paths)
        if begin is None:  # the frame is full
            break
        end = _spot(generator, 0.4)
        # 1/z is what a picture shows of depth
        near, far = 1 / 7.5, 1 / 3.0
        inverse = uniform(generator, near, far), uniform(generator, near, far)
        if meet and len(paths) == 1:  # it goes where the first one is halfway, before or behind it
            other = paths[0].place[frames // 2]
            end = (float(other[0] / other[2]), float(other[1] / other[2]))
            nearer = uniform(generator, 0, 1) < 0.5
            apart = 1.35 if nearer else 1 / 1.35
            inverse = inverse[0], min(max(apart / float(other[2]), 1 / 8.5), 1 / 2.6)
        paths.append(_path(generator, begin, end, inverse, radius, frames))
    return paths


def _path(
    generator: Generator,
    begin: tuple[float, float],
    end: tuple[float, float],
    inverse: tuple[float, float],
    radius: float,
    frames: int,
) -> Path:
    time = torch.linspace(0, 1, frames, dtype=torch.float64)
    if uniform(generator, 0, 1) < 0.5:
        time = time * time * (3 - 2 * time)
    bend = [uniform(generator, -0.15, 0.15) for _ in range(2)]
    arc = 4 * time * (1 - time)
    x = begin[0] + (end[0] - begin[0]) * time + bend[0] * arc
    y = begin[1] + (end[1] - begin[1]) * time + bend[1] * arc
    z = 1 / (inverse[0] + (inverse[1] - inverse[0]) * time)
    roll = uniform(generator, -1.0, 1.0) * (uniform(generator, 0, 1) < 0.6)
    yaw = uniform(generator, -0.7, 0.7) * (uniform(generator, 0, 1) < 0.4)
    grown = math.log(1.25) * uniform(generator, -1, 1) * (uniform(generator, 0, 1) < 0.4)
    return Path(
        place=torch.stack([x * z, y * z, z], -1),
        turn=_about_y(yaw * time) @ _about_z(roll * time),
        growth=(grown * time).exp(),
        radius=radius,
    )


def _spot(generator: Generator, reach: float) -> tuple[float, float]:
    """A direction (x/z, y/z) at most ``reach`` frames from the middle."""
    frame = 2 * math.tan(math.radians(LENS / 2))
    return frame * uniform(generator, -reach, reach), frame * uniform(generator, -reach, reach)


def _free_spot(
    generator: Generator, radius: float, paths: Sequence[Path]
) -> tuple[float, float] | None:
    """Where nothing is hidden at rest: what is hidden then is known to nobody."""
    frame = 2 * math.tan(math.radians(LENS / 2))
    for _ in range(50):
        spot = _spot(generator, 0.35)
        taken = (
            math.dist(spot, (path.place[0, :2] / path.place[0, 2]).tolist()) / frame
            < REACH * (radius + path.radius)
            for path in paths
        )
        if not any(taken):
            return spot
    return None


def random_camera(generator: Generator, frames: int, moving: float) -> Tensor:
    """``(F, 4, 4)`` float64, camera_from_world: moves of a few percent of the frame, or none.

    ``moving`` is how likely it moves.
    """
    path = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    if uniform(generator, 0, 1) < moving:
        time = torch.linspace(0, 1, frames, dtype=torch.float64)
        path[:, :3, :3] = _about_y(uniform(generator, -0.06, 0.06) * time)
        for axis, reach in enumerate((0.5, 0.3, 0.6)):
            path[:, axis, 3] = uniform(generator, -reach, reach) * time
    return path


def _about_y(angle: Tensor) -> Tensor:
    turn = torch.eye(3, dtype=torch.float64).repeat(len(angle), 1, 1)
    turn[:, 0, 0], turn[:, 0, 2] = angle.cos(), angle.sin()
    turn[:, 2, 0], turn[:, 2, 2] = -angle.sin(), angle.cos()
    return turn


def _about_z(angle: Tensor) -> Tensor:
    turn = torch.eye(3, dtype=torch.float64).repeat(len(angle), 1, 1)
    turn[:, 0, 0], turn[:, 0, 1] = angle.cos(), -angle.sin()
    turn[:, 1, 0], turn[:, 1, 1] = angle.sin(), angle.cos()
    return turn
