"""Reads TIFF files and raw photos based on TIFF: selects an image and decodes its pixels.

Pillow reads the first image only, reduces 16-bit colour to 8 bits and misplaces compressed planes;
so tifffile decodes, and Pillow is used for what tifffile cannot decode.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.images.image_file import check_size, wrap_codec_errors
from backend.resources import is_out_of_memory
from protocol.errors import ShotError

log = logging.getLogger(__name__)
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # errors are raised, not logged

Array = npt.NDArray[Any]

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_IMAGES = 64
MAX_BYTES = 2 << 30
ORIENTATION, PROFILE, INTERLEAVED = 274, 34675, 1
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, INKS, YCBCR, CIELAB, ICCLAB = *range(7), 8, 9
CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, YCBCR: 3} | {
    CIELAB: 3,
    ICCLAB: 3,
}
"""Supported photometric interpretations and their number of channels. Raw sensor data (32803,
34892) are not images before they are developed."""
JPEGS = frozenset({6, 7})
ASSOCIATED, UNASSOCIATED = 1, 2
MAX_TILE_PIXELS = 1 << 28
"""Pixels; larger tiles are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffImage:
    """The selected image of a file.

    Attributes:
        fields: of a ``raster.Raster``; None if Pillow has to decode it.
        index: in the main chain of directories; None for a sub-image.
        size: (height, width).
        profile: its ICC profile, or the first image's.
        notes: sentences on what was not used.
    """

    fields: dict[str, Any] | None
    index: int | None
    size: tuple[int, int]
    profile: bytes | None
    notes: tuple[str, ...]


def read(data: bytes, what: str, max_pixels: int) -> TiffImage:
    """The largest decodable image of a file; the first of equal ones.

    Args:
        data: the file.
        what: names it in errors.
        max_pixels: limit.

    Raises:
        ShotError: it is broken, too large, or holds none.
    """
    import tifffile

    with wrap_codec_errors(what), tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = list(_pages(file))
        shown = [one for one in pages if _is_image(one[1])]
        if not shown:
            raise ShotError(
                "raw",
                f"The {what} holds what a camera's sensor measured and no picture of it.",
                "Develop it in a raw converter and save it as 16-bit TIFF or JPEG.",
            )
        index, page = max(shown, key=lambda one: _area(one[1]))  # the first of equals
        size = page.imagelength, page.imagewidth
        check_size(what, *size, max_pixels)
        return TiffImage(
            fields=_decoded(page, index, what),
            index=index,
            size=size,
            profile=_profile(page) or _profile(pages[0][1]),
            notes=_unused_notes(page, [one for _, one in pages], len(shown)),
        )


def _unused_notes(page: Any, pages: list[Any], shown: int) -> tuple[str, ...]:
    """Notes on the images of a file that were not used."""
    largest, mine = max(pages, key=_area), f"{page.imagewidth} x {page.imagelength}"
    if _area(largest) > _area(page):
        return (
            f"The file is a raw photo of {largest.imagewidth} x {largest.imagelength} pixels, "
            f"which is not developed here; its preview of {mine} was used. Develop it in a raw "
            "converter and save it as 16-bit TIFF for all of it.",
        )
    if shown == 1:
        return ()
    which = "first" if all(_area(one) == _area(page) for one in pages) else "largest"
    return (f"The file holds {shown} pictures; the {which}, of {mine}, was used.",)


def _decoded(page: Any, index: int | None, what: str) -> dict[str, Any] | None:
    """Fields of a ``Raster``; None if Pillow has to decode it."""
    kind = page.photometric
    if kind == PALETTE or (kind == YCBCR and page.compression not in JPEGS):
        return None
    try:
        _check_layout(page, what)
        return _fields(page, _channels_last(page, what))
    except ShotError:
        raise
    except Exception as error:  # any exception of a codec
        # Pillow misplaces 16-bit planes
        if (
            is_out_of_memory(error)
            or index is None
            or (page.planarconfig != INTERLEAVED and page.bitspersample > 8)
        ):
            raise
        log.debug("tifffile cannot decode it; Pillow may", exc_info=True)
        return None


def _pages(file: Any) -> Iterator[tuple[int | None, Any]]:
    """(index in the main chain or None for sub-images, page); stops at a loop of directories."""
    seen: set[int] = set()
    for index in range(MAX_IMAGES):
        try:
            page = file.pages[index]
        except IndexError:
            return
        if page.offset in seen:
            return
        seen.add(page.offset)
        yield index, page
        for below in (page.pages or ())[:MAX_IMAGES] if page.subifds else ():
            if below.offset not in seen:
                seen.add(below.offset)
                yield None, below


