"""A layer that has a body: it is seen again and again, towards its back, as one thing."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from backend.contracts import Camera
from backend.control.draft import Layer
from backend.control.fill import erode
from backend.engines.draft.warp import Cutout, View
from backend.geometry.camera import project
from backend.geometry.motion import move_points

MAX_SHEETS = 24
"""Behind a layer."""
SHEET_GAP = 3.0
"""Pixels of the frame from one sheet to the next, as far as there are sheets for it. They overlap,
so this is how fine the steps of a side's outline are."""
RIM = 8
"""Pixels of the photo inside the outline that a sheet between front and back keeps: more of it
would be hidden by the next one, and only take time."""
NO_SHIFT = 0.25
"""Pixels; a back that is nearly where the front is shows nothing of itself."""
PROBES = 256


class Solid:
    """A layer and its body, made ready to be seen many times."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._front = self._between = Cutout(layer)
        if layer.back > 1.0:
            inner = erode(layer.alpha > 0.5, RIM)
            self._between = Cutout(replace(layer, support=layer.support & ~inner))

    def seen(self, matrix: Tensor, camera: Camera) -> View | None:
        """What :meth:`Cutout.seen` gives, with the body where it comes into view."""
        count = self.sheets_needed(matrix, camera)
        if count == 0:
            return self._front.seen(matrix, camera)
        step = (self.layer.back - 1.0) / count
        views: list[View] = []
        for number in range(count + 1):
            cutout = self._front if number in (0, count) else self._between
            view = cutout.seen(matrix @ _scaled(matrix, 1.0 + number * step), camera)
            if view is not None:
                views.append(view)
        return _merged(sorted(views, key=mean_depth, reverse=True)) if views else None

    def sheets_needed(self, matrix: Tensor, camera: Camera) -> int:
        """How many sheets show the body from here; 0 where its front hides all of it."""
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
        return min(MAX_SHEETS, math.ceil(shift / SHEET_GAP)) if shift > NO_SHIFT else 0


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
        front = (view.alpha > 0.5) | (view.alpha >= behind)
        depth[part] = torch.where(front, view.depth, depth[part])
        alpha[part] = torch.maximum(behind, view.alpha)
    return View(
        window=(slice(top, top + height), slice(left, left + width)),
        rgb=rgb,
        alpha=alpha,
        depth=depth,
    )
