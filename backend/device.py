"""What is computed on. Imports torch only when asked, so that a server's loop can check names."""

from __future__ import annotations

import os
import sys

from protocol.errors import ShotError


def choose(asked: str) -> str:
    """The device for ``asked``: ``auto`` is a GPU if torch sees one, else the CPU.

    Raises:
        ShotError: that device is not here.
    """
    if asked == "cpu":
        return asked
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda" if count else "cpu"
    number = int(asked.partition(":")[2] or 0)
    if number < count:
        return asked
    if torch.version.cuda is None:
        seen = f"torch {torch.__version__} is built without CUDA"
    else:
        seen = f"torch {torch.__version__} sees {count} CUDA devices"
    raise ShotError(
        "device",
        f"The device '{asked}' cannot be used: {seen}.",
        "Leave --device out, or choose cpu; `levitor doctor` says what is here.",
    )


def describe(device: str) -> str:
    """A device in words: ``cuda (NVIDIA H200, 150 GB)``."""
    if device == "cpu":
        return f"cpu ({os.cpu_count()} cores)"
    import torch

    about = torch.cuda.get_device_properties(device)
    return f"{device} ({about.name}, {about.total_memory / 1e9:.0f} GB)"


def answers(device: str) -> bool:
    """Whether this process can still compute on a device; after some errors of CUDA none can."""
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
