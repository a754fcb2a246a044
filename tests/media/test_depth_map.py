"""Depth maps as people have them, and what is none."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import ExifTags, Image, ImageOps

from backend.images.depth_map import decode_depth_map, fit_depth_map
from backend.images.photo import decode_photo
from protocol.errors import ShotError


def png(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def exr(values, name="Z"):
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
    values = decode_depth_map(data).values
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
        pytest.param(npy(np.array([[None]])), "holds object of shape", id="objects"),
    ],
)
def test_what_is_no_depth_map_is_refused(data, says):
    with pytest.raises(ShotError, match=says):
        decode_depth_map(data)


H, W = 48, 64
RAMP = np.tile(np.linspace(0.1, 0.9, W), (H, 1))
"""Nearer to the right, larger is nearer."""
DEEP = np.round(RAMP * 65535).astype(np.uint16)
METRES = (2 + 6 * (1 - RAMP)).astype(np.float32)


def png16(*channels):
    """A 16-bit PNG of 1 (grey), 2 (grey, alpha), 3 or 4 channels, which Pillow cannot write."""
    kinds = {1: 0, 2: 4, 3: 2, 4: 6}
    rows = np.stack(channels, -1).reshape(H, -1).astype(">u2")

    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    head = struct.pack(">IIBBBBB", W, H, 16, kinds[len(channels)], 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def exr_of(channels, **header):
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "depth.exr")
        whole = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
        OpenEXR.File(whole, channels).write(path)
        return Path(path).read_bytes()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def photo_of(height=H, width=W, orientation=1, max_side=1280):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG", exif=exif)
    return decode_photo(buffer.getvalue(), max_side)


OPAQUE = np.full_like(DEEP, 65535)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png16(DEEP), id="grey PNG"),
        pytest.param(png16(DEEP, OPAQUE), id="grey PNG with alpha"),
        pytest.param(png16(DEEP, DEEP, DEEP), id="RGB PNG"),
        pytest.param(png16(DEEP, DEEP, DEEP, OPAQUE), id="RGBA PNG"),
        pytest.param(tiff(DEEP), id="grey TIFF"),
        pytest.param(tiff(np.stack([DEEP] * 3, -1), photometric="rgb"), id="RGB TIFF"),
        pytest.param(
            tiff(np.stack([DEEP] * 3), photometric="rgb", planarconfig="separate"),
            id="RGB TIFF in planes",
        ),
        pytest.param(
            tiff(np.stack([DEEP] * 3, -1), photometric="rgb", compression="lzw"), id="RGB LZW TIFF"
        ),
        pytest.param(npz(depth=DEEP), id="npz"),
        pytest.param(npz(image=np.zeros(3), depth=DEEP), id="npz with a depth among others"),
        pytest.param(npy(DEEP[None]), id="batch of one"),
        pytest.param(npy(DEEP[None, None]), id="batch and channel of one"),
        pytest.param(npy(DEEP[..., None]), id="channel of one"),
        pytest.param(npy(np.stack([DEEP] * 3, -1)), id="npy of three channels"),
    ],
)
def test_sixteen_bits_stay_sixteen_bits(data):
    found = decode_depth_map(data)
    np.testing.assert_array_equal(found.values, DEEP.astype(np.float32))
    assert found.bits == 16


def test_a_tiff_whose_zero_is_white_is_read_as_it_is_shown_and_it_is_said():
    for array, top in ((DEEP, 65535), ((DEEP >> 8).astype(np.uint8), 255)):
        found = decode_depth_map(tiff(array, photometric="miniswhite"))
        np.testing.assert_array_equal(found.values, (top - array).astype(np.float32))
        assert "0 is white" in found.notes[0]


def rainbow():
    hue = (np.stack([(1 - RAMP) * 200, RAMP * 0 + 255, RAMP * 0 + 255], -1)).astype(np.uint8)
    return Image.fromarray(hue, "HSV").convert("RGB")


def saved(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(saved(rainbow()), "false colours: red", id="rainbow PNG"),
        pytest.param(saved(rainbow(), "JPEG", quality=90), "false colours", id="rainbow JPEG"),
        pytest.param(saved(rainbow().quantize(256)), "colours of a palette", id="palette"),
        pytest.param(
            png16(DEEP, DEEP[:, ::-1], OPAQUE), "false colours", id="16-bit false colours"
        ),
        pytest.param(
            npy(np.asarray(rainbow()).astype(np.float32)), "false colours", id="npy of colours"
        ),
        pytest.param(npy(RAMP > 0.5), "only true and false", id="bool"),
        pytest.param(saved(Image.fromarray(RAMP > 0.5)), "1 bit a pixel", id="1-bit PNG"),
        pytest.param(npy(np.stack([DEEP] * 5)), "5 maps", id="five maps"),
        pytest.param(npy(np.stack([METRES, RAMP], -1)), "two numbers a pixel", id="two channels"),
        pytest.param(npz(a=DEEP, b=DEEP), r"2 arrays \(a, b\), none of them", id="npz of two"),
        pytest.param(
            exr_of({"R": METRES, "G": METRES + 1, "B": METRES}),
            "channels and none",
            id="colour EXR",
        ),
        pytest.param(
            exr_of({f"ViewLayer.Normal.{c}": METRES for c in "XYZ"}), "none that is", id="normals"
        ),
    ],
)
def test_what_has_no_depth_in_it_is_refused_with_the_reason(data, says):
    with pytest.raises(ShotError, match=says) as raised:
        decode_depth_map(data)
    assert raised.value.fix


def test_a_grey_palette_and_a_grey_jpeg_are_depth():
    eight = (DEEP >> 8).astype(np.uint8)
    palette = Image.fromarray(eight).convert("RGB").quantize(256)
    values = decode_depth_map(saved(palette)).values
    assert np.abs(values - eight).max() <= 1  # by its colours, not by its numbers
    values = decode_depth_map(saved(Image.fromarray(np.stack([eight] * 3, -1)), "JPEG")).values
    assert np.abs(values - eight).max() <= 4


NORMALS = {f"ViewLayer.Normal.{axis}": METRES * 0 + 1 for axis in "XYZ"}


@pytest.mark.parametrize(
    ("channels", "named"),
    [
        pytest.param({"Depth.V": METRES}, "", id="Blender's old depth"),
        pytest.param({"ViewLayer.Depth.Z": METRES, **NORMALS}, "ViewLayer.Depth.Z", id="layers"),
        pytest.param(
            {f"A.Combined.{c}": METRES * 0 for c in "RGBA"} | {"A.Depth.Z": METRES},
            "A.Depth.Z",
            id="colours beside it",
        ),
        pytest.param(dict.fromkeys("RGB", METRES), "", id="grey as colours"),
        pytest.param({"Y": METRES}, "", id="luminance"),
        pytest.param({"depth": METRES, "R": METRES * 0}, "depth", id="a channel called depth"),
        pytest.param({"Z": METRES, "R": METRES * 0, "G": METRES * 0, "B": METRES * 0}, "Z", id="Z"),
        pytest.param({"Denoising Depth.Z": METRES * 2, "Depth.Z": METRES}, "Depth.Z", id="two"),
    ],
)
def test_the_depth_of_an_exr_file_is_found_by_its_name(channels, named):
    found = decode_depth_map(exr_of(channels))
    np.testing.assert_array_equal(found.values, METRES)
    assert (f"{named} was used" in " ".join(found.notes)) if named else found.notes == ()


def test_an_exr_of_a_part_of_the_frame_lies_where_it_was_rendered():
    windows = {
        "dataWindow": (np.array([8, 4], np.int32), np.array([W - 1, H - 1], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([W - 1, H - 1], np.int32)),
    }
    found = decode_depth_map(exr_of({"Z": np.ascontiguousarray(METRES[4:, 8:])}, **windows)).values
    np.testing.assert_array_equal(found[4:, 8:], METRES[4:, 8:])
    assert np.isnan(found[:4]).all()
    assert np.isnan(found[:, :8]).all()


def with_sky(value, dtype=np.float32):
    values = METRES.astype(dtype)
    values[:10] = value
    return values


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(npy(with_sky(1e10)), id="1e10"),
        pytest.param(npy(with_sky(np.inf)), id="infinity"),
        pytest.param(npy(with_sky(np.nan)), id="no number"),
        pytest.param(npy(with_sky(65504, np.float16).astype(np.float32)), id="the largest half"),
        pytest.param(exr_of({"Z": with_sky(65504, np.float16)}), id="half EXR"),
        pytest.param(npy(with_sky(0)), id="zero"),
        pytest.param(npy(with_sky(-1)), id="below zero"),
        pytest.param(npy(with_sky(1000)), id="a far clip"),
        pytest.param(npy(with_sky(1e300, np.float64)), id="beyond float32"),
        pytest.param(
            png16(np.where(METRES > 99, 0, METRES * 1000) * (np.mgrid[:H, :W][0] > 9)),
            id="millimetres in a PNG, 0 unknown",
        ),
    ],
)
def test_a_sky_is_far_and_does_not_set_the_range_and_it_is_said(data):
    found = fit_depth_map(decode_depth_map(data), photo_of(), nearer_is_larger=False)
    scale = found.values[-1, -1] / METRES[-1, -1]  # metres or millimetres, rounded
    assert np.isfinite(found.values).all()
    np.testing.assert_allclose(found.values[10:] / scale, METRES[10:], rtol=2e-3)
    np.testing.assert_allclose(found.values[:10] / scale, METRES.max(), rtol=2e-3)
    assert f"{10 * W} of the depth map's pixels (20.8%" in found.notes[0]


def test_few_pixels_far_beyond_all_else_do_not_set_the_range():
    values = METRES.copy()
    values[0, :5] = 300, 900, 450, 2000, 170
    found = fit_depth_map(decode_depth_map(npy(values)), photo_of(), nearer_is_larger=False)
    assert found.values.max() == METRES.max()
    assert "5 of the depth map's pixels" in found.notes[0]


@pytest.mark.parametrize(
    ("values", "nearer"),
    [
        pytest.param((RAMP * 255).astype(np.uint8), False, id="8 bits from 25 on"),
        pytest.param(np.where(RAMP > 0.5, 0, RAMP * 255).astype(np.uint8), False, id="8 bits, 0"),
        pytest.param(DEEP - DEEP.min(), False, id="16 bits from 0 without a gap"),
        pytest.param(DEEP - DEEP.min(), True, id="16 bits, larger is nearer"),
        pytest.param(np.where(RAMP > 0.5, 60000, DEEP // 99).astype(np.uint16), True, id="near"),
        pytest.param(1 / METRES, True, id="disparity"),
        pytest.param(np.where(RAMP > 0.5, METRES, 30).astype(np.float32), False, id="a far wall"),
        pytest.param((RAMP * 2 - 1).astype(np.float32), False, id="from -1 to 1"),
    ],
)
def test_what_may_be_a_place_is_left_as_it_is(values, nearer):
    found = fit_depth_map(decode_depth_map(npy(values)), photo_of(), nearer)
    np.testing.assert_array_equal(found.values, values.astype(np.float32))
    assert found.notes == ()


def test_transparent_pixels_of_a_depth_map_are_a_sky():
    alpha = OPAQUE.copy()
    alpha[:10] = 0
    found = fit_depth_map(decode_depth_map(png16(DEEP, alpha)), photo_of(), nearer_is_larger=True)
    assert (found.values[:10] == DEEP.min()).all()
    np.testing.assert_array_equal(found.values[10:], DEEP[10:].astype(np.float32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_data_of_a_map_turn_it_as_they_turn_the_photo(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.fromarray((DEEP >> 8).astype(np.uint8))
    values = decode_depth_map(saved(image, exif=exif)).values
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(saved(image, exif=exif)))))
    np.testing.assert_array_equal(values, upright)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_map_of_the_photo_as_it_lies_on_disk_is_turned_with_it(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    lying = Image.fromarray((DEEP >> 8).astype(np.uint8))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(saved(lying, exif=exif)))))
    found = fit_depth_map(decode_depth_map(saved(lying)), photo_of(orientation=orientation), True)
    np.testing.assert_array_equal(found.values, upright)
    assert "turned upright as the photo was" in found.notes[0]


@pytest.mark.parametrize("size", [(W, W), (H, W * 3 // 4), (W, H), (H, W - 4), (7, 64)])
def test_a_map_of_another_aspect_is_refused_with_both_sizes(size):
    values = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size)
    with pytest.raises(ShotError, match=f"{size[1]} x {size[0]} pixels is no scale.*{W} x {H}"):
        fit_depth_map(decode_depth_map(npy(values)), photo_of(), True)


@pytest.mark.parametrize("size", [(H // 2, W // 2), (H * 2, W * 2), (12, 16), (H + 1, W + 1)])
def test_a_map_that_is_a_scale_of_the_photo_is_scaled_and_it_is_said(size):
    values = np.tile(np.linspace(0, 1, size[1], dtype=np.float32), (size[0], 1))
    found = fit_depth_map(decode_depth_map(npy(values)), photo_of(), True)
    assert found.values.shape == (H, W)
    assert found.notes == (f"The depth map of {size[1]} x {size[0]} was scaled to the photo.",)


def test_a_map_of_an_odd_photo_loses_the_same_row_and_column():
    values = np.arange(49 * 65, dtype=np.float32).reshape(49, 65)
    found = fit_depth_map(decode_depth_map(npy(values)), photo_of(49, 65), True)
    np.testing.assert_array_equal(found.values, values[:48, :64])
    assert found.notes == ()


@pytest.mark.parametrize("data", [npy(METRES)[:200], npz(a=METRES)[:300], png16(DEEP)[:150]])
def test_a_damaged_map_is_a_sentence(data):
    with pytest.raises(ShotError, match="depth map"):
        decode_depth_map(data)


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken():
    head = npy(np.zeros((2, 2), np.float32))
    start = head.index(b"(2, 2)")
    data = head[:start] + b"(9999999, 9999999), }" + head[start + 21 :]
    with pytest.raises(ShotError, match="9999999"):
        decode_depth_map(data)
