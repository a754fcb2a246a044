"""Which clip an example is: a seeded order without state, so that a run goes on anywhere."""

from __future__ import annotations

import functools
from typing import Any

import numpy.typing as npt
import torch

from backend.training.base import example_generator


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
