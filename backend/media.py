"""Files <-> arrays: photos, depth maps, masks, videos. The only codec code.

Bytes come from strangers: sizes are checked before pixels are decoded, and whatever a codec says of
a bad file becomes one sentence.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import OpenEXR
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from backend import exif
from backend.contracts import Frames, OnStep
from backend.geometry.camera import fov_from_focal
from backend.resources import is_out_of_memory
from protocol.errors import ShotError
from protocol.messages import Limits
from protocol.rates import frame_rate

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]

MIN_SIDE = 16
VIDEO_CRF = "15"
DEEP, LENS = "16 bits a channel", "lens"
"""What is noted of an image before its pixels are decoded, when it is not known any more."""
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A decoded photo at its working size.

    Attributes:
        pixels: uint8 (H, W, 3) sRGB; H and W are even, as video needs.
        scale: working pixels per pixel on disk.
        notes: what was done to it, a sentence each.
        horizontal_fov: of ``pixels``, in degrees, where the file tells; see ``exif.lens_of``.
        fov_source: how it is known, for the artist.
    """

    pixels: Array
    scale: float
    notes: tuple[str, ...]
    horizontal_fov: float | None = None
    fov_source: str = ""


def decode_photo(data: bytes, max_side: int, max_pixels: int = Limits().pixels) -> Photo:
    """A photo from the bytes of an image file.

    Raises:
        ShotError: it is no image, broken, an animation, or too small or large.
    """
    image = _open(data, "photo", max_pixels)
    if image.format in ANIMATED and (frames := getattr(image, "n_frames", 1)) > 1:
        raise ShotError(
            "animation",
            f"The file is an animation of {frames} frames, not a photo.",
            "Save the frame you want as PNG or JPEG and lift that.",
        )
    notes: list[str] = []
    lens: exif.Lens | None = image.info[LENS]
    rgb = _to_rgb(image, notes)
    original = rgb.height, rgb.width
    scale = min(1.0, max_side / max(original))
    if scale < 1.0:
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        rgb = rgb.resize(size, Image.Resampling.LANCZOS)
        notes.append(
            f"The photo of {original[1]} x {original[0]} pixels was scaled "
            f"to {size[0]} x {size[1]}."
        )
    pixels = np.asarray(rgb)
    height, width = pixels.shape[0] & ~1, pixels.shape[1] & ~1
    if min(height, width) < MIN_SIDE:
        raise ShotError(
            "too_small",
            f"The photo has {original[1]} x {original[0]} pixels, which leaves {width} x {height} "
            f"to lift; the least is {MIN_SIDE} x {MIN_SIDE}.",
            "Use a larger photo.",
        )
    if (height, width) != pixels.shape[:2]:
        notes.append(
            f"Video needs even sizes: of {pixels.shape[1]} x {pixels.shape[0]} pixels, "
            f"the upper left {width} x {height} are used."
        )
    return Photo(
        pixels=np.ascontiguousarray(pixels[:height, :width]),
        scale=scale,
        notes=tuple(notes),
        horizontal_fov=None if lens is None else fov_from_focal(lens.focal * scale, width),
        fov_source="" if lens is None else f"EXIF, {lens.film:.3g} mm",
    )


def decode_depth_map(data: bytes, max_pixels: int = Limits().pixels) -> Array:
    """float32 (H, W) from an 8/16-bit PNG (or TIFF), a 32-bit EXR or a .npy file.

    Raises:
        ShotError: it is none of these, broken or too large.
    """
    with _as_sentence("depth map"):
        if data[:6] == b"\x93NUMPY":
            values = np.load(io.BytesIO(data), allow_pickle=False)
        elif data[:4] == b"\x76\x2f\x31\x01":
            values = _read_exr(data, max_pixels)
        else:
            image = _open(data, "depth map", max_pixels)
            values = np.asarray(image if image.mode != "P" else image.convert("L"))
    values = np.asarray(values)
    if values.ndim == 3:
        values = values[..., 0]
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "fiu":
        raise ShotError(
            "depth_map",
            f"The depth map holds {values.dtype} of shape {values.shape}, not one number a pixel.",
            "Use an 8 or 16-bit PNG, a 32-bit EXR or a .npy file of shape (H, W).",
        )
    if values.size > max_pixels:
        raise _too_large("depth map", values.shape[0], values.shape[1], max_pixels)
    return values.astype(np.float32)


