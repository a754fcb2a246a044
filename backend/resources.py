"""The resources of a model: device, memory preset, weights, cache; and out-of-memory detection."""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from protocol.errors import ShotError

Held = TypeVar("Held")

MEMORY = ("auto", "low", "balanced", "high")
"""Memory presets of engines; ``auto`` selects one by the free memory of the device."""

WEIGHTS_NOT_AT_PATH = "no_weights_there"
"""Error code for weights that are missing from a path that was configured for them."""

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
"""Parts of out-of-memory messages: of torch on a device; CUDA libraries; torch and the system on
the CPU; OpenCV; C++; Windows when it maps a file of weights."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means out of memory, on the CPU or on a device.

    By type names and messages, so that no import of torch or OpenCV is needed: torch has an own
    class only for its device allocator, OpenCV and safetensors one for all their errors.
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
"""Parts of messages, in lower case, of CUDA errors after which the process cannot use the device:
those for which CUDA's documentation requires that the process is restarted."""


def is_broken_device(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, means that this process lost its device."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said = str(error).lower()
        if isinstance(error, RuntimeError) and any(words in said for words in BROKEN_DEVICE):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_weights(name: str) -> Path:
    """The default of ``Resources.weights``: there are none."""
    raise ShotError(
        "weights",
        f"The weights '{name}' are not here.",
        f"Run `levitor weights fetch {name}`; `levitor doctor` says where they are looked for.",
    )


class Shared:
    """What several models of one process use together, each there for as long as one refers to it.

    Whoever makes the :class:`Resources` of a process owns it. It holds nothing itself, so a model
    gives something back by forgetting it, and takes nothing from under another that refers to it.
    """

    def __init__(self) -> None:
        self._held: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()

    def __reduce__(self) -> tuple[type[Shared], tuple[()]]:
        """Another process shares nothing with this one: it gets an empty one."""
        return Shared, ()

    def hold(self, key: Hashable, make: Callable[[], Held]) -> Held:
        """What is held under ``key``; made where nobody refers to one."""
        held = self._held.get(key)
        if held is None:
            self._held[key] = held = make()
        return held


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What an engine or perception model is constructed with.

    Attributes:
        device: torch device.
        memory: one of :data:`MEMORY`.
        weights: folder or file of a weight set by name; raises a ``ShotError`` that names what is
            missing and where it was searched.
        cache: folder for cached results, or ``None`` for no cache.
        shared: what models made with these resources, or with a copy of them, use together.
    """

    device: str = "cpu"
    memory: str = "auto"
    weights: Callable[[str], Path] = no_weights
    cache: Path | None = None
    shared: Shared = field(default_factory=Shared, compare=False, repr=False)
