"""Merges overlapping masks into one instance id map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MIN_AREA_SHARE = 0.001
"""Share of the frame that a mask has to exceed to become an instance."""
MAX_IDS = 255


def merge_masks(
    picked: Sequence[Array] | Array,
    automatic: Sequence[Array] | Array,
    size: tuple[int, int],
    scores: Sequence[float] | Array | None = None,
) -> npt.NDArray[np.int32]:
    """Merge masks into one map.

    Picked masks come first, and automatic masks never take their pixels. Where two masks overlap,
    the earlier one keeps the pixels if its remaining area is the larger one; otherwise the later
    one takes them. Masks that are left with too few pixels are dropped.

    Args:
        picked: bool ``(H, W)``, in the order they were picked; ids 1, 2 ...
        automatic: bool ``(H, W)``, best first, or ``(N, H, W)``; merged worst first, so the best
            have the highest ids. Where there are more than 255 masks, the worst are left out.
        size: ``(H, W)``.
        scores: ``(N,)`` of the automatic masks, higher is better, if they are in another order.

    Returns:
        int32 ``(H, W)``; 0 is the background. Ids of dropped masks are unused.

    Raises:
        ValueError: a mask has another size, there are more than 255 picks, or there is not one
            score per mask.

    Source: the reference implementation of LeviTor, step "merge"; a mask's area is
    counted before others take pixels from it.
    """
    if len(picked) > MAX_IDS:
        raise ValueError(f"{len(picked)} masks were picked; an id map holds at most {MAX_IDS}")
    for name, masks in (("pick", picked), ("automatic mask", automatic)):
        for number, mask in enumerate(masks, 1):
            if mask.shape != size:
                raise ValueError(f"{name} {number} is {mask.shape}, the map {size}")
    best = _by_score(len(automatic), scores)[: MAX_IDS - len(picked)]
    merged = np.zeros(size[0] * size[1], np.uint8)
    areas = np.zeros(MAX_IDS + 1, np.int64)
    min_area = MIN_AREA_SHARE * merged.size
    for item, given in enumerate([*picked, *(automatic[n] for n in reversed(best))], 1):
        # Only the mask's own pixels are read, as flat indices
        pixels = np.flatnonzero(given)
        area, owners = len(pixels), merged[pixels]
        if item > len(picked):
            free = (owners == 0) | (owners > len(picked))
            pixels, owners = pixels[free], owners[free]
        contested = np.bincount(owners, minlength=MAX_IDS + 1)
        contested[0] = 0
        owner = int(contested.argmax())
        if contested[owner] and areas[owner] < area:
            areas -= contested
            merged[pixels] = 0
        elif contested[owner]:
            pixels = pixels[owners == 0]
        if len(pixels) > min_area:
            merged[pixels] = item
            areas[item] = len(pixels)
    merged[(areas <= min_area)[merged]] = 0
    return merged.reshape(size).astype(np.int32)


def _by_score(count: int, scores: Sequence[float] | Array | None) -> list[int]:
    """Indices of the automatic masks, best first; equal scores keep their order."""
    if scores is None:
        return list(range(count))
    values = np.asarray(scores, np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"{count} automatic masks need {count} finite scores, got {values.shape}")
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    return order
