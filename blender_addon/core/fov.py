"""The field of view of a lift, and what another one makes of its camera and its world.

A pixel's ray leans aside in proportion to 1 / focal length, and its depth stays. So under another
focal length the world is stretched across the camera's axis, by the same factor in x and z of
Blender's world, and its y stays: a straight line stays straight, a centre of points stays their
centre, and the photo's camera sees every point at its own pixel.
"""

from __future__ import annotations

import math

import numpy as np

from .coords import Array

LEAST, MOST = 1.0, 170.0
"""Degrees; beyond, Blender has no lens on the sensor that it is given."""


def degrees_of(intrinsics: Array, width: int) -> float:
    """Degrees that ``width`` pixels span at the focal length, wherever the optical axis lies."""
    return math.degrees(2 * math.atan(width / 2 / float(intrinsics[0, 0])))


def with_degrees(intrinsics: Array, width: int, degrees: float) -> Array:
    """(3, 3) of the same camera with another focal length: same centre, same shape of pixels.

    Args:
        intrinsics: (3, 3), pixels.
        width: of the photo, pixels.
        degrees: across the photo.

    Raises:
        ValueError: the field of view is not between 1 and 170 degrees.
    """
    if not LEAST <= degrees <= MOST:
        raise ValueError(
            f"a field of view of {degrees:g} degrees is not between {LEAST:g} and {MOST:g}"
        )
    focal = width / 2 / math.tan(math.radians(degrees) / 2)
    found = np.array(intrinsics, np.float64)
    found[1, 1] *= focal / found[0, 0]
    found[0, 0] = focal
    return found


def stretched(places: Array, old: Array, new: Array) -> Array:
    """(..., 3) places of Blender's world where the lift's world has them under ``new``.

    Args:
        places: under the intrinsics ``old``, (3, 3).
        old: before.
        new: after; same centre and shape of pixels.

    Returns:
        float64 that float32 holds exactly, as Blender keeps places.
    """
    aside = float(old[0, 0]) / float(new[0, 0])
    return (places * (aside, 1.0, aside)).astype(np.float32).astype(np.float64)


def carried(value: float, old: float, new: float) -> float:
    """A key or channel that was ``value`` when rest was at ``old``: as far from ``new``."""
    return value - old + new


def zoomed(lens: float, old: float, new: float) -> float:
    """A focal length beside the photo's own: as many times ``new`` as it was ``old``.

    What is the photo's own up to float32 rounding becomes exactly the new one, so that a field of
    view may be changed a thousand times.
    """
    return new if abs(lens - old) <= 1e-5 * old else lens * (new / old)
