"""Photos, depth maps, masks and videos; and every kind of file that is none."""

from __future__ import annotations

import contextlib
import errno
import io
import struct
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import OpenEXR
import pytest
import sklearn.datasets
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from backend import media
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
    photo = media.decode_photo(png(pixels), 1280)
    assert (photo.pixels == pixels).all()
    assert (photo.scale, photo.notes) == (1.0, ())


def test_an_odd_size_loses_its_last_row_and_column_and_says_so():
    pixels = noise(21, 33, 3)
    photo = media.decode_photo(png(pixels), 1280)
    assert (photo.pixels == pixels[:20, :32]).all()
    assert photo.notes == (
        "Video needs even sizes: of 33 x 21 pixels, the upper left 32 x 20 are used.",
    )


def test_a_large_photo_is_scaled_to_the_longest_side_and_says_so():
    photo = media.decode_photo(png(noise(100, 400, 3)), 200)
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
        assert media.decode_photo(buffer.getvalue(), 100).pixels.shape == (16, 16, 3)


def test_sixteen_bit_values_are_scaled_and_not_cut():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    photo = media.decode_photo(png(ramp), 100)
    assert (photo.pixels[..., 0].ravel() == np.arange(256)).all()
    assert "16-bit" in photo.notes[0]


def test_sixteen_bit_colour_is_read_and_said_to_be_reduced():
    import cv2

    deep = np.full((16, 16, 3), 40_000, np.uint16)
    deep[..., 0] = 65_535  # OpenCV writes blue first
    photo = media.decode_photo(cv2.imencode(".png", deep)[1].tobytes(), 100)
    assert photo.pixels[0, 0].tolist() == [156, 156, 255]
    assert photo.notes == ("The photo's 16-bit values were reduced to 8 bits.",)


def test_transparent_pixels_show_white_and_it_is_said():
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:8, :, 3] = 255
    photo = media.decode_photo(png(rgba), 100)
    assert (photo.pixels[:8] == 0).all()
    assert (photo.pixels[8:] == 255).all()
    assert "transparent" in photo.notes[0]


def test_an_opaque_alpha_channel_changes_nothing():
    rgba = noise(16, 16, 4)
    rgba[..., 3] = 255
    photo = media.decode_photo(png(rgba), 100)
    assert (photo.pixels == rgba[..., :3]).all()
    assert photo.notes == ()


def test_a_photo_is_turned_upright():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(noise(20, 30, 3)).save(buffer, format="JPEG", exif=exif)
    assert media.decode_photo(buffer.getvalue(), 100).pixels.shape == (30, 20, 3)


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
            "more than 179 million pixels; the limit is 64",
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
        media.decode_photo(data, 1280)
    assert caught.value.code == code
    assert caught.value.fix


def test_postscript_is_not_run(tmp_path):
    trace = tmp_path / "ran"
    program = (
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n"
        f"({trace}) (w) file closefile\nshowpage\n"
    )
    with pytest.raises(ShotError, match="not an image that can be read"):
        media.decode_photo(program.encode(), 100)
    assert not trace.exists()


def test_too_little_memory_is_not_taken_for_a_damaged_photo(monkeypatch):
    def too_little(self):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(PngImageFile, "load", too_little)
    with pytest.raises(OSError, match="allocate memory"):
        media.decode_photo(png(noise(64, 64, 3)), 64)


def test_damaged_exif_does_not_cost_the_photo():
    buffer = io.BytesIO()
    Image.fromarray(noise(20, 30, 3)).save(
        buffer, format="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"
    )
    assert media.decode_photo(buffer.getvalue(), 100).pixels.shape == (20, 30, 3)


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
            media.decode_photo(bytes(damaged[: rng.integers(10, len(whole))]), 100)


def test_a_gif_of_one_frame_is_a_photo():
    assert media.decode_photo(gif(1), 100).pixels.shape == (20, 20, 3)


def exr(values, name="Z"):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "depth.exr")
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        channels = {name: values, "A": np.ones_like(values)}
        OpenEXR.File(header, channels).write(path)
        return Path(path).read_bytes()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=array.dtype == object)
    return buffer.getvalue()


