"""Photos in other colours than sRGB: what is lifted looks as the photo does."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

from backend.images.photo import decode_photo

D65 = (0.3127, 0.3290)
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
REC2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
STEPS = np.linspace(0, 1, 4096)
COLOUR = np.array([110, 180, 80], np.uint8)
PIXELS = np.tile(COLOUR, (48, 64, 1))
FORMATS = {
    "PNG": {},
    "JPEG": {"quality": 98, "subsampling": 0},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def linear(signal):
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def xyz_from(primaries, white=D65):
    """The matrix from linear RGB to XYZ, from chromaticities alone."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in np.reshape(primaries, (3, 2))]).T
    x, y = white
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


def in_srgb(rgb, primaries, curve=linear):
    """What numbers of a space with a D65 white are in sRGB, 0 to 255, without any library."""
    light = curve(np.asarray(rgb, np.float64) / 255)
    return 255 * encoded(np.linalg.inv(xyz_from(SRGB)) @ xyz_from(primaries) @ light)


def profile(primaries, curve, white=D65):
    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=[*white, 1.0],
        primaries=[*primaries[:2], 1.0, *primaries[2:4], 1.0, *primaries[4:], 1.0],
        transferfunction=np.asarray(curve, np.float32),
    )


SPACES = {
    "Display P3": (profile(P3, linear(STEPS)), P3, linear),
    "Adobe RGB": (profile(ADOBE, STEPS**2.2), ADOBE, lambda signal: signal**2.2),
    "Rec.2020": (profile(REC2020, linear(STEPS)), REC2020, linear),
}


def file_of(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", SPACES)
def test_a_wide_space_is_converted_in_every_format_and_it_is_said(name, kind):
    icc, primaries, curve = SPACES[name]
    found = decode_photo(file_of(PIXELS, kind, icc_profile=icc, **FORMATS[kind]), 1280)
    right = in_srgb(COLOUR, primaries, curve)
    assert np.abs(right - COLOUR).max() > 15  # the numbers alone would be wrong
    assert np.abs(found.pixels[20, 20] - right).max() < (6 if kind in ("JPEG", "AVIF") else 1.5)
    assert any("converted from" in note and "to sRGB" in note for note in found.notes)


def test_prophoto_with_its_own_white_is_converted():
    icc = profile((0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), STEPS**1.8, (0.3457, 0.3585))
    found = decode_photo(file_of(PIXELS, icc_profile=icc), 1280)
    twin = ImageCms.profileToProfile(
        Image.fromarray(PIXELS), io.BytesIO(icc), ImageCms.createProfile("sRGB")
    )
    assert np.abs(found.pixels[20, 20].astype(int) - twin.getpixel((20, 20))).max() <= 1
    assert abs(int(found.pixels[20, 20, 0]) - 110) > 15


def test_a_photo_that_is_srgb_keeps_its_pixels_to_the_bit_and_nothing_is_said():
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for icc in (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profile(SRGB, linear(STEPS)),
        imagecodecs.cms_profile("srgb"),
    ):
        found = decode_photo(file_of(noise, icc_profile=icc), 1280)
        assert (found.pixels == noise).all()
        assert found.notes == ()


def png16(pixels, *chunks):
    """A 16-bit RGB PNG, with more chunks before its data."""
    height, width, _ = pixels.shape

    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            *(chunk(name, body) for name, body in chunks),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


DARK = np.stack([np.linspace(0, 4000, 64).round()] * 3, -1)[None].repeat(16, 0).astype(np.uint16)
"""A grey ramp of 16 levels of 8 bits, 64 of 16."""


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_converted_before_they_are_rounded(kind):
    """A linear profile spreads the dark: rounded first, 16 levels would stay."""
    icc = profile(SRGB, STEPS)
    if kind == "PNG":
        data = png16(DARK, (b"iCCP", b"linear\0\0" + zlib.compress(icc)))
    else:
        buffer = io.BytesIO()
        tag = [(34675, "B", len(icc), icc, True)]
        tifffile.imwrite(buffer, DARK, photometric="rgb", extratags=tag, compression="lzw")
        data = buffer.getvalue()
    found = decode_photo(data, 1280)
    right = 255 * encoded(DARK[0, :, 0] / 65535)
    assert np.abs(found.pixels[3, :, 0] - right).max() < 1
    assert len(np.unique(found.pixels[3, :, 0])) > 45
    assert "16-bit" in found.notes[0]
    assert "sRGB" in found.notes[1]


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_of_more_than_8_bits_is_converted_before_it_is_rounded(bits):
    top = 2**bits - 1
    deep = np.round(np.tile(COLOUR, (48, 64, 1)) / 255 * top).astype(np.uint16)
    data = imagecodecs.avif_encode(deep, level=100, bitspersample=bits)
    assert b"colrnclx" in data
    at = data.index(b"colrnclx") + 8
    wide = data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :]  # P3's primaries
    right = in_srgb(COLOUR, P3)
    assert np.abs(decode_photo(data, 1280).pixels[20, 20] - COLOUR.astype(float)).max() <= 1.5
    assert np.abs(decode_photo(wide, 1280).pixels[20, 20] - right).max() < 3


