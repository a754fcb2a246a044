"""LeviTor's control signal: control points drawn as heat, id and depth maps. No weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from backend.contracts import Control, Frames, MaskSequence
from backend.control.levitor import Point, points_from_masks, stamp_points
from backend.control.preview import Look, look_at_masks
from backend.engines.base import Scalar
from backend.engines.levitor.spec import FRAMES, LONG_SIDE, SHORT_SIDE
from backend.geometry.fit import Fit, Size, fit_photo
from protocol.errors import ShotError


@dataclass(frozen=True, slots=True, kw_only=True)
class LevitorSignal:
    """What the networks are told, and what it was made of.

    Attributes:
        maps: ``(F, 3, h, w)`` float32, raw values 0..255: heat, id, depth.
        points: (row, col, id, depth) of every frame, pixels of the networks' frame and 0..255.
        masks: what is seen where in that frame.
        fit: how the photo fills it.
    """

    maps: Tensor
    points: Sequence[Sequence[Point]]
    masks: MaskSequence
    fit: Fit


def encode(control: Control, options: Mapping[str, Scalar]) -> LevitorSignal:
    """Masks in the networks' frame, clustered to points, stamped.

    Raises:
        ShotError: fewer than 2 frames, a size or a guidance that cannot be, or an instance that is
            never seen.
    """
    frames = control.num_frames
    if frames < 2:
        raise ShotError(
            "frames", f"The shot has {frames} frame, LeviTor needs 2 or more.", "Use 16."
        )
    first, last = float(options["guidance_min"]), float(options["guidance_max"])
    if last < first:
        raise ShotError(
            "option",
            f"The guidance of the last frame, {last:g}, is below the first frame's, {first:g}.",
            "Set it to that or more.",
        )
    fit = fit_of(control, options)
    masks = control.masks(fit)
    try:
        points = points_from_masks(
            masks,
            masks.moving,
            masks.near,
            masks.far,
            ratio=float(options["point_ratio"]),
            anchors=control.anchors,
        )
    except ValueError as error:
        raise ShotError(
            "instances",
            f"{str(error)[:1].upper()}{str(error)[1:]}.",
            "Move it into the picture, or set Fit to 'pad'.",
        ) from error
    maps = stamp_points(points, *fit.frame)
    return LevitorSignal(maps=maps, points=points, masks=masks, fit=fit)


def show(control: Control, signal: LevitorSignal, look: Look) -> Frames:
    """The points over their masks, in the networks' own frame."""
    del control
    return look_at_masks(signal.masks, look.fitted(signal.fit), signal.points)


def notes(control: Control, options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Where a shot leaves what the network was trained on, or what moves leaves the frame."""
    frames = control.num_frames
    fit = fit_of(control, options)
    height, width = fit.frame
    told: list[str] = []
    if {height, width} != {LONG_SIDE, SHORT_SIDE}:
        told.append(
            f"LeviTor was trained on 512 x 288 and 288 x 512; {width} x {height} may look worse."
        )
    if frames != FRAMES:
        told.append(f"LeviTor was trained on {FRAMES} frames; {frames} may look worse.")
    masks = control.masks(fit)
    for item in range(1, masks.moving + 1):
        if missing := int((masks.instance != item).flatten(1).all(1).sum()):
            told.append(
                f"Instance {item} is out of sight in {missing} of {frames} frames; nothing "
                "tells the network where it is there."
            )
    return tuple(told)


def shown(control: Control, options: Mapping[str, Scalar]) -> tuple[float, float, float, float]:
    """What the fit shows of the photo."""
    return fit_of(control, options).shown


def fit_of(control: Control, options: Mapping[str, Scalar]) -> Fit:
    """How the photo fills the networks' frame.

    Raises:
        ShotError: the frame's size cannot be.
    """
    height, width = control.image.shape[-2:]
    size = frame_size((height, width), int(options["width"]), int(options["height"]))
    return fit_photo((height, width), size, str(options["fit"]))


def frame_size(photo: Size, width: int, height: int) -> Size:
    """(height, width) of the networks' frame; 0 is what they were trained on, as the photo lies.

    Raises:
        ShotError: a side is not a multiple of 8, or smaller than 64.
    """
    long_ways = photo[1] > photo[0]
    size = (
        height or (SHORT_SIDE if long_ways else LONG_SIDE),
        width or (LONG_SIDE if long_ways else SHORT_SIDE),
    )
    if size[0] % 8 or size[1] % 8 or min(size) < 64:
        usable = [max(64, side // 8 * 8) for side in reversed(size)]
        raise ShotError(
            "option",
            f"A frame of {size[1]} x {size[0]} pixels has a side that is below 64 or not a "
            "multiple of 8.",
            f"Use {usable[0]} x {usable[1]}, or 0 for the trained size.",
        )
    return size
