"""Writes a lift for other tools: a point cloud (.ply) or its arrays (.npz)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

AXES = "+x right, +y forward, +z up; the photo's camera at the origin, looking along +y"
"""Axes of the points in a file: Blender's."""
POINT = np.dtype(
    [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("instance", "<i4"),
    ]
)
_KINDS = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


def ply(points: Array, pixels: Array, instance: Array, made_by: str) -> bytes:
    """A binary little-endian PLY, one vertex per pixel in row-major order.

    Args:
        points: ``(H, W, 3)`` in OpenCV axes (+x right, +y down, +z forward), the photo's camera at
            the origin.
        pixels: uint8 ``(H, W, 3)`` sRGB.
        instance: int32 ``(H, W)``; 0 is none.
        made_by: a comment; one line.
    """
    vertices = np.empty(points.shape[0] * points.shape[1], POINT)
    x, y, z = points.reshape(-1, 3).T
    vertices["x"], vertices["y"], vertices["z"] = x, z, -y
    colours = pixels.reshape(-1, 3).T
    vertices["red"], vertices["green"], vertices["blue"] = colours
    vertices["instance"] = instance.ravel()
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment axes: {AXES}",
        f"comment {' '.join(made_by.split())}",
        f"element vertex {len(vertices)}",
        *(f"property {_KINDS[POINT[name].str]} {name}" for name in POINT.names or ()),
        "end_header",
    ]
    # Readers are many and old, and the header is ASCII
    text = "\n".join(header).encode("ascii", "replace")
    return text + b"\n" + vertices.tobytes()


def npz(arrays: dict[str, Any]) -> bytes:
    """Named arrays, numbers and texts as ``np.load`` reads them without pickle.

    Raises:
        ValueError: a value is none of these.
    """
    buffer = io.BytesIO()
    values: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez_compressed(buffer, allow_pickle=False, **values)
    return buffer.getvalue()
