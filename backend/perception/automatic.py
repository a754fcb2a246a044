"""Automatic mask generation: prompts a grid of points and keeps the good masks.

Masks are selected at the network's low resolution, in batches of prompts; only those that are kept
are upsampled to the photo's size.

Source: the automatic generator of Kirillov et al., "Segment Anything" (2023), with its defaults;
merged by `backend.control.merge_masks`.
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

from backend.control.merge_masks import merge_masks

Array = npt.NDArray[Any]
Decode = Callable[[Array], tuple[Tensor, Tensor]]
"""``(P, 2)`` pixels (x, y) of the photo -> logits ``(P, C, h, w)`` and scores ``(P, C)``."""

MAX_SEGMENTS = 120
"""Segments kept; with the picked instances they stay below 255 ids."""
MIN_REGION_SHARE = 0.0005
"""Share of the photo below which islands are removed and holes are filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the generator, named as in the reference implementation.

    Attributes:
        points_per_side: of the grid.
        batch: points per batch.
        pred_iou_thresh: minimum predicted IoU.
        stability_score_thresh: minimum of :func:`stability`.
        offset: of the threshold, see :func:`stability`.
        box_nms_thresh: IoU of boxes above which the lesser mask is dropped.
        max_masks: masks kept.
    """

    points_per_side: int = 32
    batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    offset: float = 1.0
    box_nms_thresh: float = 0.7
    max_masks: int = MAX_SEGMENTS


def point_grid(points_per_side: int, height: int, width: int) -> npt.NDArray[np.float64]:
    """``(points_per_side**2, 2)`` pixels (x, y): the centres of equal cells, row by row."""
    middles = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(middles * width, middles * height)
    return np.stack([x.ravel(), y.ravel()], -1)


def generate_masks(
    decode: Decode, points: Array, options: Options, valid: tuple[int, int]
) -> Tensor:
    """Logits ``(M, h, w)`` of the masks that are kept, best first, without specks.

    Args:
        decode: runs the mask decoder.
        points: ``(P, 2)`` pixels (x, y) of the photo.
        options: thresholds.
        valid: rows and columns of the logits that cover the photo; the rest is padding.
    """
    rows, columns = valid
    kept: list[Tensor] = []
    boxes: list[Tensor] = []
    scores: list[Tensor] = []
    for start in range(0, len(points), options.batch):
        logits, score = decode(points[start : start + options.batch])
        logits, score = logits.flatten(0, 1), score.flatten()
        confident = torch.nonzero(score > options.pred_iou_thresh)[:, 0]
        for index in confident[_is_stable(logits[:, :rows, :columns], confident, options)].tolist():
            kept.append(logits[index].clone())  # a copy, so that the batch can be freed
            boxes.append(mask_box(logits[index, :rows, :columns]))
            scores.append(score[index])
    if not kept:
        return torch.zeros(0, rows, columns)
    order = non_maximum_suppression(
        torch.stack(boxes), torch.stack(scores).cpu(), options.box_nms_thresh
    )
    best = order[: options.max_masks].tolist()
    return torch.stack([remove_specks(kept[index], rows * columns) for index in best])


def _is_stable(logits: Tensor, which: Tensor, options: Options) -> Tensor:
    """Bool for each index in ``which``: stable, and neither empty nor full."""
    total = logits.shape[-2] * logits.shape[-1]
    stable = torch.zeros(len(which), dtype=torch.bool)
    for position, index in enumerate(which.tolist()):
        filled = area(logits[index], 0.0)
        stable[position] = (
            0 < filled < total
            and stability(logits[index], options.offset) >= options.stability_score_thresh
        )
    return stable


def area(logits: Tensor, threshold: float) -> int:
    """Number of pixels above a threshold."""
    if logits.device.type != "cpu":
        return int((logits > threshold).sum())
    # numpy counts bools without widening them to int64 as torch does: ten times as fast
    return int(np.count_nonzero(logits.numpy() > threshold))


def stability(logits: Tensor, offset: float) -> float:
    """Stability score in [0, 1]: IoU of the masks at thresholds ``+offset`` and ``-offset``.

    0 if the latter is empty.
    """
    return area(logits, offset) / max(area(logits, -offset), 1)


def mask_box(logits: Tensor) -> Tensor:
    """``(4,)`` float32 x0, y0, x1, y1 of the pixels above 0; zeros if there are none."""
    mask = (logits > 0).cpu().numpy()
    across, down = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(across):
        return torch.zeros(4)
    return torch.tensor([across[0], down[0], across[-1] + 1.0, down[-1] + 1.0])


def non_maximum_suppression(boxes: Tensor, scores: Tensor, box_nms_thresh: float) -> Tensor:
    """Non-maximum suppression: indices of the boxes that are kept, best first.

    Args:
        boxes: ``(M, 4)`` x0, y0, x1, y1.
        scores: ``(M,)``.
        box_nms_thresh: maximum IoU with a better box.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept_boxes = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    keep: list[int] = []
    for index in range(len(boxes)):
        if not kept_boxes[index]:
            continue
        keep.append(index)
        low = torch.maximum(boxes[index, :2], boxes[index + 1 :, :2])
        high = torch.minimum(boxes[index, 2:], boxes[index + 1 :, 2:])
        common = (high - low).clamp(min=0).prod(1)
        union = area[index] + area[index + 1 :] - common
        kept_boxes[index + 1 :] &= common <= box_nms_thresh * union
    return order[torch.tensor(keep, dtype=torch.int64, device=boxes.device)]


def segment_map(masks: Sequence[Array], size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Merge overlapping masks to one id map: 1..S by descending area, 0 for none.

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


def remove_specks(logits: Tensor, valid: int) -> Tensor:
    """Remove small islands and holes of a mask ``(h, w)``; its largest island is always kept.

    Args:
        logits: the mask is where they are above 0.
        valid: number of its pixels that cover the photo.
    """
    values = logits.cpu().numpy().copy()
    least = MIN_REGION_SHARE * valid
    for sign in (1.0, -1.0):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (sign * values > 0).astype(np.uint8), connectivity=8
        )
        small = stats[:, cv2.CC_STAT_AREA] < least
        small[0] = False  # the background label
        if len(small) > 1:
            small[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])] = False
        if small.any():
            values[small[np.asarray(labels, np.int64)]] = -sign
    return torch.from_numpy(values).to(logits.device)
