"""The hidden generators of a process: set at a run's start, kept in its checkpoints.

Examples and their noise have generators of their own, by number; these serve what draws without
one, such as dropout inside a network. The only place of the backend that touches them.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from backend.seeds import seeded_generator

TORCH, DEVICE, PYTHON, NUMPY = "torch", "device", "python", "numpy"
NO_GAUSS = float("nan")
"""In place of Python's spare normal number, where it holds none."""


def start(seed: int, process: int = 0) -> None:
    """Set all of them by a run's seed, in every process otherwise."""
    own = seeded_generator(seed, process)
    words = torch.randint(2**31, (4,), generator=own).tolist()
    random.seed(words[0])
    np.random.seed(words[1])
    torch.default_generator.manual_seed(words[2])
    if torch.cuda.is_available():
        torch.cuda.manual_seed(words[3])


def read() -> dict[str, Tensor]:
    """The state of each: bytes of torch's, numbers of Python's and numpy's Mersenne Twisters."""
    version, words, gauss = random.getstate()
    python = [version, *words, NO_GAUSS if gauss is None else gauss]
    _, key, position, has_gauss, spare = np.random.get_state(legacy=True)
    numpy = [*np.asarray(key).tolist(), position, has_gauss, spare]
    found = {
        TORCH: torch.get_rng_state(),
        PYTHON: torch.tensor(python, dtype=torch.float64),
        NUMPY: torch.tensor(numpy, dtype=torch.float64),
    }
    if torch.cuda.is_available():
        found[DEVICE] = torch.cuda.get_rng_state()
    return found


def write(states: Mapping[str, Tensor]) -> None:
    """Set what :func:`read` gave; a device that is not here is left out."""
    torch.set_rng_state(states[TORCH])
    version, *words, gauss = states[PYTHON].tolist()
    random.setstate((int(version), tuple(map(int, words)), None if gauss != gauss else gauss))
    *key, position, has_gauss, spare = states[NUMPY].tolist()
    np.random.set_state(("MT19937", np.array(key, np.uint32), int(position), int(has_gauss), spare))
    if DEVICE in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[DEVICE])


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Leave them after the block as they were before it."""
    states = read()
    try:
        yield
    finally:
        write(states)
