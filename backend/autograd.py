"""Work without gradients that leaves everything fit for gradients later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Record no gradients in the block, or in the function that this decorates.

    Not ``torch.inference_mode``, and none that a caller is in: a weight that is moved, cast, laid
    out anew or loaded there becomes a tensor that no backward pass may save ever again. On a CPU
    nothing moves, so only a GPU would show it. What it saves, a little bookkeeping an operation, is
    nothing beside a network's products.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield
