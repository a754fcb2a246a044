"""Fitting a photo into the frame size of an engine: crop, pad or squash."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.contracts import Camera, Lift, Motion, Shot
from backend.geometry.body import add_bodies, cloud_from_shot
from backend.geometry.lift import cloud_from_lift
from backend.geometry.splat import render_motion

Size = tuple[int, int]
"""(height, width)."""
Window = tuple[int, int, int, int]
"""(top, left, height, width), whole pixels."""
KINDS = ("crop", "pad", "squash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The mapping of a photo to a frame: ``source`` of the photo is resized to ``target``.

    Attributes:
        photo: size of the photo.
        frame: size of the frame.
        source: window of the photo that is shown.
        target: window of the frame that shows it.
    """

    photo: Size
    frame: Size
    source: Window
    target: Window

    @property
    def scale(self) -> tuple[float, float]:
        """Frame pixels per photo pixel: (vertical, horizontal)."""
        return self.target[2] / self.source[2], self.target[3] / self.source[3]

    def intrinsics(self, photo: Tensor) -> Tensor:
        """``(..., 3, 3)`` of the same lens in the frame's pixels."""
        (down, across), (top, left, _, _) = self.scale, self.source
        frame_from_photo = photo.new_tensor(
            [
                [across, 0.0, self.target[1] - across * left],
                [0.0, down, self.target[0] - down * top],
                [0.0, 0.0, 1.0],
            ]
        )
        return frame_from_photo @ photo

    def image(self, photo: Tensor) -> Tensor:
        """``(C, H, W)`` in [0, 1] of the frame's size; padding replicates the photo's edge."""
        top, left, height, width = self.source
        shown = photo[None, :, top : top + height, left : left + width]
        size = self.target[2:]
        if size != (height, width):
            shown = F.interpolate(
                shown, size=size, mode="bicubic", antialias=True, align_corners=False
            ).clamp(0.0, 1.0)
        above, before = self.target[:2]
        below, after = self.frame[0] - above - size[0], self.frame[1] - before - size[1]
        return F.pad(shown, (before, after, above, below), mode="replicate")[0]

    @property
    def shown(self) -> tuple[float, float, float, float]:
        """Window of the photo that :meth:`frames` shows: top, left, height, width in its pixels."""
        top, left, height, width = self.source
        if self._is_squashed:
            return top, left, height, width
        down, across = self.scale
        return top, left, self.target[2] // 2 * 2 / down, self.target[3] // 2 * 2 / across

    @property
    def _is_squashed(self) -> bool:
        down, across = self.scale
        return (
            abs(down / across - 1) >= 0.02
        )  # below, it is the rounding of windows to whole pixels

    def nearest(self, values: Tensor, outside: float) -> Tensor:
        """``(..., H, W)`` of the photo as ``(..., h, w)`` of the frame, by nearest neighbour.

        For ids and depth, which must not be interpolated. ``outside`` is the value of padding.
        """
        (top, left, height, width), (above, before, rows, columns) = self.source, self.target
        row = ((torch.arange(rows, device=values.device) + 0.5) * height / rows).long() + top
        column = ((torch.arange(columns, device=values.device) + 0.5) * width / columns).long()
        fitted = values.new_full((*values.shape[:-2], *self.frame), outside)
        shown = values[..., row[:, None], (column + left)[None]]
        fitted[..., above : above + rows, before : before + columns] = shown
        return fitted

    def frames(self, rendered: Tensor) -> Tensor:
        """An engine's frames without padding and in the photo's aspect ratio.

        Args:
            rendered: ``(F, C, h, w)`` of the frame's size.

        Returns:
            ``(F, C, h', w')``, even sizes, since video needs them.
        """
        top, left, height, width = self.target
        shown = rendered[:, :, top : top + height, left : left + width]
        if not self._is_squashed:
            return shown[:, :, : height // 2 * 2, : width // 2 * 2]
        down, across = self.scale
        # Undo a squash by enlarging one side; neither loses pixels.
        wanted = (
            _rounded_to_even(max(height, height * across / down)),
            _rounded_to_even(max(width, width * down / across)),
        )
        return F.interpolate(
            shown, size=wanted, mode="bicubic", antialias=True, align_corners=False
        ).clamp(0.0, 1.0)


def fit_photo(photo: Size, frame: Size, kind: str) -> Fit:
    """Fit a photo into a frame.

    Args:
        photo: its size.
        frame: size to fill.
        kind: ``crop`` fills the frame with the photo's centre; ``pad`` shows all of the photo,
            centred; ``squash`` resizes it to the frame and changes its aspect ratio.

    Raises:
        ValueError: the kind is unknown or a size is not positive.
    """
    if kind not in KINDS:
        raise ValueError(f"a fit is one of {', '.join(KINDS)}, got {kind!r}")
    if min(*photo, *frame) < 1:
        raise ValueError(f"sizes must be positive, got {photo} and {frame}")
    source, target = (0, 0, *photo), (0, 0, *frame)
    if kind == "crop":
        source = _centred_window(photo, frame)
    elif kind == "pad":
        target = _centred_window(frame, photo)
    return Fit(photo=photo, frame=frame, source=source, target=target)


def render_fitted(shot: Shot, fit: Fit | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """(instance, depth) of every frame of a shot, seen through the frame of ``fit``.

    All of the photo's points are rendered, also those outside a crop, since a moving camera may
    bring them into view. Bodies are sampled at the density of the frame's pixels.
    """
    if fit is None:
        return render_motion(cloud_from_shot(shot), shot.lift.camera, shot.motion)
    lift, instance = _resampled_nearest(shot.lift, shot.instance, fit.scale)
    height, width = fit.frame
    camera = Camera(
        intrinsics=fit.intrinsics(shot.lift.camera.intrinsics), height=height, width=width
    )
    motion = Motion(
        moved_from_rest=shot.motion.moved_from_rest,
        camera_from_world=shot.motion.camera_from_world,
        intrinsics=fit.intrinsics(shot.motion.intrinsics),
    )
    front = cloud_from_lift(lift, instance)
    cloud = add_bodies(front, lift, instance, shot.thickness)
    return render_motion(cloud, camera, motion)


def _resampled_nearest(
    lift: Lift, instance: Tensor, scale: tuple[float, float]
) -> tuple[Lift, Tensor]:
    """Depth and ids resized by nearest neighbour, with a point per pixel of the scaled photo.

    Interpolated depth would place points between a near and a far surface.
    """
    height, width = lift.depth.shape
    rows = max(1, round(height * scale[0]))
    columns = max(1, round(width * scale[1]))
    down, across = rows / height, columns / width
    row = ((torch.arange(rows, device=lift.depth.device) + 0.5) / down).long()
    column = ((torch.arange(columns, device=lift.depth.device) + 0.5) / across).long()
    scaled = torch.diag(lift.camera.intrinsics.new_tensor([across, down, 1.0]))
    camera = Camera(intrinsics=scaled @ lift.camera.intrinsics, height=rows, width=columns)
    depth = lift.depth[row[:, None], column[None]]
    return replace(lift, depth=depth, camera=camera), instance[row[:, None], column[None]]


def _centred_window(whole: Size, shape: Size) -> Window:
    """The largest centred window of ``whole`` with the aspect ratio of ``shape``."""
    height = min(whole[0], max(1, round(whole[1] * shape[0] / shape[1])))
    width = min(whole[1], max(1, round(whole[0] * shape[1] / shape[0])))
    return (whole[0] - height) // 2, (whole[1] - width) // 2, height, width


def _rounded_to_even(length: float) -> int:
    return max(2, 2 * round(length / 2))
