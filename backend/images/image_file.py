"""Opens image files: format detection, size limits, and errors as one sentence.

Files are not trusted: sizes are checked before pixels are decoded, and every error of a codec
becomes a :class:`ShotError`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

from backend.resources import is_out_of_memory
from protocol.errors import ShotError
from protocol.photo_formats import PHOTO

# Every size is checked here before a pixel is decoded. Pillow's own limit, 179 million pixels,
# would refuse photos of 200 megapixels, which are scaled while they are decoded.
Image.MAX_IMAGE_PIXELS = None

FORMATS = tuple(name.upper() for name in PHOTO)  # as Pillow calls them
HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx mif1 msf1 miaf".split())
AVIF_BRANDS = frozenset((b"avif", b"avis"))

_RAW = ("a raw photo", "Develop it in a raw converter and save it as 16-bit TIFF or JPEG.")
_OTHER = "Open it in an image editor and save it as PNG or JPEG."
_KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"FUJIFILMCCD-RAW", *_RAW),
    (b"IIU\0", *_RAW),
    (b"IIRO", *_RAW),
    (b"IIRS", *_RAW),
    (b"\xff\x0a", "a JPEG XL picture", _OTHER),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", _OTHER),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", _OTHER),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _OTHER),
    (b"8BPS", "a Photoshop document", _OTHER),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture", _OTHER),
    (b"#?RADIANCE", "a Radiance HDR picture", _OTHER),
    (b"%PDF", "a PDF document", _OTHER),
    (b"%!PS", "a PostScript document", _OTHER),
    (b"\x1a\x45\xdf\xa3", "a video", "Save the frame you want as PNG or JPEG."),
    (b"\x93NUMPY", "a NumPy array", "It can be a depth map; the photo has to be a picture."),
)
"""First bytes of unsupported formats, their names, and a fix."""


@contextlib.contextmanager
def wrap_codec_errors(what: str) -> Iterator[None]:
    """Turns whatever a codec raises on damaged bytes into a :class:`ShotError`.

    That can be anything (struct.error, TypeError, tokenize.TokenError ...). A ShotError and out of
    memory pass unchanged. A codec's warnings, which repeat the error, are suppressed.
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
        raise ShotError(
            "broken_file",
            f"The {what} cannot be read: {str(error).rstrip('.') or type(error).__name__}.",
            "Open and save it again in an image editor.",
        ) from error


def open_image(data: bytes, what: str) -> Image.Image:
    """Open an image without decoding its pixels or checking its size.

    Raises:
        ShotError: it is not a readable image; names its format if that is known.
    """
    try:
        with wrap_codec_errors(what):
            # Raster formats only: Pillow would run PostScript through Ghostscript
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except ShotError as error:
        if not isinstance(error.__cause__, UnidentifiedImageError):
            raise
        kind, fix = kind_of(data)
        raise ShotError(
            "not_an_image",
            f"The file of the {what} is {kind}, whatever its name ends in, and cannot be read."
            if kind
            else f"The {what} ({len(data)} bytes) is not an image that can be read.",
            fix or f"Use one of {', '.join(PHOTO)}.",
        ) from error


def kind_of(data: bytes) -> tuple[str, str]:
    """The format of an unreadable file, by its content, and a fix; empty if unknown."""
    if is_heif(data):
        return (
            "a HEIC photo",
            "Save it as JPEG, or add HEIC to the backend: pip install 'levitor[heif]'. "
            "An iPhone takes JPEG with Settings > Camera > Formats > Most Compatible.",
        )
    brand = _brands(data)[:1]
    if brand == [b"crx "]:
        return _RAW
    if brand:
        return "a video", "Save the frame you want as PNG or JPEG."
    for start, kind, fix in _KNOWN:
        if data.startswith(start):
            return kind, fix
    return "", ""


def is_heif(data: bytes) -> bool:
    """Whether a file is HEIC or HEIF by its content; AVIF is not."""
    brands = _brands(data)
    return bool(brands) and brands[0] in HEIF_BRANDS and not AVIF_BRANDS & set(brands)


def _brands(data: bytes) -> list[bytes]:
    """The brands in the first box of an ISO media file, the major one first."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4], "big"), 256)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]


def check_size(what: str, height: int, width: int, limit: int) -> None:
    """Refuse an image of more than ``limit`` pixels.

    Raises:
        ShotError: it has more.
    """
    if width * height > limit:
        raise ShotError(
            "too_large",
            f"The {what} has {width} x {height} = {width * height / 1e6:.0f} million pixels; "
            f"the limit is {limit / 1e6:.0f} million.",
            "Scale it down first.",
        )
