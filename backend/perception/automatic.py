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
    """Logits ``(M, h, w)`` of the masks worth keeping, best first, without specks.

    Args:
        decode: asks the network.
        points: ``(P, 2)`` places in the photo.
        options: how good is good.
        seen: rows and columns of the logits that show the photo; the rest is padding.
    """
    rows, columns = seen
    kept: list[Tensor] = []
    boxes: list[Tensor] = []
    scores: list[Tensor] = []
    for start in range(0, len(points), options.batch):
        logits, score = decode(points[start : start + options.batch])
        logits, score = logits.flatten(0, 1), score.flatten()
        sure = torch.nonzero(score > options.least_score)[:, 0]
        for index in sure[_stands(logits[:, :rows, :columns], sure, options)].tolist():
            kept.append(logits[index].clone())  # lets go of the rest of the batch
            boxes.append(mask_box(logits[index, :rows, :columns]))
            scores.append(score[index])
    if not kept:
        return torch.zeros(0, rows, columns)
    order = distinct(torch.stack(boxes), torch.stack(scores).cpu(), options.most_overlap)
    best = order[: options.most].tolist()
    return torch.stack([without_specks(kept[index], rows * columns) for index in best])


def _stands(logits: Tensor, which: Tensor, options: Options) -> Tensor:
    """Of the logits at ``which``, those that are stable, neither empty nor all (bool)."""
    total = logits.shape[-2] * logits.shape[-1]
    stable = torch.zeros(len(which), dtype=torch.bool)
    for place, index in enumerate(which.tolist()):
        filled = area(logits[index], 0.0)
        stable[place] = (
            0 < filled < total
            and stability(logits[index], options.offset) >= options.least_stability
        )
    return stable


def area(logits: Tensor, threshold: float) -> int:
    """Pixels above a threshold."""
    if logits.device.type != "cpu":
        return int((logits > threshold).sum())
    # numpy counts bits that torch would first widen to 64: ten times as fast
    return int(np.count_nonzero(logits.numpy() > threshold))


def stability(logits: Tensor, offset: float) -> float:
    """How little a mask changes with the threshold, in [0, 1].

    The area at a threshold of ``+offset`` over that at ``-offset``; 0 where the latter is empty.
    """
    return area(logits, offset) / max(area(logits, -offset), 1)


def mask_box(logits: Tensor) -> Tensor:
    """``(4,)`` float32 x0, y0, x1, y1 around what is above 0; zeros around nothing."""
    mask = (logits > 0).cpu().numpy()
    across, down = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(across):
        return torch.zeros(4)
    return torch.tensor([across[0], down[0], across[-1] + 1.0, down[-1] + 1.0])


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
    merged = merge_masks([], masks, size)
    areas = np.bincount(merged.ravel(), minlength=len(masks) + 1)
    areas[0] = 0
    order = np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)]
    rank = np.zeros(len(areas), np.int32)
    rank[order] = np.arange(1, len(order) + 1)
    return rank[merged]


def without_specks(logits: Tensor, seen: int) -> Tensor:
    """A mask ``(h, w)`` without its small islands and holes; its largest island always stays.

    Args:
        logits: a mask where they are above 0.
        seen: how many of its pixels show the photo.
    """
    values = logits.cpu().numpy().copy()
    least = SPECK * seen
    for sign in (1.0, -1.0):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (sign * values > 0).astype(np.uint8), connectivity=8
        )
        small = stats[:, cv2.CC_STAT_AREA] < least
        small[0] = False  # what is not looked at
        if len(small) > 1:
            small[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])] = False
        if small.any():
            values[small[np.asarray(labels, np.int64)]] = -sign
    return torch.from_numpy(values).to(logits.device)
