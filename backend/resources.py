"""What a model may use on this machine: where its weights lie, and what it computes on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ShotError

MEMORY = ("auto", "low", "balanced", "high")
"""How much of the device's memory an engine may take; ``auto`` looks at what is free."""

NAMED_IN_VAIN = "no_weights_there"
"""The code of the error for weights that do not lie where somebody said that they do."""

OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "Insufficient memory",
    "bad_alloc",
    "paging file is too small",
)
"""What says so: torch's devices; CUDA's libraries; torch and the system where the CPU's memory is
not enough; OpenCV; C++; Windows, where a file of weights is mapped."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, on the CPU or on a device.

    By names and words, so that a process without torch and OpenCV can ask: torch has a class of its
    own only for its allocator on a device, OpenCV and safetensors have one for all their errors.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    names = ("error", "SafetensorError")  # of OpenCV, and of safetensors
    library = isinstance(error, RuntimeError | OSError) or type(error).__name__ in names
    return library and any(words in str(error) for words in OUT_OF_MEMORY_WORDS)


BROKEN_DEVICE = (
    "an illegal memory access",
    "an illegal instruction",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "shared address space",
    "uncorrectable ecc",
    "context is destroyed",
    "cuda error: unknown error",
    "gpu is lost",
    "status_execution_failed",
)
"""What CUDA and its libraries say, in lower case, when the process can use the device no more: the
errors of which CUDA's documentation says that it must be ended and started anew."""


def is_broken_device(error: BaseException | None) -> bool:
    """Whether an error, or one it came from, says that a device is lost to this process."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said = str(error).lower()
        if isinstance(error, RuntimeError) and any(words in said for words in BROKEN_DEVICE):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_weights(name: str) -> Path:
    """The answer where no weights were ever configured."""
    raise ShotError(
        "weights",
        f"The weights '{name}' are not here.",
        f"Run `levitor weights fetch {name}`; `levitor doctor` says where they are looked for.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Handed to every engine and perception model when it is made.

    Attributes:
        device: torch's name of what to compute on.
        memory: one of :data:`MEMORY`.
        weights: gives the folder or file of the weights of that name; raises a ``ShotError`` that
            says what is missing and where it was looked for.
        cache: a folder for results that may be lost, or ``None`` to keep none.
    """

    device: str = "cpu"
    memory: str = "auto"
    weights: Callable[[str], Path] = no_weights
    cache: Path | None = None
