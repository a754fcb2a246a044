"""Segments without a click: a grid of points is asked for, the good answers stay.

All is decided in the network's own small masks, a few hundred prompts at a time; only what stays is
drawn in the photo's size.

Source: the automatic generator of Kirillov et al., "Segment Anything" (2023), with its defaults;
merged by `backend.control.merge`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backend.control.merge import merge_masks

Array = npt.NDArray[Any]
Decode = Callable[[Array], tuple[Tensor, Tensor]]
"""``(P, 2)`` places in the photo -> logits ``(P, C, h, w)`` and scores ``(P, C)``."""

MAX_SEGMENTS = 120
"""Segments kept; with the artist's picks they stay below 255 ids."""
SPECK = 0.0005
"""Share of the photo below which an island goes and a hole is filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How automatic segments are found.

    Attributes:
        per_side: points along each side of the grid.
        batch: prompts asked for at once.
        least_score: the score of the network's own that a mask needs.
        least_stability: see :func:`stability`.
        offset: see :func:`stability`.
        most_overlap: intersection over union of two boxes beyond which the lesser mask goes.
        most: masks kept.
    """

    per_side: int = 32
    batch: int = 64
    least_score: float = 0.88
    least_stability: float = 0.95
    offset: float = 1.0
    most_overlap: float = 0.7
    most: int = MAX_SEGMENTS


def point_grid(per_side: int, height: int, width: int) -> npt.NDArray[np.float64]:
    """``(per_side**2, 2)`` places (x, y), the middles of equal cells, row by row."""
    middles = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(middles * width, middles * height)
    return np.stack([x.ravel(), y.ravel()], -1)


def good_masks(decode: Decode, points: Array, options: Options, seen: tuple[int, int]) -> Tensor:
    """Logits ``(M, h, w)`` of the masks worth keeping, best first.

    Args:
        decode: asks the network.
        points: ``(P, 2)`` places in the photo.
        options: how good is good.
        seen: rows and columns of the logits that show the photo; the rest is padding.
    """
    rows, columns = seen
    kept: list[Tensor] = []
    scores: list[Tensor] = []
    for start in range(0, len(points), options.batch):
        logits, score = decode(points[start : start + options.batch])
        logits, score = logits.flatten(0, 1), score.flatten()
        good = score > options.least_score
        logits, score = logits[good], score[good]
        inside = logits[:, :rows, :columns]
        good = stability(inside, options.offset) >= options.least_stability
        # Nothing and everything are no segments, however sure the network is
        filled = (inside > 0).flatten(1).sum(1)
        good &= (filled > 0) & (filled < rows * columns)
        kept.append(logits[good])
        scores.append(score[good])
    logits, score = torch.cat(kept), torch.cat(scores)
    boxes = mask_boxes(logits[:, :rows, :columns] > 0)
    return logits[distinct(boxes, score, options.most_overlap)[: options.most]]


def stability(logits: Tensor, offset: float) -> Tensor:
    """How little masks change with the threshold, ``(M,)`` in [0, 1].

    The area at a threshold of ``+offset`` over that at ``-offset``; 0 where the latter is empty.
    """
    flat = logits.flatten(1)
    small = (flat > offset).sum(1)
    large = (flat > -offset).sum(1)
    return small / large.clamp(min=1)


def mask_boxes(masks: Tensor) -> Tensor:
    """``(M, 4)`` float32 x0, y0, x1, y1 around bool ``(M, h, w)``; zeros around nothing."""
    across, down = masks.any(1), masks.any(2)
    x0, x1 = _first_and_last(across)
    y0, y1 = _first_and_last(down)
    return torch.stack([x0, y0, x1, y1], -1).float() * across.any(1, keepdim=True)


def distinct(boxes: Tensor, scores: Tensor, most_overlap: float) -> Tensor:
    """Indices of the boxes that stay, best first: non-maximum suppression.

    Args:
        boxes: ``(M, 4)`` x0, y0, x1, y1.
        scores: ``(M,)``.
        most_overlap: a box that overlaps a better one by more goes.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    stays = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    keep: list[int] = []
    for index in range(len(boxes)):
        if not stays[index]:
            continue
        keep.append(index)
        low = torch.maximum(boxes[index, :2], boxes[index + 1 :, :2])
        high = torch.minimum(boxes[index, 2:], boxes[index + 1 :, 2:])
        common = (high - low).clamp(min=0).prod(1)
        union = area[index] + area[index + 1 :] - common
        stays[index + 1 :] &= common <= most_overlap * union
    return order[torch.tensor(keep, dtype=torch.int64, device=boxes.device)]


def segment_map(masks: Sequence[Array], size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """One id map of masks that overlap: 1..S by falling area, 0 where there is none.

    Args:
        masks: bool (H, W), best first.
        size: (H, W).
    """
    merged = merge_masks([], [without_specks(mask) for mask in masks], size)
    areas = np.bincount(merged.ravel(), minlength=len(masks) + 1)
    areas[0] = 0
    order = np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)]
    rank = np.zeros(len(areas), np.int32)
    rank[order] = np.arange(1, len(order) + 1)
    return rank[merged]


def without_specks(mask: Array) -> npt.NDArray[np.bool_]:
    """The mask without its small islands and holes; its largest island always stays."""
    least = SPECK * mask.size
    labels, areas = _parts(mask)
    if len(areas) > 1:
        small = areas < least
        small[np.argmax(areas)] = False
        mask = mask & ~np.concatenate([[False], small])[labels]
    labels, areas = _parts(~mask)
    small = areas < least
    if small.any():
        mask = mask | np.concatenate([[False], small])[labels]
    return mask


def _parts(mask: Array) -> tuple[Array, Array]:
    """(labels from 1, the area of each) of a mask's connected parts."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels, stats[1:, cv2.CC_STAT_AREA]


def _first_and_last(filled: Tensor) -> tuple[Tensor, Tensor]:
    """Of bool ``(M, n)``: where the first true begins and the last one ends."""
    number = filled.shape[1]
    bits = filled.to(torch.uint8)
    return bits.argmax(1), number - bits.flip(1).argmax(1)
