"""Overlapping tiles of a picture, blended so that no seam shows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

Tile = tuple[slice, slice, Tensor, Tensor]
"""Rows, columns, ``(..., rows, columns)`` values, and ``(rows, columns)`` how much each counts."""


def ramp(
    length: int,
    overlap: int,
    like: Tensor,
    *,
    first: float = 1.0,
    before: bool = True,
    after: bool = True,
) -> Tensor:
    """How much a tile counts along one axis: it rises over the overlap from the ends it shares.

    Args:
        length: pixels of the tile.
        overlap: pixels it shares with a neighbour.
        like: gives device and precision.
        first: pixels that the outermost one counts as far inside; above 0, so that none is lost.
        before: whether the ramp rises from the beginning.
        after: whether it falls to the end.

    Returns:
        ``(length,)`` in (0, 1].
    """
    inside = torch.arange(length, device=like.device, dtype=like.dtype) + first
    share = torch.ones_like(inside)
    if before:
        share = torch.minimum(share, inside / overlap)
    if after:
        share = torch.minimum(share, inside.flip(0) / overlap)
    return share


def blend(total: Tensor, tiles: Iterable[Tile]) -> Tensor:
    """The mean of all tiles that show a pixel, weighted by how much each counts there.

    Args:
        total: ``(..., H, W)`` zeros, in which the tiles are added up.
        tiles: that cover it.
    """
    weight = total.new_zeros(total.shape[-2:])
    for rows, columns, values, share in tiles:
        total[..., rows, columns] += values * share
        weight[rows, columns] += share
    return total / weight
