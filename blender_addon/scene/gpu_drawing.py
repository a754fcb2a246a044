"""Lines, rectangles and click marks drawn with the gpu module, light with a dark rim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

Point = tuple[float, float]
DARK, LIGHT = (0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0)
RADIUS = 8
"""Pixels from a mark's centre to its rim, before Blender's scale."""
_LINE, _DISC = "POLYLINE_UNIFORM_COLOR", "UNIFORM_COLOR"


def lines(ends: Any) -> Any:
    """A batch for :func:`draw_lines`; each two of ``ends``, (n, 2) or (n, 3), are one line."""
    return batch_for_shader(gpu.shader.from_builtin(_LINE), "LINES", {"pos": ends})


def draw_lines(batch: Any, colour: Sequence[float] = LIGHT, width: float = 1.5) -> None:
    """Draw a batch of :func:`lines` in ``colour``, ``width`` pixels wide, with a dark rim."""
    shader, scale = gpu.shader.from_builtin(_LINE), bpy.context.preferences.system.ui_scale
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    for shade, pixels in ((DARK, width + 3.0), (colour, width)):
        shader.uniform_float("lineWidth", pixels * scale)
        shader.uniform_float("color", shade)
        batch.draw(shader)
    gpu.state.blend_set("NONE")


def rectangle(one: Point, other: Point) -> None:
    """The rectangle between two corners, in pixels of the region."""
    (x0, y0), (x1, y1) = one, other
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    draw_lines(lines([p for k in range(4) for p in (corners[k], corners[(k + 1) % 4])]))


def mark(at: Point, positive: bool) -> None:
    """A click: a disc with a plus or a minus, in pixels of the region."""
    radius = RADIUS * bpy.context.preferences.system.ui_scale
    disc(at, radius + 2, DARK)
    disc(at, radius, LIGHT)
    long, thin = radius * 0.6, radius * 0.18
    bar(at, long, thin, DARK)
    if positive:
        bar(at, thin, long, DARK)


def disc(at: Point, radius: float, colour: Sequence[float]) -> None:
    """A filled circle."""
    turns = [2 * math.pi * k / 24 for k in range(24)]
    _fill([(at[0] + radius * math.cos(t), at[1] + radius * math.sin(t)) for t in turns], colour)


def bar(at: Point, across: float, up: float, colour: Sequence[float]) -> None:
    """A filled rectangle around a point, half as wide and high as told."""
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    _fill([(at[0] + a * across, at[1] + b * up) for a, b in signs], colour)


def _fill(corners: list[Point], colour: Sequence[float]) -> None:
    shader = gpu.shader.from_builtin(_DISC)
    batch = batch_for_shader(shader, "TRI_FAN", {"pos": corners})
    shader.uniform_float("color", colour)
    batch.draw(shader)
