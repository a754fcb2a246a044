"""Finds and reads the depth channel of an OpenEXR file, by any renderer's name for it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR

from backend.images.image_file import check_size
from protocol.errors import ShotError

Array = npt.NDArray[Any]

MAGIC = b"\x76\x2f\x31\x01"
DEPTH_WORDS = ("depth", "disparity", "z", "mist")
"""Names of depth layers and channels, best first."""


def read_depth(data: bytes, max_pixels: int) -> tuple[Array, tuple[str, ...]]:
    """The depth channel, (H, W), as it is in the file; NaN outside the data window.

    Returns:
        The values, and a note if the file has other channels too.

    Raises:
        ShotError: there is none, there are several, or it is too large.
    """
    with OpenEXR.File(io.BytesIO(data), header_only=True) as file:
        for part in file.parts:
            height, width = _size(part.header["dataWindow"])
            check_size("depth map", height, width, max_pixels)
            check_size("depth map", *_size(part.header["displayWindow"]), max_pixels)
    with OpenEXR.File(io.BytesIO(data), separate_channels=True) as file:
        named = {
            _full_name(part, name, len(file.parts)): (part.header, channel.pixels)
            for part in file.parts
            for name, channel in part.channels.items()
        }
        chosen = _depth_channel({name: pixels for name, (_, pixels) in named.items()})
        header, pixels = named[chosen]
        values = _in_display_window(np.array(pixels), header)
    others = [name for name in named if name != chosen and _last(name) not in ("A", "a")]
    same = {chosen[:-1] + letter for letter in "RGB"} if _last(chosen) == "R" else set[str]()
    if not set(others) - same:
        return values, ()
    return values, (f"Of the {len(named)} channels of the EXR file, {chosen} was used as depth.",)


def _depth_channel(channels: dict[str, Array]) -> str:
    """The name of the channel that is depth."""
    ranked = {name: rank for name in channels if (rank := _rank(name, channels)) is not None}
    if ranked:
        # The first if equal, as when every view layer has one
        return min(ranked, key=lambda name: ranked[name])
    colours = [name for name in channels if _last(name) in ("R", "r")]
    for name in colours:
        rest = [channels.get(name[:-1] + letter) for letter in _same_case("GB", name)]
        if all(one is None or np.array_equal(one, channels[name], equal_nan=True) for one in rest):
            return name
    rest = [name for name in channels if _last(name).upper() != "A"]
    if len(rest) == 1:
        return rest[0]
    listed = ", ".join(sorted(channels)[:12])
    raise ShotError(
        "depth_map",
        f"The EXR file has {len(channels)} channels and none that is called a depth: {listed}.",
        "Save the depth alone, or in a channel Z or a layer Depth.",
    )


def _rank(name: str, channels: dict[str, Array]) -> tuple[int, ...] | None:
    """Rank of a channel's name as depth, lower is better; None if it is not depth.

    A vector's Z (``Normal.Z``, ``Position.Z``) has an X beside it and is not depth.
    """
    *layers, last = name.split(".")
    prefix = name[: len(name) - len(last)]
    if any(prefix + letter in channels for letter in _same_case("X", last)):
        return None
    if last.upper() == "A" and len(channels) > 1:
        return None
    words = [word.lower() for word in (*layers, last)]
    for rank, word in enumerate(DEPTH_WORDS):
        if word in words:
            return rank, 0
        if word != "z" and any(word in one for one in words):  # "Denoising Depth", "depth_map"
            return rank, 1
    if last in ("Y", "V") and prefix + "RY" not in channels and not layers:
        return len(DEPTH_WORDS), 0
    return None


def _same_case(letters: str, like: str) -> str:
    return letters.lower() if like[-1:].islower() else letters


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _full_name(part: Any, channel: str, parts: int) -> str:
    """With the part's name as prefix, as in a file of one part."""
    name = part.header.get("name", "")
    if parts == 1 or not name or channel.startswith(f"{name}."):
        return channel
    return f"{name}.{channel}"


def _size(window: Any) -> tuple[int, int]:
    (left, top), (right, bottom) = window
    return int(bottom) - int(top) + 1, int(right) - int(left) + 1


def _in_display_window(pixels: Array, header: Any) -> Array:
    """The display window, if only a part of it was rendered."""
    data, display = header["dataWindow"], header["displayWindow"]
    if np.array_equal(data, display) or pixels.dtype.kind != "f":
        return pixels
    whole = np.full(_size(display), np.nan, pixels.dtype)
    x, y = (int(a) - int(b) for a, b in zip(data[0], display[0], strict=True))
    height, width = pixels.shape
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, whole.shape[0]), min(x + width, whole.shape[1])
    if top < bottom and left < right:
        whole[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]
    return whole
