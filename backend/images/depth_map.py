"""Decodes depth maps from image, OpenEXR and NumPy files, and cleans and fits them to a photo."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from backend.images import exr
from backend.images.image_file import check_size, wrap_codec_errors
from backend.images.photo import Photo
from backend.images.raster import Raster, read_raster, upright
from protocol.errors import ShotError
from protocol.messages import Limits

Array = npt.NDArray[Any]

FIX = "Use an 8 or 16-bit PNG, a 32-bit EXR or a .npy file of shape (H, W)."
ARRAY_NAMES = ("depth", "depth_map", "depthmap", "disparity", "pred", "prediction", "arr_0")
"""Names by which the depth array of a .npz file is found, best first."""
MAX_CHANNEL_SPREAD = 0.06
"""Of white; largest difference of channels in a grey image, JPEG artefacts included."""
MAX_COLOURED_SHARE = 0.01
"""Share of pixels above that difference from which on a map is in false colours."""
ASPECT_TOLERANCE = 0.02
"""Relative tolerance of the aspect ratio: networks round both sides to their patch size."""
HALF_MAX, MIN_SKY_RATIO = 65504.0, 5.0
"""The largest half float; renderers write it, 1e10 or infinity for the sky. Such values are sky if
they are this many times larger than all others."""
MIN_OUTLIER_RATIO = 20.0
"""A plateau, or up to 1 % of the pixels, this many times farther than all others is sky."""
MIN_ZERO_GAP = 0.05
"""Of the range; a plateau at zero below a smaller gap is valid depth."""
MIN_STRAY_GAP = 5.0
"""Of the range of all others; minimum distance of stray values (outliers)."""
MAX_STRAYS, MAX_STRAY_SHARE = 4, 2e-4
"""Maximum number or share of stray pixels; a real near object is larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthMap:
    """A depth map.

    Attributes:
        values: (H, W) float32, upright; NaN for pixels that the file marks as unknown.
        bits: per value in the file; 32 for floating point.
        notes: sentences for the artist on how it was read.
    """

    values: Array
    bits: int
    notes: tuple[str, ...] = ()


def decode_depth_map(data: bytes, max_pixels: int = Limits().pixels) -> DepthMap:
    """Decode a depth map from the bytes of an image, EXR, .npy or .npz file.

    Raises:
        ShotError: another format, broken, too large, or not one value per pixel.
    """
    with wrap_codec_errors("depth map"):
        notes: tuple[str, ...] = ()
        if data[:6] == b"\x93NUMPY":
            values = _from_array(_load_npy(io.BytesIO(data), max_pixels))
        elif data[:4] == b"PK\3\4":
            values, notes = _from_npz(data, max_pixels)
        elif data[:4] == exr.MAGIC:
            values, notes = exr.read_depth(data, max_pixels)
            values = _from_array(values)
        else:
            values, notes = _from_raster(read_raster(data, "depth map", max_pixels))
    check_size("depth map", values.shape[0], values.shape[1], max_pixels)
    bits = 32 if values.dtype.kind == "f" else 8 * values.dtype.itemsize
    with np.errstate(over="ignore"):  # float32 overflow becomes infinity
        return DepthMap(values=values.astype(np.float32), bits=bits, notes=notes)


def fit_depth_map(depth_map: DepthMap, photo: Photo, nearer_is_larger: bool) -> DepthMap:
    """Resample a map to a photo's working size and make every value finite.

    Raises:
        ShotError: the aspect ratio is not the photo's, or no value is valid.
    """
    turned = _oriented(depth_map, photo)
    values, said = _fill_sky(turned, nearer_is_larger)
    notes = (*turned.notes, *said)
    if nearer_is_larger and turned.bits == 32:
        values, said = _clip_strays(values)
        notes += said
    height, width = photo.whole
    if values.shape != (height, width):
        # Nearest neighbour: interpolated depth would be between surfaces
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        was = turned.values.shape
        notes += (f"The depth map of {was[1]} x {was[0]} was scaled to the photo.",)
    height, width = photo.pixels.shape[:2]
    values = np.ascontiguousarray(values[:height, :width])
    return replace(depth_map, values=values, notes=notes)


def _from_raster(raster: Raster) -> tuple[Array, tuple[str, ...]]:
    """The values of an image whose channels are equal."""
    if raster.bits == 1:
        raise _depth_map_error("holds only black and white (1 bit a pixel), as a mask does")
    values = raster.values
    if raster.space not in ("grey", "rgb"):
        raise _depth_map_error(f"is a {raster.space.upper()} picture")
    if raster.space == "rgb":
        values = _one_channel(values, raster.top, raster.coloured_by_palette)
    if raster.alpha is not None and (raster.alpha == 0).any():
        values = np.where(raster.alpha == 0, np.float32(np.nan), values)
    notes = raster.notes
    if raster.inverted:
        notes += ("The depth map's 0 is white by its file, so it was read as it is shown.",)
    return upright(values, raster.orientation), notes


