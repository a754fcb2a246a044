"""Decodes photos: upright, 8-bit sRGB, at their working size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backend.geometry.camera import fov_from_focal
from backend.images import colour
from backend.images.image_file import wrap_codec_errors
from backend.images.raster import Raster, read_raster, upright
from protocol.errors import ShotError
from protocol.messages import Limits

Array = npt.NDArray[Any]

MIN_SIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A decoded photo at its working size.

    Attributes:
        pixels: uint8 (H, W, 3) sRGB; H and W are even, as video needs.
        scale: working pixels per pixel of the file.
        disk: (height, width) in the file, upright.
        whole: (height, width) at the working size, before an odd row or column was cropped.
        orientation: EXIF's, 1 to 8, which was applied.
        notes: sentences on what was done to it.
        horizontal_fov: of ``pixels``, in degrees, if the file tells; see ``exif.lens_of``.
        fov_source: its origin, in words.
    """

    pixels: Array
    scale: float
    disk: tuple[int, int]
    whole: tuple[int, int]
    orientation: int
    notes: tuple[str, ...]
    horizontal_fov: float | None = None
    fov_source: str = ""


def decode_photo(data: bytes, max_side: int, max_pixels: int = Limits().pixels) -> Photo:
    """Decode a photo from the bytes of an image file.

    Raises:
        ShotError: it is no image, broken, an animation, or too small or large.
    """
    raster = read_raster(data, "photo", max_pixels, reduce=True)
    notes = list(raster.notes)
    with wrap_codec_errors("photo"):
        rgb = _over_white(colour.to_srgb(raster, notes), raster, notes)
        rgb = upright(rgb, raster.orientation)
    tall, wide = raster.disk
    disk = (tall, wide) if raster.orientation < 5 else (wide, tall)
    scale = min(1.0, max_side / max(disk), max(rgb.shape[:2]) / max(disk))
    size = max(1, round(disk[1] * scale)), max(1, round(disk[0] * scale))
    if scale < 1.0:
        whole = Image.fromarray(np.ascontiguousarray(rgb))
        rgb = np.asarray(whole.resize(size, Image.Resampling.LANCZOS))
        notes.append(
            f"The photo of {disk[1]} x {disk[0]} pixels was scaled to {size[0]} x {size[1]}."
        )
    height, width = rgb.shape[0] & ~1, rgb.shape[1] & ~1
    if min(height, width) < MIN_SIDE:
        raise _too_small(disk, height, width)
    if (height, width) != rgb.shape[:2]:
        notes.append(
            f"Video needs even sizes: of {rgb.shape[1]} x {rgb.shape[0]} pixels, "
            f"the upper left {width} x {height} are used."
        )
    lens = raster.lens
    return Photo(
        pixels=np.ascontiguousarray(rgb[:height, :width]),
        scale=scale,
        disk=disk,
        whole=(rgb.shape[0], rgb.shape[1]),
        orientation=raster.orientation,
        notes=tuple(notes),
        horizontal_fov=None if lens is None else fov_from_focal(lens.focal * scale, width),
        fov_source="" if lens is None else f"EXIF, {lens.film:.3g} mm",
    )


def _over_white(rgb: Array, raster: Raster, notes: list[str]) -> Array:
    """Composite over white."""
    if raster.alpha is None or not (raster.alpha < raster.top).any():
        return rgb
    notes.append("The photo's transparent parts were filled with white.")
    opaque = (raster.alpha.astype(np.float32) / raster.top).clip(0, 1)[..., None]
    return (rgb * opaque + 255.0 * (1.0 - opaque)).round().astype(np.uint8)


def _too_small(disk: tuple[int, int], height: int, width: int) -> ShotError:
    """The error for a photo that is too small, with a fix that helps."""
    short, long, most = min(disk), max(disk), Limits().max_side
    least = -(-MIN_SIDE * long // short)
    if short < MIN_SIDE:
        fix = "Use a larger photo."
    elif least <= most:
        fix = f"Set the longest side to {least} or more, or cut the photo to another shape."
    else:
        fix = f"Cut it: at most {most // MIN_SIDE} times as long as wide."
    return ShotError(
        "too_small",
        f"The photo has {disk[1]} x {disk[0]} pixels, which leaves {width} x {height} "
        f"to lift; the least is {MIN_SIDE} x {MIN_SIDE}.",
        fix,
    )
