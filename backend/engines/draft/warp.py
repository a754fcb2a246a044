"""Seeing a layer from elsewhere: source coordinates are splatted, then colours are looked up.

Splatting *coordinates* rather than colours keeps what comes nearer sharp: between two source pixels
the coordinate is interpolated, and the photo is sampled there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.contracts import Camera
from backend.control.draft import Layer
from backend.geometry.camera import project

MAX_SUBDIVISION = 8
DEPTH_TOLERANCE = 1.03
"""Points up to 3 % farther than the nearest one in a pixel belong to the same surface."""


@dataclass(frozen=True, slots=True)
class View:
    """A layer as one frame's camera sees it.

    Attributes:
        rgb: ``(3, H, W)``.
        alpha: ``(H, W)``, 0 where the layer is not.
        depth: ``(H, W)``, +inf where the layer is not.
    """

    rgb: Tensor
    alpha: Tensor
    depth: Tensor


def see(layer: Layer, matrix: Tensor, camera: Camera) -> View:
    """The layer under ``matrix`` (4, 4), camera from rest."""
    height, width = camera.height, camera.width
    points, source = _moved_samples(layer, matrix)
    visible = points[:, 2] > 1e-6
    points, source = points[visible], source[visible]
    pixel = project(points, camera) - 0.5
    total = _splat(pixel, points[:, 2], source, height, width)
    weight, u, v, z = total.unbind(-1)
    hit = weight > 1e-6
    divisor = weight.clamp(min=1e-6)
    field = _close_cracks(torch.stack([u, v, z]) / divisor, hit)
    u, v, z, known = field
    own_height, own_width = layer.alpha.shape
    grid = torch.stack([2 * u / own_width - 1, 2 * v / own_height - 1], -1)
    texture = torch.cat([layer.rgb, layer.alpha[None]])[None]
    sampled = F.grid_sample(
        texture, grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
    return View(sampled[:3], sampled[3] * known, torch.where(known > 0, z, torch.inf))


def _moved_samples(layer: Layer, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Points in camera axes and their (u, v) in the layer, dense enough to leave no cracks."""
    matrix = matrix.to(layer.xyz)
    rest = layer.xyz[:, layer.support]
    moved_z = matrix[2, :3] @ rest + matrix[2, 3]
    front = moved_z > 1e-6
    scale = float(torch.linalg.matrix_norm(matrix[:3, :3], ord=2))
    times = float((rest[2, front] / moved_z[front]).max()) * scale if bool(front.any()) else 1.0
    steps = min(max(math.ceil(1.25 * times - 0.3), 1), MAX_SUBDIVISION)
    support, xyz = layer.support, layer.xyz
    if steps > 1:
        size = (xyz.shape[1] * steps, xyz.shape[2] * steps)
        xyz = F.interpolate(xyz[None], size=size, mode="bilinear", align_corners=False)[0]
        support = support.repeat_interleave(steps, 0).repeat_interleave(steps, 1)
    row, column = torch.nonzero(support, as_tuple=True)
    points = xyz[:, row, column].T @ matrix[:3, :3].T + matrix[:3, 3]
    source = (torch.stack([column, row], -1).to(points) + 0.5) / steps
    return points, source


def _splat(pixel: Tensor, z: Tensor, source: Tensor, height: int, width: int) -> Tensor:
    """Sums of weight and of weighted u, v, z over the nearest surface, ``(H, W, 4)``."""
    corner = torch.floor(pixel)
    fraction = pixel - corner
    taps: list[tuple[Tensor, Tensor, Tensor]] = []
    nearest = torch.full((height * width,), torch.inf, dtype=z.dtype)
    for down in (0, 1):
        for across in (0, 1):
            x, y = corner[:, 0] + across, corner[:, 1] + down
            weight = (fraction[:, 0] if across else 1 - fraction[:, 0]) * (
                fraction[:, 1] if down else 1 - fraction[:, 1]
            )
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (weight > 1e-3)
            at = torch.nonzero(inside)[:, 0]
            index = y[at].to(torch.int64) * width + x[at].to(torch.int64)
            nearest.scatter_reduce_(0, index, z[at], "amin")
            taps.append((at, index, weight[at]))
    values = torch.cat([torch.ones_like(z)[:, None], source, z[:, None]], 1)
    total = torch.zeros(height * width, 4, dtype=z.dtype)
    for at, index, weight in taps:
        front = torch.nonzero(z[at] <= nearest[index] * DEPTH_TOLERANCE)[:, 0]
        at, index, weight = at[front], index[front], weight[front]
        total.index_add_(0, index, values[at] * weight[:, None])
    return total.reshape(height, width, 4)


def _close_cracks(field: Tensor, known: Tensor) -> Tensor:
    """Fill single missing pixels from their neighbours; returns the field and what is known now."""
    found = known.to(field)
    neighbours = F.avg_pool2d(
        torch.cat([field * found, found[None]])[None], 3, stride=1, padding=1
    )[0]
    crack = ~known & (neighbours[-1] > 4.5 / 9)
    filled = torch.where(crack, neighbours[:-1] / neighbours[-1].clamp(min=1e-6), field)
    return torch.cat([filled, (known | crack).to(field)[None]])