def _one_channel(values: Array, top: float, palette: bool = False) -> Array:
    """One of three equal channels.

    Raises:
        ShotError: they differ: the map is in false colours.
    """
    spread = values.max(-1).astype(np.float64) - values.min(-1)
    share = float((spread > MAX_CHANNEL_SPREAD * top).mean()) if spread.size else 0.0
    if share > MAX_COLOURED_SHARE:
        raise ShotError(
            "depth_map",
            f"The depth map is in false colours{' of a palette' if palette else ''}: red, green "
            f"and blue differ in {share:.0%} of its pixels, and colours have no order of depth.",
            "Save it in grey, best with 16 bits: Depth Anything's run.py has --grayscale, "
            "matplotlib's imsave cmap='gray'; the colours cannot be turned back.",
        )
    return values[..., 1]  # green: JPEG changes it least


def _load_npy(file: Any, max_pixels: int) -> Array:
    """Read a .npy file after its header was checked."""
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise _depth_map_error(f"holds {dtype} of shape {shape}, not one number a pixel")
    sides = [side for side in shape if side != 1]
    if len(sides) > 3 or int(np.prod(shape, dtype=object)) > 4 * max_pixels:
        raise _depth_map_error(f"holds an array of shape {shape}, not one number a pixel")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _from_npz(data: bytes, max_pixels: int) -> tuple[Array, tuple[str, ...]]:
    """The only array of a .npz file, or the one named as depth."""
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        names = [name[:-4] for name in whole.namelist() if name.endswith(".npy")]
        named = [name for wanted in ARRAY_NAMES for name in names if name.lower() == wanted]
        named += [name for name in names if "depth" in name.lower() and name not in named]
        if not names or (len(names) > 1 and not named):
            raise _depth_map_error(
                f"is a .npz file of {len(names)} arrays"
                + (f" ({', '.join(names[:8])}), none of them called depth" if names else "")
            )
        chosen = named[0] if len(names) > 1 else names[0]
        info = whole.getinfo(f"{chosen}.npy")
        if info.file_size > 8 * 4 * max_pixels + 4096:
            raise _depth_map_error(f"holds an array of {info.file_size / 1e6:.0f} MB")
        array = _load_npy(io.BytesIO(whole.read(info)), max_pixels)
    notes = (
        (f"Of the {len(names)} arrays of the depth map's file, {chosen} was used.",)
        if len(names) > 1
        else ()
    )
    return _from_array(array), notes


def _from_array(array: Array) -> Array:
    """(H, W) from an array that may have axes of length one, or equal channels."""
    kind = "floating point" if array.dtype.kind == "f" else str(array.dtype)
    if array.dtype.kind == "b":
        raise _depth_map_error("holds only true and false, as a mask does")
    if array.dtype.kind not in "fiu":
        raise _depth_map_error(f"holds {kind} of shape {array.shape}, not one number a pixel")
    shape = array.shape
    if array.ndim > 2:  # a batch of one, a channel of one
        array = array.reshape([side for side in shape if side != 1] or [1])
    if array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[-1] not in (2, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] in (2, 3, 4):
        if array.shape[-1] == 2:  # either may be the depth
            raise _depth_map_error(f"holds {array.dtype} of shape {shape}, two numbers a pixel")
        finite = array[..., :3][np.isfinite(array[..., :3])]
        array = _one_channel(array[..., :3], float(np.abs(finite).max(initial=0)) or 1.0)
    if array.ndim != 2 or array.size == 0:
        many = f"{shape[0]} maps" if array.ndim == 3 else "not one number a pixel"
        raise _depth_map_error(f"holds {array.dtype} of shape {shape}, {many}")
    return array


def _oriented(depth_map: DepthMap, photo: Photo) -> DepthMap:
    """The map, rotated as the photo was if it has the aspect ratio of the unrotated photo.

    Raises:
        ShotError: it has another aspect ratio.
    """
    values = depth_map.values
    if _is_scale_of(values.shape, photo.disk):
        return depth_map
    if photo.orientation >= 5 and _is_scale_of(values.shape[::-1], photo.disk):
        return replace(
            depth_map,
            values=np.ascontiguousarray(upright(values, photo.orientation)),
            notes=(*depth_map.notes, "The depth map was turned upright as the photo was."),
        )
    height, width = values.shape
    raise ShotError(
        "depth_map",
        f"The depth map of {width} x {height} pixels is no scale of the photo, which has "
        f"{photo.disk[1]} x {photo.disk[0]}: {width / height:.3f} against "
        f"{photo.disk[1] / photo.disk[0]:.3f} as wide as high.",
        "Make it from this photo, uncut, or cut the photo as the map was.",
    )


