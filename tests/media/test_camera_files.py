"""Photos as cameras, phones, scanners and raw converters write them."""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from backend.images.photo import decode_photo
from protocol.errors import ShotError

PIXELS = np.asarray(
    Image.fromarray(np.random.default_rng(3).integers(30, 226, (8, 12, 3), np.uint8)).resize(
        (240, 160), Image.Resampling.BICUBIC
    )
)
MANY = "The file holds 2 pictures; the {}, of 240 x 160, was used."


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(*pages):
    """A TIFF file of (array, options) each."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for array, options in pages:
            writer.write(array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("packing", [None, "lzw", "zlib", "packbits", "zstd"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_layout_of_a_tiff_gives_the_picture(planar, bits, packing):
    array = PIXELS if bits == 8 else PIXELS.astype(np.uint16) * 257
    array = array if planar == "contig" else np.moveaxis(array, -1, 0)
    options = {"photometric": "rgb", "planarconfig": planar, "compression": packing}
    found = decode_photo(tiff((array, options)), 1280)
    assert (found.pixels == PIXELS).all()


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (64, 64)},
        {"predictor": True, "compression": "lzw"},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 7},
    ],
    ids=lambda options: next(iter(options)),
)
def test_tiles_predictors_and_byte_orders_are_read(options):
    whole = {name: options.pop(name) for name in ("byteorder", "bigtiff") if name in options}
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **whole) as writer:
        writer.write(PIXELS.astype(np.uint16) * 257, photometric="rgb", **options)
    assert (decode_photo(buffer.getvalue(), 1280).pixels == PIXELS).all()


def test_a_jpeg_in_a_tiff_is_read():
    for data in (
        tiff((PIXELS, {"photometric": "rgb", "compression": "jpeg"})),
        saved(Image.fromarray(PIXELS), "TIFF", compression="jpeg", quality=95),
    ):
        assert np.abs(decode_photo(data, 1280).pixels.astype(int) - PIXELS).mean() < 4


SMALL = PIXELS[::4, ::4]


@pytest.mark.parametrize(
    ("pages", "note"),
    [
        pytest.param(
            [(SMALL, {"photometric": "rgb", "subfiletype": 1}), (PIXELS, {"photometric": "rgb"})],
            MANY.format("largest"),
            id="a preview first",
        ),
        pytest.param(
            [(PIXELS, {"photometric": "rgb"}), (SMALL, {"photometric": "rgb"})],
            MANY.format("largest"),
            id="a preview last",
        ),
        pytest.param(
            [
                (SMALL, {"photometric": "rgb", "subifds": 1}),
                (PIXELS, {"photometric": "rgb", "compression": "lzw"}),
            ],
            MANY.format("largest"),
            id="the picture below its preview",
        ),
        pytest.param(
            [(PIXELS, {"photometric": "rgb"}), (255 - PIXELS, {"photometric": "rgb"})],
            MANY.format("first"),
            id="two pages",
        ),
    ],
)
def test_the_largest_picture_of_a_file_is_taken_and_it_is_said(pages, note):
    found = decode_photo(tiff(*pages), 1280)
    assert (found.pixels == PIXELS).all()
    assert found.notes == (note,)


SENSOR = (
    PIXELS[..., 1].astype(np.uint16) * 16,
    {
        "photometric": 32803,
        "extratags": [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)],
    },
)


def test_a_raw_photo_gives_its_preview_and_says_what_it_left():
    found = decode_photo(tiff((SMALL, {"photometric": "rgb", "subifds": 1}), SENSOR), 1280)
    assert (found.pixels == SMALL).all()
    assert "raw photo of 240 x 160" in found.notes[0]
    assert "preview of 60 x 40" in found.notes[0]
    assert "raw converter" in found.notes[0]


def test_a_raw_photo_without_a_preview_is_refused():
    with pytest.raises(ShotError, match="camera's sensor measured") as raised:
        decode_photo(tiff(SENSOR), 1280)
    assert "raw converter" in raised.value.fix


def test_a_turned_tiff_stands_upright_and_its_preview_too():
    for orientation, expected in (
        (6, np.rot90(PIXELS, 3)),
        (8, np.rot90(PIXELS)),
        (3, PIXELS[::-1, ::-1]),
    ):
        tag = [(274, 3, 1, orientation, True)]
        found = decode_photo(tiff((PIXELS, {"photometric": "rgb", "extratags": tag})), 1280)
        assert (found.pixels == expected).all()


def test_grey_bilevel_palette_and_zero_as_white_are_read():
    grey = PIXELS[..., 0]
    three = np.repeat(grey[..., None], 3, -1)
    assert (decode_photo(tiff((grey, {"photometric": "minisblack"})), 999).pixels == three).all()
    white = tiff((255 - grey, {"photometric": "miniswhite"}))
    assert (decode_photo(white, 999).pixels == three).all()
    bilevel = tiff((grey > 127, {"photometric": "minisblack"}))
    assert (decode_photo(bilevel, 999).pixels == (three > 127) * np.uint8(255)).all()
    palette = Image.fromarray(PIXELS).quantize(200)
    found = decode_photo(saved(palette, "TIFF"), 999).pixels
    assert (found == np.asarray(palette.convert("RGB"))).all()


def test_transparency_of_a_tiff_shows_white_whether_multiplied_or_not():
    alpha = np.full(PIXELS.shape[:2], 255, np.uint8)
    alpha[:80] = 128
    shown = np.where(alpha[..., None] == 255, PIXELS, (PIXELS * (128 / 255) + 127).round())
    straight = np.dstack([PIXELS, alpha])
    multiplied = np.dstack([(PIXELS * (alpha[..., None] / 255)).round().astype(np.uint8), alpha])
    for array, kind in ((straight, "unassalpha"), (multiplied, "assocalpha")):
        found = decode_photo(tiff((array, {"photometric": "rgb", "extrasamples": [kind]})), 999)
        assert np.abs(found.pixels - shown).max() <= 2
        assert "transparent" in found.notes[0]


def test_a_channel_that_is_no_alpha_is_left_out():
    extra = np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)])
    options = {"photometric": "rgb", "extrasamples": ["unspecified"]}
    assert (decode_photo(tiff((extra, options)), 999).pixels == PIXELS).all()


def test_damaged_tiffs_are_photos_or_sentences():
    rng = np.random.default_rng(7)
    deep = PIXELS[:40, :60].astype(np.uint16) * 257
    files = [
        tiff((deep, {"photometric": "rgb", "compression": "lzw", "planarconfig": "contig"})),
        tiff((SMALL, {"photometric": "rgb", "subifds": 1}), SENSOR),
    ]
    for data in files:
        for _ in range(100):
            damaged = bytearray(data)
            for at in rng.integers(0, min(len(data), 600), 4):
                damaged[at] = rng.integers(0, 256)
            with contextlib.suppress(ShotError):
                decode_photo(bytes(damaged[: rng.integers(10, len(data))]), 100)


@pytest.mark.parametrize(("width", "height"), [(12_000, 9_000), (16_320, 12_240)])
def test_photos_of_108_and_200_megapixels_are_scaled_while_they_are_decoded(width, height):
    small = Image.fromarray(PIXELS).resize((400, 300))
    whole = saved(small.resize((width, height), Image.Resampling.NEAREST), "JPEG", quality=50)
    found = decode_photo(whole, 400)
    assert found.pixels.shape == (300, 400, 3)
    assert found.scale == 400 / width
    assert found.disk == (height, width)
    assert np.abs(found.pixels.astype(int) - np.asarray(small)).mean() < 3
    assert found.notes == (f"The photo of {width} x {height} pixels was scaled to 400 x 300.",)


def test_the_lens_of_a_reduced_photo_is_that_of_the_whole():
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 35
    flat = Image.new("RGB", (9_600, 7_200), (90, 80, 70))
    found = decode_photo(saved(flat, "JPEG", exif=exif), 640)
    assert found.pixels.shape == (480, 640, 3)
    assert found.horizontal_fov == pytest.approx(54.43, abs=0.01)


def test_a_png_of_108_megapixels_is_refused_with_both_numbers():
    flat = saved(Image.new("1", (12_000, 9_000)), "PNG")
    with pytest.raises(ShotError, match="12000 x 9000 = 108 million pixels; the limit is 64"):
        decode_photo(flat, 1280)


@pytest.mark.parametrize(
    ("size", "fix"),
    [
        ((10_000, 100), "Set the longest side to 1600 or more"),
        ((100, 10_000), "Set the longest side to 1600 or more"),
        ((20_000, 64), "Cut it: at most 256 times as long as wide"),
        ((300, 15), "Use a larger photo"),
    ],
)
def test_a_strip_gets_advice_that_helps(size, fix):
    strip = saved(Image.new("RGB", size, (90, 80, 70)), "PNG")
    with pytest.raises(ShotError, match=fix):
        decode_photo(strip, 1280)
    if "longest side" in fix:
        assert min(decode_photo(strip, 1600).pixels.shape[:2]) == 16


def test_a_photo_with_a_second_picture_gives_the_first_and_says_so():
    first, second = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    both = saved(first, "MPO", save_all=True, append_images=[second], quality=95)
    found = decode_photo(both, 999)
    assert np.abs(found.pixels.astype(int) - PIXELS).mean() < 4
    assert found.notes == (
        "The file holds 2 pictures, as stereo and HDR cameras write them; the first one was used.",
    )


def test_a_progressive_jpeg_is_read():
    found = decode_photo(saved(Image.fromarray(PIXELS), "JPEG", progressive=True, quality=95), 999)
    assert np.abs(found.pixels.astype(int) - PIXELS).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "AVIF"])
def test_animations_are_refused_with_the_way_out(kind):
    first, second = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    moving = saved(first, kind, save_all=True, append_images=[second])
    with pytest.raises(ShotError, match="an animation of 2 frames, not a photo") as raised:
        decode_photo(moving, 999)
    assert "Save the frame" in raised.value.fix


def heic(bits=8, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    if bits == 8:
        file = pillow_heif.from_pillow(Image.fromarray(PIXELS))
    else:
        deep = PIXELS.astype(np.uint16) * 257
        file = pillow_heif.from_bytes("RGB;16", (240, 160), deep.tobytes())
    file.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("bits", [8, 10])
def test_heic_is_read_where_its_decoder_is_installed(bits):
    found = decode_photo(heic(bits), 999)
    assert np.abs(found.pixels.astype(int) - PIXELS).mean() < 3


def test_heic_is_converted_from_its_profile():
    import imagecodecs

    data = heic(icc_profile=imagecodecs.cms_profile("adobergb"))
    found = decode_photo(data, 999)
    right = imagecodecs.cms_transform(
        PIXELS,
        imagecodecs.cms_profile("adobergb"),
        imagecodecs.cms_profile("srgb"),
        colorspace="rgb",
        outcolorspace="rgb",
    )
    assert np.abs(found.pixels.astype(int) - right).mean() < 4
    assert "Adobe RGB" in found.notes[0]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)


def test_heic_is_named_by_what_is_in_the_file_where_nothing_decodes_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is not installed
    with pytest.raises(ShotError, match="is a HEIC photo, whatever its name ends in") as raised:
        decode_photo(HEIC, 999)
    assert "levitor[heif]" in raised.value.fix
    assert "JPEG" in raised.value.fix


@pytest.mark.parametrize(
    ("start", "says", "fix"),
    [
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a raw photo", "raw converter"),
        (b"FUJIFILMCCD-RAW 0201FF", "a raw photo", "raw converter"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2", "a video", "frame you want"),
        (b"8BPS\0\x01", "a Photoshop document", "PNG or JPEG"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL picture", "PNG or JPEG"),
        (b"\x76\x2f\x31\x01", "an OpenEXR picture", "PNG or JPEG"),
    ],
)
def test_what_is_something_else_is_named_by_its_content(start, says, fix):
    with pytest.raises(ShotError, match=f"The file of the photo is {says}") as raised:
        decode_photo(start + bytes(200), 999)
    assert fix in raised.value.fix