def png_with(*chunks):
    return png16(PIXELS.astype(np.uint16) * 257, *chunks)


def chrm(primaries, white=D65):
    return struct.pack(">8I", *(round(v * 100_000) for v in (*white, *primaries)))


@pytest.mark.parametrize(
    ("chunks", "right"),
    [
        pytest.param([(b"cICP", bytes([12, 13, 0, 1]))], in_srgb(COLOUR, P3), id="cICP P3"),
        pytest.param([(b"cICP", bytes([1, 13, 0, 1]))], COLOUR, id="cICP sRGB"),
        pytest.param(
            [(b"cICP", bytes([12, 13, 0, 1])), (b"iCCP", b"x\0\0" + zlib.compress(b"junk"))],
            in_srgb(COLOUR, P3),
            id="cICP before a profile",
        ),
        pytest.param(
            [(b"gAMA", struct.pack(">I", 100_000))], 255 * encoded(COLOUR / 255), id="linear gAMA"
        ),
        pytest.param([(b"gAMA", struct.pack(">I", 45_455))], COLOUR, id="gAMA of sRGB"),
        pytest.param(
            [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", chrm(ADOBE))],
            in_srgb(COLOUR, ADOBE),
            id="cHRM",
        ),
        pytest.param(
            [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))], COLOUR, id="sRGB goes first"
        ),
    ],
)
def test_a_png_may_say_its_colours_in_chunks(chunks, right):
    found = decode_photo(png_with(*chunks), 1280)
    assert np.abs(found.pixels[20, 20] - right).max() < 1.5


def test_hdr_is_shown_up_to_paper_white_and_it_is_said():
    """PQ at 203 nits is white (ITU-R BT.2408: 58 % of the signal)."""
    signal = (np.array([0.58, 0.80, 0.0]) * 65535).astype(np.uint16)
    bands = np.tile(signal.repeat(8)[:, None, None], (1, 32, 3))
    data = png16(bands, (b"cICP", bytes([9, 16, 0, 1])))
    found = decode_photo(data, 1280)
    assert found.pixels[8:16].min() == 255
    assert found.pixels[:8].min() > 240
    assert found.pixels[16:].max() == 0
    assert "HDR" in " ".join(found.notes)


@pytest.mark.parametrize("index", ["R03", b"R03\0"])
def test_exif_data_alone_may_say_adobe_rgb(index):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 0xFFFF
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop.value] = {1: index}
    found = decode_photo(file_of(PIXELS, "JPEG", exif=exif, **FORMATS["JPEG"]), 1280)
    right = in_srgb(COLOUR, ADOBE, lambda signal: signal ** (563 / 256))
    assert np.abs(found.pixels[20, 20] - right).max() < 3
    assert found.notes == ("The photo's colours were converted from Adobe RGB to sRGB.",)


def test_exif_data_that_only_say_what_the_colours_are_not_are_told():
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 0xFFFF
    found = decode_photo(file_of(PIXELS, "JPEG", exif=exif, **FORMATS["JPEG"]), 1280)
    assert np.abs(found.pixels[20, 20].astype(int) - COLOUR).max() <= 2
    assert "not sRGB" in found.notes[0]


def grey_profile():
    return imagecodecs.cms_profile("gray", gamma=1.8)


def test_a_grey_photo_is_converted_by_a_grey_profile_and_by_a_colour_one():
    grey = np.full((48, 64), 100, np.uint8)
    right = 255 * encoded((100 / 255) ** 1.8)
    for icc in (grey_profile(), profile(ADOBE, STEPS**1.8)):
        found = decode_photo(file_of(grey, icc_profile=icc), 1280)
        assert np.abs(found.pixels[20, 20] - right).max() < 1.5
    deep = file_of(grey.astype(np.uint16) * 257, icc_profile=grey_profile())
    assert np.abs(decode_photo(deep, 1280).pixels[20, 20] - right).max() < 1.5


def test_palettes_and_transparency_are_converted_too():
    icc, right = SPACES["Display P3"][0], in_srgb(COLOUR, P3)
    palette = Image.fromarray(PIXELS).quantize(4)
    found = decode_photo(file_of(palette, icc_profile=icc), 1280)
    assert np.abs(found.pixels[20, 20] - right).max() < 1.5
    rgba = np.dstack([PIXELS, np.full((48, 64), 255, np.uint8)])
    rgba[:24, :, 3] = 0
    found = decode_photo(file_of(rgba, icc_profile=icc), 1280)
    assert (found.pixels[:24] == 255).all()
    assert np.abs(found.pixels[40, 20] - right).max() < 1.5


