"""Reads an image file's pixels at full bit depth, without colour conversion."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from backend.files import exif
from backend.images import tiff
from backend.images.image_file import check_size, is_heif, open_image, wrap_codec_errors
from protocol.errors import ShotError

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Space = Literal["grey", "rgb", "cmyk", "lab"]

MAX_REDUCTION = 4
"""A JPEG may have this many times the allowed pixels, since it is scaled while it is decoded. A
progressive one takes up to 6 bytes per pixel for that, at any scale."""
ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True)}
_TURNS[8] = 1, False
"""By EXIF orientation: quarter turns counter-clockwise, then whether to mirror horizontally."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """The pixels of an image as they are in its file.

    Attributes:
        values: (H, W) if ``space`` is grey, else (H, W, 3 or 4); at the file's bit depth.
            Lab has L over 0..``top`` and a and b with 128 of 255 as their zero.
        space: colour space of the channels.
        top: the value of white, or of full ink.
        bits: per channel in the file; 32 for floating point.
        alpha: (H, W) of the same kind, 0 transparent and ``top`` opaque.
        orientation: EXIF's, 1 to 8, not applied.
        disk: (height, width) in the file; ``values`` have fewer pixels if a JPEG was reduced.
        profile: its ICC profile.
        info: other colour metadata of the container; see ``colour.profile_of``.
        lens: EXIF data of the lens.
        coloured_by_palette: whether the file holds palette indices.
        inverted: whether the file's 0 is white, so that its values were inverted.
        notes: sentences for the artist on how it was read.
    """

    values: Array
    space: Space
    top: float
    bits: int
    disk: tuple[int, int]
    alpha: Array | None = None
    orientation: int = 1
    profile: bytes | None = None
    info: dict[str, Any]
    lens: exif.ExifLens | None = None
    coloured_by_palette: bool = False
    inverted: bool = False
    notes: tuple[str, ...] = ()


def read_raster(data: bytes, what: str, max_pixels: int, *, reduce: bool = False) -> Raster:
    """Read an image file.

    Args:
        data: the file.
        what: names it in errors.
        max_pixels: limit.
        reduce: whether a JPEG with more may be scaled down while it is decoded.

    Raises:
        ShotError: it is no image, broken, an animation, or too large.
    """
    if is_heif(data) and (heif := _heif_decoder()) is not None:
        return _from_heif(heif, data, what, max_pixels)
    if data[:4] in tiff.MAGIC:
        return _from_tiff(data, what, max_pixels)
    image = open_image(data, what)
    if image.format in ANIMATED and (frames := getattr(image, "n_frames", 1)) > 1:
        raise ShotError(
            "animation",
            f"The file is an animation of {frames} frames, not a {what}.",
            f"Save the frame you want as PNG or JPEG and use that as the {what}.",
        )
    disk = image.height, image.width
    if reduce and image.format in ("JPEG", "MPO"):
        _reduce(image, max_pixels)
    check_size(what, image.height, image.width, max_pixels)
    bits = _bits(image, data)
    about = _metadata(image, data, disk)  # decodes a PNG, whose EXIF data may come after its pixels
    with wrap_codec_errors(what):
        fields = _from_pillow(image) if bits == 8 else _high_bit_depth_pixels(image, data, bits)
    notes: tuple[str, ...] = ()
    if image.format == "MPO" and (count := getattr(image, "n_frames", 1)) > 1:
        notes = (
            f"The file holds {count} pictures, as stereo and HDR cameras write them; "
            "the first one was used.",
        )
    return Raster(**{**about, **fields}, notes=notes)


def upright(array: Array, orientation: int) -> Array:
    """Apply the EXIF orientation to (H, W, ...)."""
    turns, mirrored = _TURNS.get(orientation, (0, False))
    turned = np.rot90(array, turns)
    return turned[:, ::-1] if mirrored else turned


def _reduce(image: Image.Image, max_pixels: int) -> None:
    """Let the JPEG decoder scale a photo beyond the limit to a half, quarter or eighth."""
    width, height = image.size
    if not max_pixels < width * height <= MAX_REDUCTION * max_pixels:
        return
    for part in (2, 4, 8):
        if (width // part + 1) * (height // part + 1) <= max_pixels:
            image.draft(None, (width // part, height // part))
            return


def _from_pillow(image: Image.Image) -> dict[str, Any]:
    """Fields of a raster with at most 8 bits per channel, or grey of any depth."""
    image.load()
    mode, palette = image.mode, image.mode in ("P", "PA")
    if mode in ("1", "L"):
        kept = image.convert("RGBA" if "transparency" in image.info else "L")
    elif mode.startswith("I") or mode == "F":
        values = np.asarray(image)
        floating = values.dtype.kind == "f"
        return {
            "values": values,
            "space": "grey",
            "top": 1.0 if floating else 65535.0,
            "bits": 32 if floating else 16,
        }
    elif mode in ("CMYK", "LAB", "LA"):
        kept = image
    elif "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        kept = image.convert("RGBA")
    else:
        kept = image.convert("RGB")
    bands, values = kept.getbands(), np.asarray(kept)
    fields: dict[str, Any] = {
        "values": values,
        "space": {"L": "grey", "R": "rgb", "C": "cmyk"}.get(bands[0], "rgb"),
        "top": 255.0,
        "bits": 1 if mode == "1" else 8,
        "coloured_by_palette": palette,
    }
    if mode == "LAB":
        fields["space"] = "lab"
    if bands[-1] == "A":
        fields["alpha"] = values[..., -1]
        fields["values"] = values[..., 0] if len(bands) == 2 else values[..., :-1]
    return fields


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel of a PNG or AVIF, which Pillow reduces to 8; 8 for all others."""
    if image.format == "PNG" and any("16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        return 16  # known from the raw mode only; Pillow's mode is that of 8 bits
    if image.format == "AVIF":
        # av1C: high_bitdepth and twelve_bit in its third byte
        at = data.find(b"av1C")
        flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
        if flags & 0x40:
            return 12 if flags & 0x20 else 10
    return 8


def _high_bit_depth_pixels(image: Image.Image, data: bytes, bits: int) -> dict[str, Any]:
    """Fields of a PNG or AVIF with more than 8 bits per channel."""
    import imagecodecs

    decode = imagecodecs.png_decode if image.format == "PNG" else imagecodecs.avif_decode
    return {**split_alpha(np.asarray(decode(data))), "top": 2.0**bits - 1, "bits": bits}


def split_alpha(values: Array) -> dict[str, Any]:
    """Fields of a raster from (H, W) or (H, W, 1 to 4) of grey or RGB, alpha last."""
    count = values.shape[2] if values.ndim == 3 else 1
    fields: dict[str, Any] = {"space": "rgb" if count > 2 else "grey"}
    if count in (2, 4):
        fields["alpha"] = values[..., -1]
        values = values[..., :-1]
    fields["values"] = values[..., 0] if values.ndim == 3 and count < 3 else values
    return fields


def _from_tiff(data: bytes, what: str, max_pixels: int) -> Raster:
    """The largest image of a TIFF file, by tifffile; by Pillow if that fails."""
    found = tiff.read(data, what, max_pixels)
    try:
        image = open_image(data, what)
    except ShotError:  # not supported by Pillow: 32-bit colour, 16-bit Lab
        if found.fields is None:
            raise
        image = Image.new("L", (1, 1))
    first = image.height, image.width
    about = _metadata(image, data, first)
    if (lens := about["lens"]) is not None:  # EXIF data are for the first image's pixels
        about["lens"] = replace(lens, focal=lens.focal * max(found.size) / max(first))
    about |= {
        "disk": found.size,
        "profile": found.profile or about["profile"],
        "notes": found.notes,
    }
    if found.fields is not None:
        return Raster(**{**about, **found.fields})
    with wrap_codec_errors(what):
        image.seek(found.index or 0)
        return Raster(**{**about, **_from_pillow(image)})


def _from_heif(heif: Any, data: bytes, what: str, max_pixels: int) -> Raster:
    """A HEIC photo, its rotation applied; the decoder is an optional extra."""
    with wrap_codec_errors(what):
        file = heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        picture = file[file.primary_index]
        width, height = picture.size
    check_size(what, height, width, max_pixels)
    with wrap_codec_errors(what):
        values = np.asarray(picture)
        bits = int(picture.info.get("bit_depth") or 8)
        shell = Image.new("L", (1, 1))
        exif_data = picture.info.get("exif")
        shell.info["exif"] = exif_data or b""
        nclx = picture.info.get("nclx_profile") or {}
        return Raster(
            **split_alpha(values),
            # 10 and 12 bits are left-aligned in 16
            top=(2.0**bits - 1) * (2.0 ** (16 - bits) if values.dtype.itemsize > 1 else 1.0),
            bits=bits,
            disk=(height, width),
            profile=picture.info.get("icc_profile") or None,
            info={
                **_exif_colour(shell),
                "cicp": (nclx["color_primaries"], nclx["transfer_characteristics"])
                if nclx and not picture.info.get("icc_profile")
                else None,
            },
            lens=_lens(shell, (width, height)),
        )


def _heif_decoder() -> Any:
    """The HEIC decoder, if it is installed."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return pillow_heif


def _metadata(image: Image.Image, data: bytes, disk: tuple[int, int]) -> dict[str, Any]:
    """Fields of a raster other than its pixels."""
    return {
        "disk": disk,
        "orientation": _orientation(image),
        "profile": image.info.get("icc_profile") or None,
        "info": _colour_info(image, data),
        "lens": _lens(image, (disk[1], disk[0])),
    }


def _colour_info(image: Image.Image, data: bytes) -> dict[str, Any]:
    """Colour metadata other than an ICC profile."""
    info = _exif_colour(image)
    if image.format == "PNG":
        info["cicp"] = _png_cicp(data)
        if "srgb" not in image.info:
            info["gamma"] = image.info.get("gamma")
            info["chromaticity"] = image.info.get("chromaticity")
    elif (
        image.format == "AVIF"
        and not image.info.get("icc_profile")
        and (at := data.find(b"colrnclx")) >= 0
    ):
        numbers = data[at + 8 : at + 12]
        info["cicp"] = int.from_bytes(numbers[:2], "big"), int.from_bytes(numbers[2:], "big")
    return info


def _png_cicp(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer function of a PNG's cICP chunk, which overrides its profile."""
    at = 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IDAT":
            return None
        if kind == b"cICP" and length == 4:
            return data[at + 8], data[at + 9]
        at += 12 + length
    return None


def _exif_colour(image: Image.Image) -> dict[str, Any]:
    try:
        with wrap_codec_errors("EXIF data"):
            return {"exif": exif.colour_space_of(image)}
    except ShotError:
        log.debug("the EXIF data are damaged", exc_info=True)
        return {"exif": ""}


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation; 1 (upright) if the data are damaged."""
    try:
        with wrap_codec_errors("EXIF data"):
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except ShotError:  # only the metadata are damaged
        log.debug("the EXIF data are damaged", exc_info=True)
        return 1


def _lens(image: Image.Image, size: tuple[int, int]) -> exif.ExifLens | None:
    """The lens in the photo's EXIF data; None if these are damaged."""
    try:
        with wrap_codec_errors("EXIF data"):
            return exif.lens_of(image, size)
    except ShotError:
        log.debug("the EXIF data are damaged", exc_info=True)
        return None