def decode_mask(data: bytes, height: int, width: int) -> Array:
    """Bool (H, W) from an image, white on the instance; scaled to the photo where it differs.

    Raises:
        ShotError: it is no image, broken or too large.
    """
    image = _open(data, "mask", Limits().pixels)
    with _as_sentence("mask"):
        alpha = _has_holes(image)
        grey = image.getchannel("A") if alpha else image.convert("L")
        if grey.size != (width, height):
            grey = grey.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127


def encode_video(
    frames: Tensor | Frames,
    fps: float,
    length: int | None = None,
    on_frame: OnStep = lambda done, total: None,
) -> bytes:
    """H.264 in MP4, as Blender's sequencer and every player reads it.

    Args:
        frames: ``(F, 3, H, W)`` float in [0, 1], or what makes one at a time; H and W are even.
        fps: frames per second of the video; see :func:`protocol.rates.frame_rate`.
        length: frames of the video; the given ones are repeated evenly to fill it.
        on_frame: called with (done, total) after each; may raise ``Cancelled``.
    """
    count, _, height, width = frames.shape
    shown = repeated(count, length or count)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frame_rate(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": VIDEO_CRF, "preset": "veryfast"}
        context = stream.codec_context
        context.color_range, context.colorspace = 1, 1  # limited range, BT.709, as tagged below
        context.color_primaries, context.color_trc = 1, 1
        last, pixels = -1, np.empty(0, np.uint8)
        for done, index in enumerate(shown, 1):
            if index != last:
                last, pixels = index, to_uint8(frames[index])
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
            container.mux(stream.encode(picture))
            on_frame(done, len(shown))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def repeated(count: int, length: int) -> list[int]:
    """Which of ``count`` frames each of ``length`` shows; first and last are themselves."""
    if length == 1 or count == 1:
        return [0] * length
    return [round(i * (count - 1) / (length - 1)) for i in range(length)]


def to_uint8(image: Tensor) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3) from ``(3, H, W)`` float in [0, 1]; exact for what came from 8 bits."""
    return (image.clamp(0, 1) * 255).round().byte().movedim(0, -1).contiguous().cpu().numpy()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is never seen half written, not even after the power fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as handle:
        temporary = Path(handle.name)
        try:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    # Closed by now: Windows does not rename an open file
    temporary.chmod(0o644)
    temporary.replace(path)


@contextlib.contextmanager
def _as_sentence(what: str) -> Iterator[None]:
    """Turns whatever a codec raises on damaged bytes into a :class:`ShotError`.

    That can be anything (struct.error, TypeError, tokenize.TokenError ...); our own words and a
    lack of memory pass. A codec's warnings about the same damage would only say it twice.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ShotError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise _unreadable(what, error) from error


def _open(data: bytes, what: str, max_pixels: int) -> Image.Image:
    """An opened image whose size is known to be fine; its pixels are decoded too."""
    try:
        with _as_sentence(what):
            # Only formats that are pixels: Pillow would also run PostScript through Ghostscript
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except ShotError as error:
        match error.__cause__:
            case UnidentifiedImageError():
                raise ShotError(
                    "not_an_image",
                    f"The {what} ({len(data)} bytes) is not an image that can be read.",
                    f"Use one of {', '.join(FORMATS)}.",
                ) from error
            case Image.DecompressionBombError():
                least = 2 * (Image.MAX_IMAGE_PIXELS or 0)
                raise ShotError(
                    "too_large",
                    f"The {what} has more than {least / 1e6:.0f} million pixels; "
                    f"the limit is {max_pixels / 1e6:.0f} million.",
                    "Scale it down first.",
                ) from error
            case _:
                raise
    if image.width * image.height > max_pixels:
        raise _too_large(what, image.height, image.width, max_pixels)
    # Pillow reads 16-bit colour as 8-bit; only the description of the raw data still tells
    image.info[DEEP] = any("16" in str(tile[3]) for tile in image.tile)
    image.info[LENS] = _lens(image)
    with _as_sentence(what):
        image.load()
    return image