def _is_scale_of(shape: tuple[int, ...], photo: tuple[int, int]) -> bool:
    height, width = shape
    rounding = 0.5 / height + 0.5 / width
    return abs(width * photo[0] / (height * photo[1]) - 1.0) <= ASPECT_TOLERANCE + rounding


class _Invalid(NamedTuple):
    """A mask of invalid pixels, and their value in words."""

    mask: Array
    what: str


def _fill_sky(depth_map: DepthMap, nearer_is_larger: bool) -> tuple[Array, tuple[str, ...]]:
    """Replace sky and invalid values by the farthest valid one.

    These are NaN, infinity and renderers' values for the sky; in a map where larger is farther also
    a plateau at zero below a gap, or one far beyond all others.
    """
    values, whole = depth_map.values, depth_map.bits < 32
    unseen = ~np.isfinite(values)
    found = [_Invalid(unseen, "infinity or no number")] if unseen.any() else []
    if nearer_is_larger:
        rules = [] if whole else [_sky_threshold]
    else:
        # 8-bit values are not metres, and 0 is the nearest of them
        rules = (
            [_sky_threshold, _plateau_threshold]
            if depth_map.bits == 8
            else [_sky_threshold, _plateau_threshold, _zero_threshold]
        )
    for rule in rules:
        known = values[~unseen]
        if known.size and (value := rule(known)) is not None:
            mask = ~unseen & (values <= value if rule is _zero_threshold else values >= value)
            found.append(_Invalid(mask, f"{value:g}"))
            unseen = unseen | mask
    if unseen.all():
        raise ShotError(
            "depth_map",
            "No value of the depth map is a depth: all are infinity, no number, or too large.",
            "Use a depth map with finite, varied values.",
        )
    if not found:
        return values, ()
    known = values[~unseen]
    farthest = known.min() if nearer_is_larger else known.max()
    count = int(unseen.sum())
    note = (
        f"{count} of the depth map's pixels ({count / values.size:.1%}: "
        f"{', '.join(one.what for one in found)}) stand for nothing seen, as a sky; they were "
        f"taken as the farthest of the others, {farthest:g}."
    )
    notes = (note,)
    if nearer_is_larger and any(one.what[0].isdigit() for one in found):
        notes += (
            "Renderers write such values into depths in which larger is farther: "
            "say so, if near and far are changed round.",
        )
    return np.where(unseen, farthest, values), notes


def _sky_threshold(known: Array) -> float | None:
    """The smallest of the values that renderers write for the sky, if all others are far below."""
    huge, rest = known[known >= HALF_MAX], known[known < HALF_MAX]
    if not huge.size or not rest.size or rest.max() * MIN_SKY_RATIO > huge.min():
        return None
    return float(huge.min())


def _plateau_threshold(known: Array) -> float | None:
    """The value of a far plateau (a far clip), or the smallest of a few far outliers."""
    few = known[known > MIN_OUTLIER_RATIO * max(float(np.quantile(known, 0.99)), 0.0)]
    if few.size and few.size < known.size:
        return float(few.min())
    top = known.max()
    rest = known[known < top]
    if rest.size and rest.max() > rest.min() >= 0 and rest.max() * MIN_OUTLIER_RATIO <= top:
        return float(top)
    return None


def _zero_threshold(known: Array) -> float | None:
    """A plateau at or below zero with a gap above it: unknown depth in a metric map."""
    low = known.min()
    rest = known[known > low]
    if low > 0 or rest.size < 2 or known.size - rest.size < 2:
        return None
    first, last = rest.min(), rest.max()
    if first <= 0 or first == last or first - low < MIN_ZERO_GAP * (last - low):
        return None
    return float(low)


def _clip_strays(values: Array) -> tuple[Array, tuple[str, ...]]:
    """Clip stray disparities, which would compress all others into a part of the range.

    Stereo matching and divisions by almost zero leave them at either end.
    """
    known = values.ravel()
    above, below = _largest_inlier(known), -_largest_inlier(-known)
    count = int(((known > above) | (known < below)).sum())
    if not count:
        return values, ()
    note = (
        f"{count} of the depth map's pixels lie far from all others, which are from {below:g} to "
        f"{above:g}; they were taken as the nearest of these values."
    )
    return values.clip(below, above), (note,)


def _largest_inlier(known: Array) -> float:
    """The largest value, or the largest below a wide gap if strays lie above it."""
    count = max(MAX_STRAYS, int(MAX_STRAY_SHARE * known.size))
    if known.size <= 2 * count:
        return float(known.max())
    # The range that the gap is compared with excludes strays below
    sides = np.partition(known, (count, known.size - 1 - count))
    top = np.sort(sides[-1 - count :]).astype(np.float64)
    width = top[:-1] - float(sides[count])
    wide = (width > 0) & (np.diff(top) > MIN_STRAY_GAP * width)
    return float(top[wide.argmax()] if wide.any() else top[-1])


def _depth_map_error(why: str) -> ShotError:
    return ShotError("depth_map", f"The depth map {why}.", FIX)
