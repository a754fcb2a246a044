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
WIDEST_GAP = 1.6
"""Pixels between neighbouring points. Below 2, every pixel is within reach of a point."""
LEAST_WEIGHT = 1e-3
"""A point this far from a pixel, nearly a whole one, neither shows nor hides anything there."""


@dataclass(frozen=True, slots=True)
class View:
    """A layer as one frame's camera sees it, on the window of the frame where it is seen.

    Attributes:
        window: rows and columns of the frame.
        rgb: ``(3, h, w)``.
        alpha: ``(h, w)``, 0 where the layer is not.
        depth: ``(h, w)``, +inf where the layer is not.
    """

    window: tuple[slice, slice]
    rgb: Tensor
    alpha: Tensor
    depth: Tensor


class Cutout:
    """A layer made ready to be seen many times: what does not depend on the frame is kept."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._texture = torch.cat([layer.rgb, layer.alpha[None]])[None]
        self._rest = layer.xyz[:, layer.support]
        self._samples: dict[int, tuple[Tensor, Tensor]] = {}

    def seen(self, matrix: Tensor, camera: Camera) -> View | None:
        """The layer under ``matrix`` (4, 4), camera from rest; None where it is out of sight."""
        matrix = matrix.to(self._rest)
        rest, source = self._dense_samples(self._subdivision(matrix))
        points = rest @ matrix[:3, :3].T + matrix[:3, 3]
        pixel = project(points, camera) - 0.5
        z = points[:, 2]
        inside = (z > 1e-6) & (pixel > -1).all(1)
        inside &= (pixel[:, 0] < camera.width) & (pixel[:, 1] < camera.height)
        at = torch.nonzero(inside)[:, 0]
        if not len(at):
            return None
        scale = torch.linalg.matrix_norm(matrix[:3, :3], ord=2)
        times = rest[at, 2] / z[at] * scale
        turn = _source_from_frame(matrix[:2, :2] / scale)
        pixel, z, source = pixel[at], z[at], source[at]
        low = pixel.floor().amin(0).clamp(min=0).long().tolist()
        high = (pixel.floor().amax(0) + 2).long().tolist()
        left, top = low
        right, bottom = min(high[0], camera.width), min(high[1], camera.height)
        pixel = pixel - pixel.new_tensor(low)
        field = _splat(pixel, z, source, times, turn, bottom - top, right - left)
        u, v, depth, known = _close_cracks(field)
        own_height, own_width = self.layer.alpha.shape
        grid = torch.stack([2 * u / own_width - 1, 2 * v / own_height - 1], -1)
        sampled = F.grid_sample(
            self._texture, grid[None], padding_mode="border", align_corners=False
        )[0]
        return View(
            window=(slice(top, bottom), slice(left, right)),
            rgb=sampled[:3],
            alpha=sampled[3] * known,
            depth=torch.where(known > 0, depth, torch.inf),
        )

    def _subdivision(self, matrix: Tensor) -> int:
        """Samples per source pixel and axis that leave no gap of a pixel in the frame."""
        z = matrix[2, :3] @ self._rest + matrix[2, 3]
        front = z > 1e-6
        if not bool(front.any()):
            return 1
        scale = float(torch.linalg.matrix_norm(matrix[:3, :3], ord=2))
        times = float((self._rest[2, front] / z[front]).max()) * scale
        return min(max(math.ceil(times / WIDEST_GAP), 1), MAX_SUBDIVISION)

    def _dense_samples(self, steps: int) -> tuple[Tensor, Tensor]:
        """Rest positions ``(P, 3)`` and their (u, v) in the layer ``(P, 2)``."""
        if steps not in self._samples:
            xyz, support = self.layer.xyz, self.layer.support
            if steps > 1:
                size = (xyz.shape[1] * steps, xyz.shape[2] * steps)
                xyz = F.interpolate(xyz[None], size=size, mode="bilinear", align_corners=False)[0]
                support = support.repeat_interleave(steps, 0).repeat_interleave(steps, 1)
            row, column = torch.nonzero(support, as_tuple=True)
            source = (torch.stack([column, row], -1).to(xyz) + 0.5) / steps
            self._samples[steps] = xyz[:, row, column].T.contiguous(), source
        return self._samples[steps]


def _splat(
    pixel: Tensor,
    z: Tensor,
    source: Tensor,
    times: Tensor,
    turn: Tensor,
    height: int,
    width: int,
) -> Tensor:
    """Weighted means of u, v and z over the nearest surface, and their weight, ``(4, H, W)``.

    Every point spreads over the 2 x 2 pixels around it, and tells each of them the coordinates
    there rather than its own: ``times`` is how many pixels one source pixel has become, ``turn``
    how its axes lie. The buffers have a margin of a pixel, so that no tap needs a test of its own.
    """
    corner = pixel.floor()
    fx, fy = (pixel - corner).unbind(-1)
    stride = width + 2
    first = ((corner[:, 1] + 1) * stride + corner[:, 0] + 1).long()
    nearest = torch.full(((height + 2) * stride,), torch.inf, dtype=z.dtype)
    taps: list[tuple[int, Tensor, Tensor, Tensor, Tensor]] = []
    for down in (0, 1):
        for across in (0, 1):
            dx, dy = across - fx, down - fy
            weight = (1 - dx.abs()) * (1 - dy.abs())
            hides = torch.where(weight > LEAST_WEIGHT, z, torch.inf)
            start = down * stride + across
            nearest[start:].scatter_reduce_(0, first, hides, "amin")
            du = (turn[0, 0] * dx + turn[0, 1] * dy) / times
            dv = (turn[1, 0] * dx + turn[1, 1] * dy) / times
            taps.append((start, du, dv, weight, hides))
    limit = nearest * DEPTH_TOLERANCE
    total = torch.zeros(nearest.numel(), 4, dtype=z.dtype)
    u, v = source.unbind(-1)
    one = torch.ones_like(z)
    for start, du, dv, weight, hides in taps:
        front = (hides <= limit[start:][first]) & (hides < torch.inf)
        weight = torch.where(front, weight, 0.0)
        values = torch.stack([u + du, v + dv, z, one], -1)
        total[start:].index_add_(0, first, values * weight[:, None])
    total = total.reshape(height + 2, stride, 4)[1:-1, 1:-1].movedim(-1, 0)
    return torch.cat([total[:3] / total[3:].clamp(min=1e-6), total[3:]])


def _source_from_frame(block: Tensor) -> Tensor:
    """``(2, 2)``: a step in the frame as a step in the layer, for a layer that faces the camera.

    ``block`` is the upper left of a rotation. Seen from its edge, a layer has no such step.
    """
    flat = abs(float(block[0, 0] * block[1, 1] - block[0, 1] * block[1, 0])) < 0.3
    return torch.zeros_like(block) if flat else torch.linalg.inv(block)


def _close_cracks(field: Tensor) -> Tensor:
    """Fill single missing pixels of u, v, z from their neighbours; the last channel says known."""
    known = (field[-1:] > LEAST_WEIGHT).to(field)
    field = torch.cat([field[:-1] * known, known])
    near = F.avg_pool2d(field[None], 3, stride=1, padding=1)[0]
    crack = (known == 0) & (near[-1:] > 4.5 / 9)
    return torch.where(crack, near / near[-1:].clamp(min=1e-6), field)