def _unreadable(what: str, error: Exception) -> ShotError:
    return ShotError(
        "broken_file",
        f"The {what} cannot be read: {str(error).rstrip('.') or type(error).__name__}.",
        "Open and save it again in an image editor.",
    )


def _too_large(what: str, height: int, width: int, limit: int) -> ShotError:
    return ShotError(
        "too_large",
        f"The {what} has {width} x {height} = {width * height / 1e6:.0f} million pixels; "
        f"the limit is {limit / 1e6:.0f} million.",
        "Scale it down first.",
    )


def _to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Upright 8-bit RGB; 16-bit values are scaled, transparency shows white behind it."""
    with _as_sentence("photo"):
        deep = bool(image.info.get(DEEP))
        image = _upright(image)
        if image.mode.startswith("I") or image.mode == "F":
            values = np.asarray(image).astype(np.float64)
            top = 65535.0 if image.mode.startswith("I") else 1.0
            grey = np.clip(values / top * 255.0, 0, 255).round().astype(np.uint8)
            notes.append("The photo's 16-bit values were reduced to 8 bits.")
            return Image.fromarray(grey).convert("RGB")
        if deep:
            notes.append("The photo's 16-bit values were reduced to 8 bits.")
        if "A" in image.getbands() or "transparency" in image.info:
            rgba = image.convert("RGBA")
            if _has_holes(rgba):
                notes.append("The photo's transparent parts were filled with white.")
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, rgba).convert("RGB")
        return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data says; as it is where these are damaged."""
    try:
        with _as_sentence("EXIF data"):
            return ImageOps.exif_transpose(image)
    except ShotError:  # the pixels are fine, only the note about them is not
        log.debug("the photo's EXIF data are damaged", exc_info=True)
        return image


def _lens(image: Image.Image) -> exif.Lens | None:
    """What the photo's EXIF data say of its lens; nothing where these are damaged."""
    try:
        with _as_sentence("EXIF data"):
            return exif.lens_of(image)
    except ShotError:
        log.debug("the photo's EXIF data are damaged", exc_info=True)
        return None


def _has_holes(image: Image.Image) -> bool:
    """Whether some pixel is not fully opaque."""
    return "A" in image.getbands() and bool((np.asarray(image.getchannel("A")) < 255).any())


def _read_exr(data: bytes, max_pixels: int) -> Array:
    """The depth channel of an EXR file: Z, else a grey or colour channel, alpha last of all."""
    with tempfile.TemporaryDirectory() as folder:  # the library reads paths only
        path = str(Path(folder) / "depth.exr")
        Path(path).write_bytes(data)
        with OpenEXR.File(path, header_only=True) as file:
            low, high = file.header()["dataWindow"]
            width, height = (int(b) - int(a) + 1 for a, b in zip(low, high, strict=True))
        if width * height > max_pixels:
            raise _too_large("depth map", height, width, max_pixels)
        with OpenEXR.File(path, separate_channels=True) as file:
            channels = file.channels()
            names = sorted(channels, key=_exr_rank)
            return np.array(channels[names[0]].pixels)


def _exr_rank(name: str) -> tuple[int, str]:
    order = ("Z", "Y", "V", "R")
    last = name.split(".")[-1]
    return (order.index(last) if last in order else 9 if last == "A" else 5, name)
