"""Lens and colour space from a photo's EXIF data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

from backend.geometry.camera import fov_from_focal

FILM_LONG_SIDE = 36.0
"""Millimetres of the longer side of a frame of 35 mm film."""
LEAST_FOV, MOST_FOV = 1.0, 175.0
_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Millimetres per unit of resolution: inch, centimetre, millimetre, micrometre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExifLens:
    """A lens by EXIF data.

    Attributes:
        focal: focal length in pixels of the photo on disk, which are square.
        film: the same in millimetres for a 36 mm wide frame.
    """

    focal: float
    film: float


def lens_of(image: Image.Image, size: tuple[int, int] | None = None) -> ExifLens | None:
    """The lens of a photo, if its EXIF data suffice.

    Two ways are known, and the first that gives a number is taken:

    - ``FocalLengthIn35mmFilm`` f, with the *longer* side of the photo standing for the 36 mm of a
      frame of film: ``focal = f * max(width, height) / 36`` pixels. Upright and sideways photos
      thus have the same lens, and a strip cut off along the shorter side (16:9 out of 3:2) changes
      nothing. What was cut off the longer side is not known, and makes the lens seem wider.
    - ``FocalLength`` in millimetres times ``FocalPlaneXResolution`` in pixels a millimetre: safe
      against every crop, since a pixel stays as large on the sensor. Where the file's
      ``PixelXDimension`` is another than its width at the same aspect, it was scaled, and so is
      the focal length.

    Turning the photo upright changes neither: a pixel is as wide as it is tall.

    Args:
        image: as it is on disk, opened.
        size: (width, height) of the photo, where ``image`` only carries its data.
    """
    exif = image.getexif()
    about = exif.get_ifd(ExifTags.IFD.Exif)
    width, height = size or image.size
    long_side = max(width, height)
    film = _positive(about.get(ExifTags.Base.FocalLengthIn35mmFilm))
    if film is None:
        millimetres = _positive(about.get(ExifTags.Base.FocalLength))
        resolution = _positive(about.get(ExifTags.Base.FocalPlaneXResolution))
        unit = _MILLIMETRES.get(about.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))
        if millimetres is None or resolution is None or unit is None:
            return None
        focal = millimetres * resolution / unit * _scaled(about, width, height)
        film = focal * FILM_LONG_SIDE / long_side
    else:
        focal = film * long_side / FILM_LONG_SIDE
    # Beyond this the file is wrong, or its lens is none that a pinhole describes
    if not LEAST_FOV <= fov_from_focal(focal, long_side) <= MOST_FOV:
        return None
    return ExifLens(focal=focal, film=film)


def colour_space_of(image: Image.Image) -> str:
    """The colour space by EXIF data, for a photo without a profile.

    Cameras set to Adobe RGB write ``ColorSpace`` 65535, "uncalibrated", and the interoperability
    index R03 (DCF 2.0); some write ``ColorSpace`` 2.

    Returns:
        "sRGB", "Adobe RGB", "unknown" where it is said to be none that EXIF has a number for, or
        nothing.
    """
    data = image.getexif()
    space = data.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
    index = data.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")
    if isinstance(index, bytes):
        index = index.decode("ascii", "replace")
    if str(index).startswith("R03") or space == 2:
        return "Adobe RGB"
    return "sRGB" if space == 1 else "unknown" if space == 0xFFFF else ""


def _scaled(about: Any, width: int, height: int) -> float:
    """Ratio of the photo's width to that in its EXIF data."""
    before = _positive(about.get(ExifTags.Base.ExifImageWidth))
    tall = _positive(about.get(ExifTags.Base.ExifImageHeight))
    if before is None or tall is None or abs(before / tall * height - width) > 0.01 * width:
        return 1.0
    return width / before


def _positive(value: Any) -> float | None:
    """A number above 0; cameras write 0, or divide by 0, for unknown values."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