def cmyk_profile():
    """A printer whose inks are exact: each corner of the cube of inks is a colour in Lab."""
    corners = []
    for inks in np.ndindex(2, 2, 2, 2):
        c, m, y, k = inks
        light = np.array([1 - c, 1 - m, 1 - y]) * (1 - k)
        x, y_, z = (
            np.array([[0.436, 0.385, 0.143], [0.222, 0.717, 0.061], [0.014, 0.097, 0.714]]) @ light
        )
        f = (
            np.cbrt(np.maximum([x / 0.9642, y_, z / 0.8249], 0.008856))
            if any(light)
            else [16 / 116] * 3
        )
        corners.append([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
    lab = np.array(corners) * [255 / 100, 1, 1] + [0, 128, 128]
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    lut += ramp * 4 + lab.round().clip(0, 255).astype(np.uint8).tobytes() + ramp * 3
    text = b"inks\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    white = (
        b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1, 0.8249)))
    )
    tags = {b"desc": desc, b"wtpt": white, b"A2B0": lut, b"cprt": b"text" + bytes(4) + b"-\0"}
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"test", 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    head += bytes(12) + b"acsp" + bytes(28) + white[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile_and_adobes_inverted_jpeg_is_read_right(kind):
    inks = Image.new("CMYK", (64, 48), (255, 0, 0, 0))  # all of the cyan
    options = {"quality": 98} if kind == "JPEG" else {}
    icc = cmyk_profile()
    found = decode_photo(file_of(inks, kind, icc_profile=icc, **options), 1280)
    twin = ImageCms.profileToProfile(
        inks, io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert np.abs(found.pixels[20, 20].astype(int) - twin.getpixel((20, 20))).max() <= 3
    assert found.notes == ("The photo's colours were converted from inks to sRGB.",)
    bare = decode_photo(file_of(inks, kind, **options), 1280)
    assert np.abs(bare.pixels[20, 20].astype(int) - [0, 255, 255]).max() <= 3
    assert "CMYK without a usable profile" in bare.notes[0]


@pytest.mark.parametrize("bits", [8, 16])
def test_lab_is_converted(bits):
    """L 60, a 40, b -30 is rgb(188, 119, 198), by CIE's formulas."""
    pixels = np.zeros((48, 64, 3), np.uint8 if bits == 8 else np.uint16)
    if bits == 8:
        pixels[:] = round(60 * 2.55), 40, 256 - 30
    else:
        pixels[:] = round(60 * 655.35), 40 * 256, 65536 - 30 * 256
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="cielab")
    found = decode_photo(buffer.getvalue(), 1280)
    fy = (60 + 16) / 116
    xyz = np.array([0.9642, 1, 0.8249]) * np.array([fy + 40 / 500, fy, fy + 30 / 200]) ** 3
    bradford = np.array(
        [
            [0.9555766, -0.0230393, 0.0631636],
            [-0.0282895, 1.0099416, 0.0210077],
            [0.0122982, -0.0204830, 1.3299098],
        ]
    )
    right = 255 * encoded(np.linalg.inv(xyz_from(SRGB)) @ bradford @ xyz)
    assert np.abs(found.pixels[20, 20] - right).max() < 2


@pytest.mark.parametrize(
    "icc",
    [
        pytest.param(b"no profile" * 30, id="junk"),
        pytest.param(SPACES["Adobe RGB"][0][:200], id="cut off"),
        pytest.param(cmyk_profile(), id="for CMYK"),
        pytest.param(grey_profile(), id="for grey"),
        pytest.param(imagecodecs.cms_profile("lab4"), id="abstract"),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_profile_that_cannot_be_used_is_said_and_ignored(icc, kind):
    found = decode_photo(file_of(PIXELS, kind, icc_profile=icc, **FORMATS[kind]), 1280)
    assert np.abs(found.pixels[20, 20].astype(int) - COLOUR).max() <= 2
    assert len(found.notes) == 1
    assert "cannot be used" in found.notes[0]
    assert "ignored" in found.notes[0]


def test_damaged_profiles_never_cost_the_photo():
    rng = np.random.default_rng(5)
    for icc in (SPACES["Adobe RGB"][0], cmyk_profile(), grey_profile()):
        for _ in range(40):
            damaged = bytearray(icc)
            for at in rng.integers(0, len(icc), 6):
                damaged[at] = rng.integers(0, 256)
            assert decode_photo(file_of(PIXELS, icc_profile=bytes(damaged)), 64).pixels.shape


def test_floating_point_photos_are_said_and_their_range_too():
    values = np.linspace(-0.5, 3, 48 * 64 * 3, dtype=np.float32).reshape(48, 64, 3)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb")
    found = decode_photo(buffer.getvalue(), 1280)
    right = (values.clip(0, 1) * 255).round()
    assert np.abs(found.pixels - right).max() <= 1
    assert "from -0.5 to 3" in found.notes[0]
    assert "floating-point values were reduced" in found.notes[1]
