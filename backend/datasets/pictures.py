"""Frames and maps of object numbers that datasets keep as picture files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from backend.datasets.base import broken

Array = npt.NDArray[Any]
FETCH_AGAIN = "Fetch it again, or take its video out of the folder."


def stems(folder: Path, *endings: str) -> list[str]:
    """Names, without their ending, of a folder's files that end so; sorted."""
    return sorted(path.stem for path in folder.iterdir() if path.suffix.lower() in endings)


def read_picture(path: Path) -> Array:
    """A frame, uint8 ``(H, W, 3)``.

    Raises:
        ShotError: the file is missing or damaged.
    """
    return _read(path, lambda image: np.asarray(image.convert("RGB")))


def decode_planes(data: bytes, where: str) -> Array:
    """A picture held in memory, uint8 ``(3, H, W)`` RGB; faster than :func:`read_picture`.

    Args:
        data: of the file.
        where: for the error.

    Raises:
        ShotError: it is damaged.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise broken(where, "the picture cannot be read.", FETCH_AGAIN)
    return np.stack(cv2.split(pixels)[::-1])


def read_labels(path: Path, size: Sequence[int] | None = None) -> Array:
    """A map of object numbers, int64 ``(H, W)``, as the file holds them.

    A palette's number is the object's; so is a grey value of 8 or 16 bits. Of a picture in colours,
    number is red + 256 green + 65536 blue, as in COCO's panoptic format.

    Args:
        path: the file.
        size: (height, width) that it must have.

    Raises:
        ShotError: the file is missing or damaged, or of another size.
    """
    labels = _read(path, _numbers)
    if size is not None and labels.shape != tuple(size):
        raise broken(
            path,
            f"it has {labels.shape[1]} x {labels.shape[0]} pixels, its frame "
            f"{size[1]} x {size[0]}.",
            FETCH_AGAIN,
        )
    return labels


def read_white(path: Path, size: Sequence[int]) -> npt.NDArray[np.bool_]:
    """A painted mask, bool ``(H, W)``: what is at least half as bright as white.

    Args:
        path: the file, grey or in colours, of 8 or 16 bits; its alpha is left out.
        size: (height, width) that it must have.

    Raises:
        ShotError: the file is missing or damaged, or of another size.
    """
    white = _read(path, _brightness) >= 0.5
    if white.shape != tuple(size):
        raise broken(
            path,
            f"it has {white.shape[1]} x {white.shape[0]} pixels, its frame {size[1]} x {size[0]}.",
            "Render the masks in the film's size, at 100 %.",
        )
    return white


def palette_of(path: Path) -> Array | None:
    """The colours ``(256, 3)`` uint8 of a picture with a palette; None where it has none."""

    def colours(image: Image.Image) -> Array | None:
        if image.mode != "P":
            return None
        flat = np.asarray(image.getpalette("RGB") or [], np.uint8)
        return np.pad(flat, (0, 768 - len(flat))).reshape(256, 3)

    return _read(path, colours)


def _numbers(image: Image.Image) -> Array:
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image)[..., :3].astype(np.int64) @ np.array([1, 256, 65536])
    if image.mode == "1":
        return np.asarray(image).astype(np.int64)
    if image.mode in ("P", "L", "I", "I;16", "I;16B"):
        return np.asarray(image).astype(np.int64)
    raise ValueError(f"numbers of objects cannot be kept as {image.mode}")


def _brightness(image: Image.Image) -> Array:
    deep = image.mode.startswith("I")
    return np.asarray(image if deep else image.convert("L")) / (65535 if deep else 255)


def _read(path: Path, take: Any) -> Any:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            image.load()
            return take(image)
    except FileNotFoundError as error:
        raise broken(path, "the file is missing.", FETCH_AGAIN) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise broken(path, f"the picture cannot be read ({error!s:.200}).", FETCH_AGAIN) from error
