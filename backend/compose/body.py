"""A layer that has a body: front, sides and back are seen as one thing."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from backend.compose.fill import erode
from backend.compose.layers import Layer
from backend.compose.warp import Cutout, View
from backend.contracts import Camera
from backend.geometry.camera import project
from backend.geometry.motion import move_points

LONGEST = 256
"""Points from front to back along one place of the outline."""
POINT_GAP = 1.4
"""Pixels of the frame between them, as far as there are points for it. Below 2, every pixel is
within reach of one."""
NO_SHIFT = 0.25
"""Pixels; a back that is nearly where the front is shows nothing of itself."""
PROBES = 256


class Solid:
    """A layer and its body: the layer, its sides, and the layer once more as its back."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._front = Cutout(layer)
        # A pixel inside the soft edge, so that sides do not look out from behind it
        inside = erode(layer.alpha > 0.5, 1)
        self._rim = replace(
            layer, support=inside & ~erode(inside, 1), alpha=torch.ones_like(layer.alpha)
        )

    def seen(self, matrix: Tensor, camera: Camera) -> View | None:
        """What :meth:`Cutout.seen` gives, with the body where it comes into view."""
        front = self._front.seen(matrix, camera)
        count = self._count(matrix, camera)
        if count == 0:
            return front
        back = self._front.seen(matrix @ _scaled(matrix, self.layer.back), camera)
        ends = sorted([v for v in (front, back) if v is not None], key=mean_depth, reverse=True)
        sides = None
        if bool(self._rim.support.any()):
            scales = torch.linspace(1.0, self.layer.back, count + 1)
            sides = Cutout(self._rim, scales).seen(matrix, camera)
        # What is nearer of front and back is seen whole, and the sides before what is farther
        views = [*ends[:-1], sides, *ends[-1:]]
        found = [view for view in views if view is not None]
        return _merged(found) if found else None

    def _count(self, matrix: Tensor, camera: Camera) -> int:
        """Steps from front to back that leave no gaps; 0 where the front hides all of the body."""
        if self.layer.back == 1.0:
            return 0
        rest = self._front.rest[:: max(1, len(self._front.rest) // PROBES)]
        front, back = (
            move_points(rest, matrix @ _scaled(matrix, scale)) for scale in (1.0, self.layer.back)
        )
        ahead = (front[:, 2] > 1e-6) & (back[:, 2] > 1e-6)
        if not bool(ahead.any()):
            return 0
        apart = project(back[ahead], camera) - project(front[ahead], camera)
        shift = float(apart.norm(dim=1).max())
        return min(LONGEST, math.ceil(shift / POINT_GAP)) if shift > NO_SHIFT else 0


def mean_depth(view: View) -> float:
    """Of what is solid in a view; infinite where nothing is."""
    solid = view.alpha > 0.5
    return float(view.depth[solid].mean()) if bool(solid.any()) else float("inf")


def _scaled(like: Tensor, scale: float) -> Tensor:
    return torch.diag(like.new_tensor([scale, scale, scale, 1.0]))


def _merged(views: list[View]) -> View:
    """Views from far to near as one: as opaque as the most opaque of them, not as all together.

    Soft edges that lie upon each other would add up to a hard one, and the outline would jump as
    soon as the instance begins to turn.
    """
    if len(views) == 1:
        return views[0]
    rows, columns = zip(*(view.window for view in views), strict=True)
    top, left = min(part.start for part in rows), min(part.start for part in columns)
    height = max(part.stop for part in rows) - top
    width = max(part.stop for part in columns) - left
    rgb = views[0].rgb.new_zeros(3, height, width)
    alpha = rgb.new_zeros(height, width)
    trust = torch.zeros_like(alpha)
    depth = torch.full_like(alpha, torch.inf)
    for view, row, column in zip(views, rows, columns, strict=True):
        part = (
            slice(row.start - top, row.stop - top),
            slice(column.start - left, column.stop - left),
        )
        under = rgb[:, part[0], part[1]]
        behind = alpha[part]
        through = behind * (1.0 - view.alpha)
        share = view.alpha / (view.alpha + through).clamp(min=1e-6)
        under += share * (view.rgb - under)
        trust[part] += share * (view.trust - trust[part])
        front = (view.alpha > 0.5) | (view.alpha >= behind)
        depth[part] = torch.where(front, view.depth, depth[part])
        alpha[part] = torch.maximum(behind, view.alpha)
    return View(
        window=(slice(top, top + height), slice(left, left + width)),
        rgb=rgb,
        alpha=alpha,
        depth=depth,
        trust=trust,
    )
