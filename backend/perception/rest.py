"""Where networks are between jobs: on the CPU, so that a render on the same GPU has the room."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

STAYING = "high"
"""The wish for memory (``backend.resources.MEMORY``) with which networks stay on their device."""


@contextlib.contextmanager
def at_work(network: nn.Module, device: str, *, rests: bool) -> Iterator[None]:
    """Have ``network`` on ``device`` for the block, and on the CPU afterwards if it ``rests``.

    On the CPU nothing is moved. What the block leaves on the device, such as an embedding, stays
    there; memory that torch holds back for itself goes to other processes.
    """
    if device == "cpu":
        yield
        return
    try:
        network.to(device)
        yield
    finally:
        if rests:
            network.to("cpu")
            if device.startswith("cuda"):
                torch.cuda.empty_cache()
