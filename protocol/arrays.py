"""Arrays on the wire: which dtypes may travel, their checks, and read-only views of their bytes.

Bytes are little-endian and C-contiguous. Nothing here ever unpickles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ProtocolError

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
}
MAX_AXES = 6
MAX_SIZE = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """What a message says about one of its arrays.

    Attributes:
        dtype: a key of ``DTYPES``.
        shape: an int is that size; a name may be any size, but the same one in the whole message.
    """

    dtype: str
    shape: tuple[int | str, ...]


def byte_count(dtype: str, shape: Sequence[int]) -> int:
    """Bytes of a C-contiguous array; raises :class:`ProtocolError` for what may not travel."""
    if dtype not in DTYPES:
        raise ProtocolError(
            "array", f"dtype {dtype!r} may not travel; allowed: {', '.join(DTYPES)}."
        )
    if len(shape) > MAX_AXES or any(not 0 <= n <= MAX_SIZE for n in shape):
        raise ProtocolError(
            "array", f"shape {list(shape)} is not one of up to {MAX_AXES} axes of 0 to {MAX_SIZE}."
        )
    return math.prod(shape) * DTYPES[dtype].itemsize


def view(data: bytes | memoryview, dtype: str, shape: Sequence[int], name: str) -> Array:
    """A read-only array over ``data``; ``name`` tells the reader of an error which frame it was."""
    expected = byte_count(dtype, shape)
    have = len(data) if isinstance(data, bytes) else data.nbytes
    if have != expected:
        raise ProtocolError(
            "array",
            f"{name} has {have} bytes, but {dtype} of shape {list(shape)} needs {expected}.",
        )
    try:
        array = np.frombuffer(data, DTYPES[dtype]).reshape(tuple(shape))
    except ValueError as error:  # nothing by something absurd is nothing, but numpy refuses it
        raise ProtocolError("array", f"{name} cannot have shape {list(shape)}.") from error
    array.flags.writeable = False
    return array


def check(array: Array, spec: ArraySpec, name: str, sizes: dict[str, int]) -> None:
    """Hold ``array`` against ``spec``; named axes are remembered in ``sizes``."""
    if dtype_name(array) != spec.dtype:
        raise ProtocolError("array", f"{name} must be {spec.dtype}, got {array.dtype}.")
    fits = len(array.shape) == len(spec.shape) and all(
        have == (want if isinstance(want, int) else sizes.setdefault(want, have))
        for have, want in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(
            str(n) if isinstance(n, int) else f"{n}={sizes[n]}" if n in sizes else n
            for n in spec.shape
        )
        raise ProtocolError("array", f"{name} must have shape ({wanted}), got {array.shape}.")


def dtype_name(array: Array) -> str:
    """The wire name of an array's dtype, or its numpy name where it may not travel."""
    kind = array.dtype.newbyteorder("<")
    return next((name for name, dtype in DTYPES.items() if dtype == kind), str(array.dtype))


def to_bytes(array: Array) -> memoryview:
    """The bytes that travel: little-endian, C-contiguous, without a copy where none is needed."""
    ready = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return ready.reshape(-1).view(np.uint8).data
