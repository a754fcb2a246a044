"""Which clip an example is: a seeded order without state, so that a run goes on anywhere.

Whole videos are held back for samples, told by a hash of their names: the same ones in any run.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from backend.training.base import example_generator

SHOWN = 1 << 40
"""Number of the first example that is shown; no run learns from so late a one."""
SHARE = 0.02
"""Of the videos are held back, about."""
FEWEST = 20
"""With fewer videos none is held back."""


class ClipOrder:
    """A dataset's clips, shuffled, endless: those that are learned from, and those held back.

    Args:
        videos: the video of each clip.
        seed: of the order; which videos are held back does not depend on it.
    """

    def __init__(self, videos: Sequence[str], seed: int) -> None:
        held = held_back(videos)
        back = np.array([video in held for video in videos], bool)
        self.learned = np.flatnonzero(~back).astype(np.int32)
        self.shown = np.flatnonzero(back).astype(np.int32)
        self._seed = seed
        count = len(set(videos))
        self.told = (
            f"{len(held)} of {count} videos ({len(self.shown)} clips) are held back: samples show "
            "them, and nothing is learned from them."
            if held
            else f"Of {count} videos none is held back, since they are fewer than {FEWEST}: "
            "samples show clips of the training set."
        )

    def clip(self, number: int) -> int:
        """Which clip example ``number`` is; from :data:`SHOWN` on one of those held back.

        Raises:
            IndexError: the number is negative.
        """
        if number >= SHOWN and len(self.shown):
            return int(self.shown[shuffled(number - SHOWN, len(self.shown), self._seed)])
        return int(self.learned[shuffled(number, len(self.learned), self._seed)])


def held_back(videos: Iterable[str]) -> frozenset[str]:
    """About :data:`SHARE` of the videos, at least one; none of fewer than :data:`FEWEST`."""
    names = sorted(set(videos))
    if len(names) < FEWEST:
        return frozenset()
    rank = {name: _hash(name) for name in names}
    found = [name for name in names if rank[name] < SHARE]
    return frozenset(found or [min(names, key=rank.__getitem__)])


def _hash(name: str) -> float:
    """In [0, 1)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def shuffled(number: int, total: int, seed: int) -> int:
    """Which of ``total`` clips example ``number`` is: each once an epoch, every epoch anew.

    Raises:
        IndexError: the number is negative.
    """
    if number < 0:
        raise IndexError(f"examples are numbered from 0, not {number}")
    epoch, place = divmod(number, total)
    return int(_order(total, seed, epoch)[place])


@functools.lru_cache(maxsize=4)
def _order(total: int, seed: int, epoch: int) -> npt.NDArray[Any]:
    return torch.randperm(total, generator=example_generator(seed, epoch)).numpy()
