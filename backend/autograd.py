"""Disables gradients without torch's inference mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Record no gradients in the block, or in the decorated function.

    Not ``torch.inference_mode``, which is also left if a caller is in it: a weight that is moved,
    cast or loaded in it becomes an inference tensor, which autograd cannot save for backward. On a
    CPU nothing is moved, so only a GPU would show it. What inference mode saves per operation is
    negligible for large networks.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield
