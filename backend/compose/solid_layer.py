"""A layer with a body: warps and composites its front, sides and back face as one."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from backend.compose.filters import erode
from backend.compose.layers import Layer
from backend.compose.warp import LayerWarper, WarpedLayer
from backend.contracts import Camera
from backend.geometry.camera import project
from backend.geometry.motion import move_points

MAX_SIDE_STEPS = 256
"""Most copies of the outline between front and back."""
STEP_PIXELS = 1.4
"""Pixels of the frame between two copies, up to that limit. Below 2, the sides have no gaps."""
MIN_PARALLAX = 0.25
"""Pixels between front and back in the frame, below which the body is not visible."""
PARALLAX_SAMPLES = 256


class SolidLayer:
    """A layer and its body: the front, its sides, and the front once more as the back face."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._front = LayerWarper(layer)
        # A pixel inside the soft edge, so that the sides do not show through it
        inside = erode(layer.alpha > 0.5, 1)
        self._boundary = replace(
            layer, support=inside & ~erode(inside, 1), alpha=torch.ones_like(layer.alpha)
        )

    def warp(self, matrix: Tensor, camera: Camera) -> WarpedLayer | None:
        """As :meth:`LayerWarper.warp`, with the body where it is visible."""
        front = self._front.warp(matrix, camera)
        count = self._side_steps(matrix, camera)
        if count == 0:
            return front
        back = self._front.warp(matrix @ _scaling(matrix, self.layer.back_scale), camera)
        ends = sorted([v for v in (front, back) if v is not None], key=mean_depth, reverse=True)
        sides = None
        if bool(self._boundary.support.any()):
            scales = torch.linspace(1.0, self.layer.back_scale, count + 1)
            sides = LayerWarper(self._boundary, scales).warp(matrix, camera)
        # From far to near: the farther face, the sides, the nearer face
        views = [*ends[:-1], sides, *ends[-1:]]
        found = [view for view in views if view is not None]
        return _merge(found) if found else None

    def _side_steps(self, matrix: Tensor, camera: Camera) -> int:
        """Steps from front to back that leave no gaps; 0 if the front hides all of the body."""
        if self.layer.back_scale == 1.0:
            return 0
        rest = self._front.rest[:: max(1, len(self._front.rest) // PARALLAX_SAMPLES)]
        front, back = (
            move_points(rest, matrix @ _scaling(matrix, scale))
            for scale in (1.0, self.layer.back_scale)
        )
        ahead = (front[:, 2] > 1e-6) & (back[:, 2] > 1e-6)
        if not bool(ahead.any()):
            return 0
        apart = project(back[ahead], camera) - project(front[ahead], camera)
        shift = float(apart.norm(dim=1).max())
        return min(MAX_SIDE_STEPS, math.ceil(shift / STEP_PIXELS)) if shift > MIN_PARALLAX else 0


def mean_depth(view: WarpedLayer) -> float:
    """Mean depth of pixels with alpha above 0.5; infinite if there are none."""
    solid = view.alpha > 0.5
    return float(view.depth[solid].mean()) if bool(solid.any()) else float("inf")


def _scaling(like: Tensor, scale: float) -> Tensor:
    return torch.diag(like.new_tensor([scale, scale, scale, 1.0]))


def _merge(views: list[WarpedLayer]) -> WarpedLayer:
    """Composite parts from far to near, with the maximum of their alphas rather than "over".

    Compositing coincident soft edges would make a hard edge, and the outline would jump as soon as
    the instance begins to rotate.
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
    return WarpedLayer(
        window=(slice(top, top + height), slice(left, left + width)),
        rgb=rgb,
        alpha=alpha,
        depth=depth,
        trust=trust,
    )
