"""One id map from masks that overlap; the same rule for picks, automatic segments and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SMALLEST = 0.001
"""Share of the frame that a mask has to exceed to be an instance at all."""
MAX_IDS = 255


def merge_masks(
    picked: Sequence[Array], automatic: Sequence[Array], size: tuple[int, int]
) -> Array:
    """Merge masks into one map.

    The artist's picks come first and keep their pixels from automatic masks. Of two masks that want
    the same pixels, the one that owns them keeps them if it is the larger one as it stands, and
    loses them otherwise. What is left with too few pixels is no instance.

    Args:
        picked: bool ``(H, W)``, in the order they were picked; ids 1, 2 ...
        automatic: bool ``(H, W)``, best first; they are laid down worst first, so the best come
            last and have the highest ids.
        size: ``(H, W)``.

    Returns:
        int32 ``(H, W)``; 0 is nothing. Ids of masks that were dropped are left out.

    Raises:
        ValueError: a mask has another size, or there are more than 255.

    Source: the reference implementation of LeviTor, step "merge"; a mask's area is what it had
    before it lost anything.
    """
    masks = [*picked, *reversed(automatic)]
    if len(masks) > MAX_IDS:
        raise ValueError(f"{len(masks)} masks; an id map holds at most {MAX_IDS}")
    least = SMALLEST * size[0] * size[1]
    merged = np.zeros(size, np.int32)
    for item, given in enumerate(masks, 1):
        if given.shape != size:
            raise ValueError(f"mask {item} is {given.shape}, the map {size}")
        mask = given.astype(bool)
        area = int(mask.sum())
        if item > len(picked):
            mask &= ~((merged >= 1) & (merged <= len(picked)))
        contested = mask & (merged > 0)
        if contested.any():
            owner = int(np.bincount(merged[contested]).argmax())
            if int((merged == owner).sum()) < area:
                merged[contested] = 0
            else:
                mask &= ~contested
        if mask.sum() > least:
            merged[mask] = item
    areas = np.bincount(merged.ravel())
    merged[areas[merged] <= least] = 0
    return merged
