"""Photos and masks; and every kind of file that is none."""

from __future__ import annotations

import contextlib
import errno
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from backend.images.mask import decode_mask
from backend.images.photo import decode_photo
from protocol.errors import ShotError

PHOTOS = Path(sklearn.datasets.__file__).parent / "images"


def png(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def noise(*shape, dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def header_of(width, height):
    """A PNG that says it is huge and holds nothing."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + body
    end = b"IEND"
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(body))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 0)
        + end
        + struct.pack(">I", zlib.crc32(end))
    )


def gif(frames):
    buffer = io.BytesIO()
    pictures = [Image.fromarray(noise(20, 20)) for _ in range(frames)]
    for i, picture in enumerate(pictures):
        picture.putpixel((0, 0), i)
    pictures[0].save(buffer, format="GIF", save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


def test_a_png_comes_back_pixel_for_pixel():
    pixels = noise(20, 30, 3)
    photo = decode_photo(png(pixels), 1280)
    assert (photo.pixels == pixels).all()
    assert (photo.scale, photo.notes) == (1.0, ())


def test_an_odd_size_loses_its_last_row_and_column_and_says_so():
    pixels = noise(21, 33, 3)
    photo = decode_photo(png(pixels), 1280)
    assert (photo.pixels == pixels[:20, :32]).all()
    assert photo.notes == (
        "Video needs even sizes: of 33 x 21 pixels, the upper left 32 x 20 are used.",
    )


def test_a_large_photo_is_scaled_to_the_longest_side_and_says_so():
    photo = decode_photo(png(noise(100, 400, 3)), 200)
    assert photo.pixels.shape == (50, 200, 3)
    assert photo.scale == 0.5
    assert "400 x 100 pixels was scaled to 200 x 50" in photo.notes[0]


def test_grey_palette_and_one_bit_photos_become_rgb():
    grey = noise(16, 16)
    for image in (
        Image.fromarray(grey),
        Image.fromarray(grey).convert("P"),
        Image.new("1", (16, 16)),
    ):
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        assert decode_photo(buffer.getvalue(), 100).pixels.shape == (16, 16, 3)


def test_sixteen_bit_values_are_scaled_and_not_cut():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    photo = decode_photo(png(ramp), 100)
    assert (photo.pixels[..., 0].ravel() == np.arange(256)).all()
    assert "16-bit" in photo.notes[0]


def test_sixteen_bit_colour_is_read_and_said_to_be_reduced():
    import cv2

    deep = np.full((16, 16, 3), 40_000, np.uint16)
    deep[..., 0] = 65_535  # OpenCV writes blue first
    photo = decode_photo(cv2.imencode(".png", deep)[1].tobytes(), 100)
    assert photo.pixels[0, 0].tolist() == [156, 156, 255]
    assert photo.notes == ("The photo's 16-bit values were reduced to 8 bits.",)


def test_transparent_pixels_show_white_and_it_is_said():
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:8, :, 3] = 255
    photo = decode_photo(png(rgba), 100)
    assert (photo.pixels[:8] == 0).all()
    assert (photo.pixels[8:] == 255).all()
    assert "transparent" in photo.notes[0]


def test_an_opaque_alpha_channel_changes_nothing():
    rgba = noise(16, 16, 4)
    rgba[..., 3] = 255
    photo = decode_photo(png(rgba), 100)
    assert (photo.pixels == rgba[..., :3]).all()
    assert photo.notes == ()


def test_a_photo_is_turned_upright():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(noise(20, 30, 3)).save(buffer, format="JPEG", exif=exif)
    assert decode_photo(buffer.getvalue(), 100).pixels.shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        pytest.param(b"hello, I am text", "not_an_image", "16 bytes.*not an image", id="text"),
        pytest.param(b"", "not_an_image", "0 bytes", id="empty"),
        pytest.param(
            (PHOTOS / "flower.jpg").read_bytes()[:9000],
            "broken_file",
            "(?i)truncated",
            id="truncated JPEG",
        ),
        pytest.param(
            png(noise(64, 64, 3))[:4000], "broken_file", "cannot be read", id="truncated PNG"
        ),
        pytest.param(png(noise(1, 1, 3)), "too_small", "1 x 1 pixels", id="one pixel"),
        pytest.param(
            png(noise(15, 300, 3)),
            "too_small",
            "300 x 15 pixels, which leaves 300 x 14",
            id="a strip",
        ),
        pytest.param(gif(3), "animation", "animation of 3 frames", id="animated GIF"),
        pytest.param(
            header_of(20_000, 20_000),
            "too_large",
            "20000 x 20000 = 400 million pixels; the limit is 64",
            id="huge header",
        ),
        pytest.param(
            header_of(9_000, 9_000),
            "too_large",
            "9000 x 9000 = 81 million pixels; the limit is 64",
            id="large header",
        ),
    ],
)
def test_what_is_no_photo_is_refused_in_a_sentence(data, code, says):
    with pytest.raises(ShotError, match=says) as caught:
        decode_photo(data, 1280)
    assert caught.value.code == code
    assert caught.value.fix


def test_postscript_is_not_run(tmp_path):
    trace = tmp_path / "ran"
    program = (
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n"
        f"({trace}) (w) file closefile\nshowpage\n"
    )
    with pytest.raises(ShotError, match="is a PostScript document"):
        decode_photo(program.encode(), 100)
    assert not trace.exists()


def test_too_little_memory_is_not_taken_for_a_damaged_photo(monkeypatch):
    def too_little(self):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(PngImageFile, "load", too_little)
    with pytest.raises(OSError, match="allocate memory"):
        decode_photo(png(noise(64, 64, 3)), 64)


def test_damaged_exif_does_not_cost_the_photo():
    buffer = io.BytesIO()
    Image.fromarray(noise(20, 30, 3)).save(
        buffer, format="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"
    )
    assert decode_photo(buffer.getvalue(), 100).pixels.shape == (20, 30, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP"])
def test_damaged_files_are_photos_or_sentences_and_nothing_else(kind):
    buffer = io.BytesIO()
    Image.fromarray(noise(24, 32, 3)).save(buffer, format=kind)
    whole, rng = buffer.getvalue(), np.random.default_rng(7)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 4):
            damaged[at] = rng.integers(0, 256)
        with contextlib.suppress(ShotError):
            decode_photo(bytes(damaged[: rng.integers(10, len(whole))]), 100)


def test_a_gif_of_one_frame_is_a_photo():
    assert decode_photo(gif(1), 100).pixels.shape == (20, 20, 3)


def test_a_mask_is_scaled_to_the_photo_and_may_be_the_alpha():
    white = np.zeros((10, 10), np.uint8)
    white[:5] = 255
    mask = decode_mask(png(white), 20, 20)
    assert mask.shape == (20, 20)
    assert mask[:9].all()
    assert not mask[11:].any()
    rgba = np.full((10, 10, 4), 255, np.uint8)
    rgba[5:, :, 3] = 0
    assert decode_mask(png(rgba), 10, 10).sum() == 50
