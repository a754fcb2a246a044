"""Selects and describes the torch device; imports torch inside its functions only."""

from __future__ import annotations

import os
import sys

from protocol.errors import ShotError


def choose(requested: str) -> str:
    """Resolve a device: ``auto`` is a GPU if torch sees one, else the CPU.

    Raises:
        ShotError: there is no such device.
    """
    if requested == "cpu":
        return requested
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if requested == "auto":
        return "cuda" if count else "cpu"
    number = int(requested.partition(":")[2] or 0)
    if number < count:
        return requested
    if torch.version.cuda is None:
        seen = f"torch {torch.__version__} is built without CUDA"
    else:
        seen = f"torch {torch.__version__} sees {count} CUDA devices"
    raise ShotError(
        "device",
        f"The device '{requested}' cannot be used: {seen}.",
        "Leave --device out, or choose cpu; `levitor doctor` says what is here.",
    )


def describe(device: str) -> str:
    """A device in words: ``cuda (NVIDIA H200, 150 GB)``."""
    if device == "cpu":
        return f"cpu ({os.cpu_count()} cores)"
    import torch

    properties = torch.cuda.get_device_properties(device)
    return f"{device} ({properties.name}, {properties.total_memory / 1e9:.0f} GB)"


def is_usable(device: str) -> bool:
    """Whether this process can still use a device; some CUDA errors make its context unusable."""
    if device == "cpu":
        return True
    import torch

    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    try:
        choose(sys.argv[1])
    except ShotError as error:
        sys.exit(str(error))