def _is_image(page: Any) -> bool:
    return page.photometric in CHANNELS and page.samplesperpixel >= CHANNELS[page.photometric]


def _area(page: Any) -> int:
    return page.imagewidth * page.imagelength


def _profile(page: Any) -> bytes | None:
    tag = page.tags.get(PROFILE)
    return bytes(tag.value) if tag is not None and isinstance(tag.value, bytes) else None


def _check_layout(page: Any, what: str) -> None:
    """Refuse a layout that takes too much memory."""
    wanted = math.prod(page.shape) * page.bitspersample // 8
    tile = page.tilewidth * page.tilelength if page.is_tiled else 0
    if wanted > MAX_BYTES or tile > MAX_TILE_PIXELS:
        raise ShotError(
            "too_large",
            f"The {what} takes {wanted / 1e9:.1f} GB in memory; "
            f"the limit is {MAX_BYTES / 1e9:.1f}.",
            "Save it with 8 or 16 bits a channel and without extra channels.",
        )


def _channels_last(page: Any, what: str) -> Array:
    """(H, W, C)."""
    values = np.asarray(page.asarray())
    axes = page.axes
    if values.dtype.kind not in "biuf" or sorted(axes) not in (["X", "Y"], ["S", "X", "Y"]):
        raise ShotError(
            "broken_file",
            f"The {what} holds {values.dtype} of shape {values.shape}, which is no picture.",
            "Save it as one picture of whole numbers or floating point.",
        )
    if "S" not in axes:
        return values[..., None]
    return np.ascontiguousarray(np.moveaxis(values, axes.index("S"), -1))


def _fields(page: Any, values: Array) -> dict[str, Any]:
    """The values, what they are, and the alpha."""
    kind, bits = int(page.photometric), int(page.bitspersample)
    top = 1.0 if values.dtype.kind in "fb" else 2.0**bits - 1
    if values.dtype.kind == "i":
        top = 2.0 ** (bits - 1) - 1
    if values.dtype.kind == "b":
        values, top = values.astype(np.uint8) * np.uint8(255), 255.0
    count = 1 if kind in (WHITE_IS_ZERO, BLACK_IS_ZERO) else CHANNELS[kind]
    colour, rest = values[..., :count], values[..., count:]
    if kind == WHITE_IS_ZERO:
        colour = (top - colour).astype(colour.dtype)
    if kind in (CIELAB, ICCLAB):
        colour, top = _lab(colour, kind, top), 65535.0
    extra = tuple(int(one) for one in page.extrasamples)
    fields: dict[str, Any] = {
        "values": colour[..., 0] if count == 1 else colour,
        "space": {1: "grey", 4: "cmyk"}.get(count, "lab" if kind in (CIELAB, ICCLAB) else "rgb"),
        "top": top,
        "bits": 32 if values.dtype.kind == "f" else bits,
        "inverted": kind == WHITE_IS_ZERO,
    }
    if extra and rest.shape[-1] and extra[0] in (ASSOCIATED, UNASSOCIATED) and kind != INKS:
        alpha = rest[..., 0]
        fields["alpha"] = alpha
        if extra[0] == ASSOCIATED:  # premultiplied: undo that
            with np.errstate(divide="ignore", invalid="ignore"):
                whole = fields["values"] * (top / (alpha if count == 1 else alpha[..., None]))
            whole = np.nan_to_num(whole, nan=0.0, posinf=top).clip(0, top)
            fields["values"] = (whole if values.dtype.kind == "f" else whole.round()).astype(
                values.dtype
            )
    if (tag := page.tags.get(ORIENTATION)) is not None:
        fields["orientation"] = int(tag.value)
    return fields


def _lab(values: Array, kind: int, top: float) -> Array:
    """uint16 L over 0..65535, a and b as (a + 128) * 257, from either Lab encoding of TIFF."""
    light = values[..., 0] / top * 65535.0
    if kind == CIELAB:  # signed
        signed = values[..., 1:].astype(np.int8 if top == 255 else np.int16).astype(np.float64)
        ab = signed if top == 255 else signed / 256.0
    else:  # an offset; ICC's 16 bits end at 0xFF00
        ab = values[..., 1:].astype(np.float64) / (1.0 if top == 255 else 256.0) - 128.0
        light = light if top == 255 else light * (65535.0 / 65280.0)
    whole = np.concatenate([light[..., None], (ab + 128.0) * 257.0], -1)
    return whole.round().clip(0, 65535).astype(np.uint16)