DEPTH = np.linspace(0.5, 9.0, 12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            png(np.arange(12, dtype=np.uint8).reshape(3, 4)),
            np.arange(12).reshape(3, 4),
            id="8-bit PNG",
        ),
        pytest.param(
            png((np.arange(12) * 5000).astype(np.uint16).reshape(3, 4)),
            5000 * np.arange(12).reshape(3, 4),
            id="16-bit PNG",
        ),
        pytest.param(exr(DEPTH), DEPTH, id="EXR"),
        pytest.param(exr(DEPTH, "V"), DEPTH, id="EXR with V beside alpha"),
        pytest.param(exr(DEPTH, "R"), DEPTH, id="EXR with R beside alpha"),
        pytest.param(npy(DEPTH), DEPTH, id="npy"),
        pytest.param(npy(DEPTH.astype(np.float64)[..., None]), DEPTH, id="npy of three axes"),
    ],
)
def test_depth_maps_keep_their_numbers(data, expected):
    values = media.decode_depth_map(data)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected.astype(np.float32))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"nothing", "not an image", id="text"),
        pytest.param(npy(DEPTH)[:90], "depth map", id="cut npy"),
        pytest.param(exr(DEPTH)[:60], "cannot be read", id="cut EXR"),
        pytest.param(npy(np.zeros((2, 2), complex)), "complex128 of shape", id="complex"),
        pytest.param(npy(np.zeros(5)), r"of shape \(5,\)", id="one axis"),
        pytest.param(npy(np.array([[None]])), "cannot be read", id="objects"),
    ],
)
def test_what_is_no_depth_map_is_refused(data, says):
    with pytest.raises(ShotError, match=says):
        media.decode_depth_map(data)


def test_a_mask_is_scaled_to_the_photo_and_may_be_the_alpha():
    white = np.zeros((10, 10), np.uint8)
    white[:5] = 255
    mask = media.decode_mask(png(white), 20, 20)
    assert mask.shape == (20, 20)
    assert mask[:9].all()
    assert not mask[11:].any()
    rgba = np.full((10, 10, 4), 255, np.uint8)
    rgba[5:, :, 3] = 0
    assert media.decode_mask(png(rgba), 10, 10).sum() == 50


def decoded(video):
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return frames, stream.average_rate, stream.codec_context.name


def test_a_video_is_h264_of_the_right_length_and_looks_like_its_frames():
    smooth = torch.linspace(0, 1, 64).expand(5, 3, 48, 64).clone()
    smooth *= torch.linspace(0.5, 1.0, 5)[:, None, None, None]
    frames, rate, codec = decoded(media.encode_video(smooth, 24.0))
    assert (len(frames), rate, codec) == (5, 24, "h264")
    for shown, wanted in zip(frames, smooth, strict=True):
        assert np.abs(shown.astype(int) - media.to_uint8(wanted)).mean() < 3


def test_colours_come_back_as_they_were():
    """Strong colours tell the matrices apart: BT.601 would shift them by up to 30."""
    colours = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.8], [0.9, 0.8, 0.2]])
    picture = colours.T[:, None].repeat_interleave(16, 2).repeat(1, 32, 1)
    video = media.encode_video(picture.expand(3, -1, -1, -1), 24.0)
    with av.open(io.BytesIO(video)) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == 1
        shown = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    for n, colour in enumerate(colours):
        difference = shown[16, 16 * n + 8] - 255 * colour.numpy()
        assert np.abs(difference).max() < 6


def test_a_longer_video_repeats_its_frames_evenly():
    assert media.repeated(3, 9) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert media.repeated(4, 4) == [0, 1, 2, 3]
    assert media.repeated(5, 2) == [0, 4]
    frames, rate, _ = decoded(media.encode_video(torch.rand(3, 3, 32, 32), 24.0, length=9))
    assert (len(frames), rate) == (9, 24)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        *(
            pytest.param(
                whole / float(np.float32(1.001)),
                Fraction(1000 * whole, 1001),
                id=f"Blender's {whole} over 1.001",
            )
            for whole in (24, 30, 48, 60, 120)
        ),
        (25.0, Fraction(25)),
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (12.5, Fraction(25, 2)),
        (15 / 1, Fraction(15)),
        (1.0, Fraction(1)),
        (50 / 3, Fraction(50, 3)),
    ],
)
def test_the_file_has_the_exact_rate_that_is_meant(fps, rate):
    video = media.encode_video(torch.rand(2, 3, 32, 32), fps, length=100)
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.base_rate, stream.guessed_rate) == (rate,) * 3
        times = [packet.dts * packet.time_base for packet in container.demux(stream) if packet.size]
        assert [b - a for a, b in pairwise(times)] == [1 / rate] * 99


def test_the_same_frames_give_the_same_bytes():
    frames = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert media.encode_video(frames, 24.0) == media.encode_video(frames, 24.0)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "take.mp4"
    media.write_atomically(path, b"first")
    media.write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    with pytest.raises(TypeError):
        media.write_atomically(path, "not bytes")
    assert path.read_bytes() == b"second"
    assert [item.name for item in path.parent.iterdir()] == ["take.mp4"]
