"""What a generated video is measured by, as pure functions of arrays; in float64.

Legend
    F frames, N points or instances, H x W pixels; positions are (x, y) pixels
    arrays are numpy or torch, on any device
    videos and pictures are ``(..., C, H, W)``, or ``(..., H, W, 3)`` as files have them; floats in
    [0, 1], or integers in 0..255, which are divided by 255
    a metric of nothing (no visible point, two empty masks) is NaN, never 0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.evaluation.frechet import Array, Floats, as_floats
from backend.evaluation.frechet import GaussianStatistics as GaussianStatistics
from backend.evaluation.frechet import frechet_distance as frechet_distance
from backend.evaluation.frechet import gaussian_of as gaussian_of
from backend.evaluation.intervals import Interval as Interval
from backend.evaluation.intervals import bootstrap_frechet as bootstrap_frechet
from backend.evaluation.intervals import bootstrap_interval as bootstrap_interval
from backend.evaluation.intervals import bootstrap_statistic as bootstrap_statistic

NAN = float("nan")
SSIM_WINDOW, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03
OCCLUSION_PIXELS = 16
"""Fewer pixels where two things overlap are no occlusion event: edges alone may be wrong there."""


def trajectory_error(
    generated: Array,
    target: Array,
    visible: Array,
    published: bool = False,
    size: tuple[int, int] | None = None,
) -> float:
    """ObjMC: the mean distance in pixels of tracked points from where they should be.

    Source: Li et al. 2024, "Image Conductor", section 4.1 (mean distance of CoTracker's tracks);
    DragAnything's script, which LeviTor and SG-I2V follow, counts every frame and point. Ours
    departs: in frame 0 tracks start where the target does, and a point that cannot be seen cannot
    be tracked, so neither counts.

    Args:
        generated: ``(F, N, 2)``, tracked in the generated video.
        target: ``(F, N, 2)``.
        visible: ``(F, N)`` bool, of the target.
        published: count frame 0 and hidden points, as the papers' numbers do.
        size: (height, width); with it, points outside of the image do not count.

    Returns:
        NaN if nothing counts.

    Raises:
        ValueError: shapes that do not belong together; a point that counts is not a number.
    """
    found, wanted = as_floats(generated), as_floats(target)
    if found.ndim != 3 or found.shape[-1] != 2 or found.shape != wanted.shape:
        raise ValueError(f"tracks must both be (F, N, 2), got {found.shape} and {wanted.shape}")
    counted = counted_points(wanted, visible, published, size)
    return _mean_distance(found[counted], wanted[counted])


def counted_points(
    target: Array,
    visible: Array,
    published: bool = False,
    size: tuple[int, int] | None = None,
) -> npt.NDArray[np.bool_]:
    """``(F, N)``: the points and frames that :func:`trajectory_error` is the mean of.

    Args:
        target: as of it.
        visible: likewise.
        published: likewise.
        size: likewise.
    """
    wanted, seen = as_floats(target), as_floats(visible) > 0
    if seen.shape != wanted.shape[:2]:
        raise ValueError(f"visible must be {wanted.shape[:2]}, got {seen.shape}")
    if published:
        return np.ones_like(seen)
    seen = seen.copy()
    seen[:1] = False
    if size is not None:
        seen &= ((wanted >= 0) & (wanted < [size[1], size[0]])).all(-1)
    return seen


def camera_motion_error(
    generated: Array,
    target: Array,
    visible: Array,
    instance: Array,
    published: bool = False,
    size: tuple[int, int] | None = None,
) -> float:
    """CamMC: :func:`trajectory_error` of the background's points, those of instance 0.

    Source: Image Conductor, section 4.1; not MotionCtrl's, which compares estimated camera poses.

    Args:
        generated: ``(F, N, 2)``.
        target: ``(F, N, 2)``.
        visible: ``(F, N)`` bool.
        instance: ``(N,)``, what each point is on; 0 is the background.
        published: as of :func:`trajectory_error`.
        size: likewise.
    """
    own = as_floats(instance) == 0
    parts = (as_floats(part)[:, own] for part in (generated, target, visible))
    return trajectory_error(*parts, published=published, size=size)


def mask_iou(a: Array, b: Array) -> float:
    """Pixels in both masks over pixels in either; NaN if both are empty.

    Args:
        a: bool, any shape; of a sequence of masks all pixels count together.
        b: likewise.
    """
    first, second = as_floats(a) != 0, as_floats(b) != 0
    if first.shape != second.shape:
        raise ValueError(f"masks of shape {first.shape} and {second.shape}")
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else NAN


def endpoint_error(flow: Array, truth: Array) -> float:
    """EPE: the mean length in pixels of the difference of two flows.

    Source: Otte and Nagel 1994; Baker et al. 2011, "A database and evaluation methodology for
    optical flow", section 4.1.

    Args:
        flow: ``(..., H, W, 2)`` or ``(..., 2, H, W)``, (x, y) pixels.
        truth: likewise; pixels that are not numbers are unknown and do not count.
    """
    found, wanted = _flow(flow), _flow(truth)
    if found.shape != wanted.shape:
        raise ValueError(f"flows of shape {found.shape} and {wanted.shape}")
    known = np.isfinite(wanted).all(-1)
    return _mean_distance(found[known], wanted[known])


def motion_diff(flow: Array, truth: Array) -> float:
    """Motion-Diff: :func:`endpoint_error` divided by the image's width.

    The thesis names a "difference" of UniMatch's flow maps without a norm or a unit; this is ours.
    """
    error = endpoint_error(flow, truth)
    return error / _flow(flow).shape[-2] if np.isfinite(error) else error


def ssim(a: Array, b: Array) -> float:
    """Structural similarity of each frame and channel, averaged; 1 for equal videos.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural
    similarity", eq. 13: window of 11 with sigma 1.5, K1 0.01, K2 0.03, range 1; as theirs, over
    the pixels whose window lies in the image.

    Raises:
        ValueError: sizes that differ or are below the window's.
    """
    first, second = _pictures(a, b)
    height, width = first.shape[-2:]
    if first.size == 0:
        return NAN
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM takes at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels")
    channels = first.shape[-3] if first.ndim > 2 else 1
    frames = [torch.from_numpy(one.reshape(-1, channels, height, width)) for one in (first, second)]
    return float(np.mean([_ssim(x, y) for x, y in zip(*frames, strict=True)]))


def psnr(a: Array, b: Array) -> float:
    """Peak signal-to-noise ratio in dB of each frame, averaged; infinite if one is equal.

    ``-10 log10(MSE)`` for a range of 1.
    """
    first, second = _pictures(a, b)
    if first.size == 0:
        return NAN
    frames = int(np.prod(first.shape[:-3]))
    error = ((first - second) ** 2).reshape(frames, -1).mean(1)
    with np.errstate(divide="ignore"):
        return float((-10 * np.log10(error)).mean())


def box_centre_error(found: Array, truth: Array, visible: Array) -> float:
    """The mean distance in pixels of boxes' centres.

    Args:
        found: ``(..., 4)``, (x1, y1, x2, y2).
        truth: ``(..., 4)``.
        visible: ``(...)`` bool, whether a box counts.
    """
    one, other = as_floats(found), as_floats(truth)
    counted = as_floats(visible) > 0
    if one.shape != other.shape or one.shape != (*counted.shape, 4):
        raise ValueError(f"boxes of shape {one.shape} and {other.shape}, visible {counted.shape}")
    one, other = one[counted], other[counted]
    return _mean_distance((one[:, :2] + one[:, 2:]) / 2, (other[:, :2] + other[:, 2:]) / 2)


def yaw_error(found: Array, truth: Array) -> float:
    """The mean angle in degrees between yaws in degrees, 180 at most; NaN values do not count."""
    one, other = as_floats(found), as_floats(truth)
    if one.shape != other.shape:
        raise ValueError(f"yaws of shape {one.shape} and {other.shape}")
    apart = np.abs((one - other + 180) % 360 - 180)
    apart = apart[np.isfinite(apart)]
    return float(apart.mean()) if apart.size else NAN


def yaw_of(rotation: Array) -> Floats:
    """Degrees by which ``(..., 3, 3)`` rotations turn the z axis about y, in OpenCV axes."""
    matrix = as_floats(rotation)
    return np.degrees(np.arctan2(matrix[..., 0, 2], matrix[..., 2, 2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class OcclusionEvent:
    """Two things of which one hides part of the other in a frame.

    Attributes:
        frame: its number.
        front: id of the nearer one.
        behind: id of the other one.
        pixels: ``(H, W)`` bool, where both are and the nearer one is to be seen.
    """

    frame: int
    front: int
    behind: int
    pixels: npt.NDArray[np.bool_]


def occlusion_events(
    covered: Array, truth: Array, ids: Array, pixels: int = OCCLUSION_PIXELS
) -> Iterator[OcclusionEvent]:
    """Every frame and pair of things that overlap there, one at a time.

    Args:
        covered: ``(N, F, H, W)`` bool, where each thing is, hidden parts included.
        truth: ``(F, H, W)`` ids that are to be seen.
        ids: ``(N,)`` of the things.
        pixels: an event has at least so many.
    """
    whole, shown = as_floats(covered) > 0, as_floats(truth)
    names = [int(item) for item in as_floats(ids)]
    if whole.ndim != 4 or whole.shape[0] != len(names) or whole.shape[1:] != shown.shape:
        raise ValueError(f"things {whole.shape} of {len(names)} ids in frames {shown.shape}")
    for frame in range(len(shown)):
        for front, name in enumerate(names):
            seen = whole[front, frame] & (shown[frame] == name)
            for behind, other in enumerate(names):
                if behind == front:
                    continue
                both = seen & whole[behind, frame]
                if both.sum() >= max(1, pixels):
                    yield OcclusionEvent(frame=frame, front=name, behind=other, pixels=both)


def occlusion_order_accuracy(
    found: Array, covered: Array, truth: Array, ids: Array, pixels: int = OCCLUSION_PIXELS
) -> float:
    """The share of occlusion events in which most of the pixels show the right one in front.

    Args:
        found: ``(F, H, W)`` ids that the generated video shows.
        covered: ``(N, F, H, W)`` bool.
        truth: ``(F, H, W)`` ids.
        ids: ``(N,)``.
        pixels: an event has at least so many.

    Returns:
        NaN if nothing hides anything.
    """
    shown = as_floats(found)
    right = [
        float((shown[event.frame][event.pixels] == event.front).mean() > 0.5)
        for event in occlusion_events(covered, truth, ids, pixels)
    ]
    return float(np.mean(right)) if right else NAN


def _mean_distance(found: Floats, wanted: Floats) -> float:
    if found.size == 0:
        return NAN
    if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        raise ValueError("a position that counts is not a number")
    return float(np.linalg.norm(found - wanted, axis=-1).mean())


def _flow(flow: Array) -> Floats:
    values = as_floats(flow)
    if values.ndim >= 3 and values.shape[-1] == 2:
        return values
    if values.ndim >= 3 and values.shape[-3] == 2:
        return np.moveaxis(values, -3, -1)
    raise ValueError(f"a flow must be (..., H, W, 2) or (..., 2, H, W), got {values.shape}")


def _pictures(a: Array, b: Array) -> tuple[Floats, Floats]:
    first, second = _picture(a), _picture(b)
    if first.shape != second.shape:
        raise ValueError(f"pictures of shape {first.shape} and {second.shape}")
    return first, second


def _picture(values: Array) -> Floats:
    floats = as_floats(values)
    if floats.ndim < 2:
        raise ValueError(f"a picture must end in (H, W), got {floats.shape}")
    if not np.isfinite(floats).all():
        raise ValueError("a picture has values that are not numbers")
    if floats.ndim > 2 and floats.shape[-1] == 3 and floats.shape[-3] != 3:
        floats = np.moveaxis(floats, -1, -3)
    return floats / 255 if _integral(values) else floats


def _integral(values: Array) -> bool:
    if isinstance(values, Tensor):
        return not values.dtype.is_floating_point
    return np.issubdtype(np.asarray(values).dtype, np.integer)


def _ssim(a: Tensor, b: Tensor) -> float:
    """Of ``(C, H, W)`` pictures, the mean over channels and pixels."""
    mean_a, mean_b, square_a, square_b, product = _windowed(
        torch.stack([a, b, a * a, b * b, a * b])
    )
    spread_a, spread_b = square_a - mean_a**2, square_b - mean_b**2
    together = product - mean_a * mean_b
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    above = (2 * mean_a * mean_b + c1) * (2 * together + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2)
    return float((above / below).mean())


def _windowed(planes: Tensor) -> Tensor:
    """``(..., H, W)`` averaged by the Gaussian window, where all of it lies in the plane."""
    offset = torch.arange(SSIM_WINDOW, dtype=planes.dtype) - SSIM_WINDOW // 2
    weight = torch.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
    weight = weight / weight.sum()
    one_by_one = planes.reshape(-1, 1, *planes.shape[-2:])
    rows = F.conv2d(one_by_one, weight[None, None, :, None])
    found = F.conv2d(rows, weight[None, None, None, :])
    return found.reshape(*planes.shape[:-2], *found.shape[-2:])
