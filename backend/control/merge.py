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
    picked: Sequence[Array] | Array,
    automatic: Sequence[Array] | Array,
    size: tuple[int, int],
    scores: Sequence[float] | Array | None = None,
) -> npt.NDArray[np.int32]:
    """Merge masks into one map.

    The artist's picks come first and keep their pixels from automatic masks. Of two masks that want
    the same pixels, the one that owns them keeps them if it is the larger one as it stands, and
    loses them otherwise. What is left with too few pixels is no instance.

    Args:
        picked: bool ``(H, W)``, in the order they were picked; ids 1, 2 ...
        automatic: bool ``(H, W)``, best first, or ``(N, H, W)``; they are laid down worst first, so
            the best come last and have the highest ids. Where picks and they are more than 255, the
            worst are left out.
        size: ``(H, W)``.
        scores: ``(N,)`` of the automatic masks, higher is better, where they are in another order.

    Returns:
        int32 ``(H, W)``; 0 is nothing. Ids of masks that were dropped are left out.

    Raises:
        ValueError: a mask has another size, there are more than 255 picks, or the scores are not
            one number a mask.

    Source: the reference implementation of LeviTor, step "merge"; a mask's area is what it had
    before it lost anything.
    """
    if len(picked) > MAX_IDS:
        raise ValueError(f"{len(picked)} masks were picked; an id map holds at most {MAX_IDS}")
    for name, masks in (("pick", picked), ("automatic mask", automatic)):
        for number, mask in enumerate(masks, 1):
            if mask.shape != size:
                raise ValueError(f"{name} {number} is {mask.shape}, the map {size}")
    best = _best_first(len(automatic), scores)[: MAX_IDS - len(picked)]
    merged = np.zeros(size[0] * size[1], np.uint8)
    areas = np.zeros(MAX_IDS + 1, np.int64)
    least = SMALLEST * merged.size
    for item, given in enumerate([*picked, *(automatic[n] for n in reversed(best))], 1):
        # Only the mask's own pixels are looked at, as places in the map
        at = np.flatnonzero(given)
        area, owners = len(at), merged[at]
        if item > len(picked):
            free = (owners == 0) | (owners > len(picked))
            at, owners = at[free], owners[free]
        contested = np.bincount(owners, minlength=MAX_IDS + 1)
        contested[0] = 0
        owner = int(contested.argmax())
        if contested[owner] and areas[owner] < area:
            areas -= contested
            merged[at] = 0
        elif contested[owner]:
            at = at[owners == 0]
        if len(at) > least:
            merged[at] = item
            areas[item] = len(at)
    merged[(areas <= least)[merged]] = 0
    return merged.reshape(size).astype(np.int32)


def _best_first(count: int, scores: Sequence[float] | Array | None) -> list[int]:
    """Indices of the automatic masks; equal scores keep their order."""
    if scores is None:
        return list(range(count))
    values = np.asarray(scores, np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"{count} automatic masks need {count} finite scores, got {values.shape}")
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    return order
