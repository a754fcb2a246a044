"""The control made visible: which instance is seen where, how far away, and its points."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import torch
from torch import Tensor

from backend.contracts import MaskSequence
from backend.geometry.lift import disparity_from_depth

GOLDEN = 0.61803398875
"""Hues this far apart stay distinct however many are used."""
TINT = 0.55
"""Share of the id's colour over what lies under it."""
DISC = 3.5
"""Radius of a point's disc, pixels."""


def palette(count: int) -> Tensor:
    """``(count + 2, 3)`` colours for ids -1..count: nothing is black, the background dark grey."""
    colours = [(0.0, 0.0, 0.0), (0.16, 0.16, 0.18)]
    colours += [colorsys.hsv_to_rgb((0.05 + i * GOLDEN) % 1.0, 0.75, 0.95) for i in range(count)]
    return torch.tensor(colours)


def control_frames(
    masks: MaskSequence,
    picked: int,
    near: float,
    far: float,
    under: Tensor | None = None,
    points: Sequence[Sequence[Sequence[int]]] | None = None,
) -> Tensor:
    """Ids on the left, depth on the right.

    Args:
        masks: of a shot.
        picked: how many ids the artist picked; automatic segments after them are shown dimmed.
        near: z shown white.
        far: z shown black.
        under: ``(3, H, W)`` photo or ``(F, 3, H, W)`` take that shows through the ids.
        points: (row, col, id, depth) of every frame, drawn as discs.

    Returns:
        ``(F, 3, H, 2 W)`` float32 in [0, 1].
    """
    colours = palette(max(int(masks.instance.max()), picked, 0)).to(masks.depth)
    colours[picked + 2 :] = 0.25 + 0.2 * colours[picked + 2 :]
    ids = colours[(masks.instance + 1).long()].movedim(-1, 1)
    if under is not None:
        # Where nothing was picked, what lies under is seen as it is
        chosen = (masks.instance >= 1) & (masks.instance <= picked)
        ids = torch.lerp(under.expand_as(ids), ids, TINT * chosen[:, None].float())
    depth = disparity_from_depth(masks.depth, near, far)[:, None].expand_as(ids).clone()
    for frame, found in enumerate(points or ()):
        for row, column, item, _ in found:
            _disc(ids[frame], row, column, DISC + 1.5, torch.zeros(3))
            _disc(ids[frame], row, column, DISC, colours[item + 1])
            _disc(depth[frame], row, column, DISC, colours[item + 1])
    return torch.cat([ids, depth], -1)


def _disc(image: Tensor, row: int, column: int, radius: float, colour: Tensor) -> None:
    reach = int(radius) + 1
    top, left = max(row - reach, 0), max(column - reach, 0)
    part = image[:, top : row + reach + 1, left : column + reach + 1]
    y = torch.arange(part.shape[1])[:, None] + top - row
    x = torch.arange(part.shape[2])[None] + left - column
    part[:, (y**2 + x**2) <= radius**2] = colour[:, None]
