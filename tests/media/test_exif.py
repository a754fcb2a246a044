"""Fields of view from what cameras write into their files, with numbers to check by hand."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from backend.images.photo import decode_photo

ACROSS = 2 * math.degrees(math.atan(18 / 35))
"""35 mm film: 36 mm across at 35 mm."""
UP = 2 * math.degrees(math.atan(12 / 35))


def photo(width=360, height=240, orientation=1, kind="JPEG", **tags):
    """The bytes of a photo whose file says ``tags``, named as EXIF does."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    about = exif.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        about[getattr(ExifTags.Base, name)] = value
    exif[ExifTags.IFD.Exif] = 0  # TIFF only writes what is named here
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def decoded(max_side=1280, **given):
    return decode_photo(photo(**given), max_side)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_35_mm_lens_sees_54_degrees_across_a_landscape(kind):
    found = decoded(kind=kind, FocalLengthIn35mmFilm=35)
    assert found.horizontal_fov == pytest.approx(ACROSS)
    assert found.fov_source == "EXIF, 35 mm"


@pytest.mark.parametrize(
    "size",
    [
        {"width": 240, "height": 360},
        {"orientation": 6},
        {"orientation": 5},
        {"orientation": 8},
    ],
    ids=["stored upright", "turned right", "turned and mirrored", "turned left"],
)
def test_the_same_lens_sees_38_degrees_across_a_portrait(size):
    found = decoded(FocalLengthIn35mmFilm=35, **size)
    assert found.pixels.shape == (360, 240, 3)
    assert found.horizontal_fov == pytest.approx(UP)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_upside_down_or_mirrored_is_as_wide(orientation):
    found = decoded(FocalLengthIn35mmFilm=35, orientation=orientation)
    assert found.horizontal_fov == pytest.approx(ACROSS)


def test_a_strip_cut_off_the_shorter_side_changes_nothing():
    assert decoded(height=202, FocalLengthIn35mmFilm=35).horizontal_fov == pytest.approx(ACROSS)


def test_scaling_changes_nothing():
    assert decoded(180, FocalLengthIn35mmFilm=35).horizontal_fov == pytest.approx(ACROSS)


def test_the_column_that_an_odd_width_loses_is_not_seen():
    found = decoded(width=361, FocalLengthIn35mmFilm=36)
    # 36 mm of 36 for 361 pixels: the focal length is 361 pixels, 360 are seen
    assert found.horizontal_fov == pytest.approx(2 * math.degrees(math.atan(180 / 361)))


@pytest.mark.parametrize(
    ("unit", "resolution"),
    [(2, 254.0), (3, 100.0), (4, 10.0), (5, 0.01), (None, 254.0)],
    ids=["inch", "centimetre", "millimetre", "micrometre", "none, which is inch"],
)
def test_millimetres_times_pixels_a_millimetre_are_pixels(unit, resolution):
    tags = {"FocalLength": IFDRational(50), "FocalPlaneXResolution": resolution}
    if unit is not None:
        tags["FocalPlaneResolutionUnit"] = unit
    found = decoded(**tags)
    # 50 mm at 10 pixels a millimetre: 500 pixels, of which 360 are seen
    assert found.horizontal_fov == pytest.approx(2 * math.degrees(math.atan(180 / 500)))
    assert found.fov_source == "EXIF, 50 mm"


@pytest.mark.parametrize("width", [360, 180])
def test_a_file_that_was_scaled_after_it_was_written_has_a_scaled_focal_length(width):
    found = decoded(
        width=width,
        height=width * 2 // 3,
        FocalLength=IFDRational(50),
        FocalPlaneXResolution=254.0,
        ExifImageWidth=360,
        ExifImageHeight=240,
    )
    assert found.horizontal_fov == pytest.approx(2 * math.degrees(math.atan(180 / 500)))


def test_a_crop_sees_as_much_less_as_it_has_fewer_pixels():
    found = decoded(
        width=100,
        FocalLength=IFDRational(50),
        FocalPlaneXResolution=254.0,
        ExifImageWidth=360,
        ExifImageHeight=240,
    )
    assert found.horizontal_fov == pytest.approx(2 * math.degrees(math.atan(50 / 500)))


def test_the_35_mm_number_wins():
    tags = {"FocalLength": IFDRational(50), "FocalPlaneXResolution": 254.0}
    assert decoded(FocalLengthIn35mmFilm=35, **tags).fov_source == "EXIF, 35 mm"


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"FocalLengthIn35mmFilm": 0},
        {"FocalLength": IFDRational(50)},
        {"FocalLength": IFDRational(50, 0), "FocalPlaneXResolution": 254.0},
        {"FocalLength": IFDRational(0, 7), "FocalPlaneXResolution": 254.0},
        {"FocalLength": IFDRational(50), "FocalPlaneXResolution": IFDRational(1, 0)},
        {
            "FocalLength": IFDRational(50),
            "FocalPlaneXResolution": 254.0,
            "FocalPlaneResolutionUnit": 1,
        },
        {"FocalLengthIn35mmFilm": 65535},
        {"FocalLength": IFDRational(1, 10_000), "FocalPlaneXResolution": 254.0},
    ],
    ids=[
        "nothing",
        "unknown",
        "no resolution",
        "divided by zero",
        "zero",
        "endless resolution",
        "no unit",
        "a telescope",
        "a pinprick",
    ],
)
def test_what_says_too_little_or_nonsense_says_nothing(tags):
    found = decoded(**tags)
    assert (found.horizontal_fov, found.fov_source) == (None, "")


def test_damaged_exif_data_say_nothing_and_the_photo_is_fine():
    data = photo(FocalLengthIn35mmFilm=35)
    at = data.index(b"Exif\0\0") + 6
    found = decode_photo(data[:at] + b"II*\0\xff\xff\xff\x7f" + data[at + 8 :], 1280)
    assert found.pixels.shape == (240, 360, 3)
    assert found.horizontal_fov is None
