"""A photo's frame and the frame an engine works in: which part becomes which."""

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
from backend.geometry.lift import cloud_from_lift
from backend.geometry.shape import cloud_from_shot, with_bodies
from backend.geometry.splat import render_motion

Size = tuple[int, int]
"""(height, width)."""
Window = tuple[int, int, int, int]
"""(top, left, height, width), whole pixels."""
KINDS = ("crop", "pad", "squash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a photo fills a frame: ``source`` of the photo becomes ``target`` of the frame.

    Attributes:
        photo: size of the photo.
        frame: size of the frame.
        source: the part of the photo that is shown.
        target: the part of the frame it is shown in.
    """

    photo: Size
    frame: Size
    source: Window
    target: Window

    @property
    def scale(self) -> tuple[float, float]:
        """Frame pixels a photo pixel: (down, across)."""
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
        """``(C, H, W)`` in [0, 1] of the frame's size; what pads repeats the photo's edge."""
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
        """The part of the photo that :meth:`frames` shows: top, left, height, width, its pixels."""
        top, left, height, width = self.source
        if self._squashed:
            return top, left, height, width
        down, across = self.scale
        return top, left, self.target[2] // 2 * 2 / down, self.target[3] // 2 * 2 / across

    @property
    def _squashed(self) -> bool:
        down, across = self.scale
        return abs(down / across - 1) >= 0.02  # less is the windows' rounding to whole pixels

    def nearest(self, values: Tensor, outside: float) -> Tensor:
        """``(..., H, W)`` of the photo as ``(..., h, w)`` of the frame, without blending.

        For ids and depth: a blend of two is a thing that is nowhere. ``outside`` is what pads.
        """
        (top, left, height, width), (above, before, rows, columns) = self.source, self.target
        row = ((torch.arange(rows, device=values.device) + 0.5) * height / rows).long() + top
        column = ((torch.arange(columns, device=values.device) + 0.5) * width / columns).long()
        fitted = values.new_full((*values.shape[:-2], *self.frame), outside)
        shown = values[..., row[:, None], (column + left)[None]]
        fitted[..., above : above + rows, before : before + columns] = shown
        return fitted

    def frames(self, rendered: Tensor) -> Tensor:
        """What an engine made, without padding and in the photo's proportions.

        Args:
            rendered: ``(F, C, h, w)`` of the frame's size.

        Returns:
            ``(F, C, h', w')``, even sizes, since video needs them.
        """
        top, left, height, width = self.target
        shown = rendered[:, :, top : top + height, left : left + width]
        if not self._squashed:
            return shown[:, :, : height // 2 * 2, : width // 2 * 2]
        down, across = self.scale
        # A squash keeps every line or column it has, and stretches the other way.
        wanted = (
            _even(max(height, height * across / down)),
            _even(max(width, width * down / across)),
        )
        return F.interpolate(
            shown, size=wanted, mode="bicubic", antialias=True, align_corners=False
        ).clamp(0.0, 1.0)


def fit_photo(photo: Size, frame: Size, kind: str) -> Fit:
    """Fit a photo into a frame.

    Args:
        photo: its size.
        frame: size to fill.
        kind: ``crop`` fills the frame with the photo's middle; ``pad`` shows all of the photo
            in the middle of the frame; ``squash`` shows all of it and gives up its proportions.

    Raises:
        ValueError: the kind is unknown or a size is not positive.
    """
    if kind not in KINDS:
        raise ValueError(f"a fit is one of {', '.join(KINDS)}, got {kind!r}")
    if min(*photo, *frame) < 1:
        raise ValueError(f"sizes must be positive, got {photo} and {frame}")
    source, target = (0, 0, *photo), (0, 0, *frame)
    if kind == "crop":
        source = _middle(photo, frame)
    elif kind == "pad":
        target = _middle(frame, photo)
    return Fit(photo=photo, frame=frame, source=source, target=target)


def render_fitted(shot: Shot, fit: Fit | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """(instance, depth) of every frame of a shot, seen through the frame of ``fit``.

    All of the photo's points take part, also those a crop leaves out: a camera that moves may
    bring them into view. Instances have their bodies, in sheets as dense as the frame's pixels.
    """
    if fit is None:
        return render_motion(cloud_from_shot(shot), shot.lift.camera, shot.motion)
    lift, instance = _resampled(shot.lift, shot.instance, fit.scale)
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
    cloud = with_bodies(front, lift, instance, shot.thickness)
    return render_motion(cloud, camera, motion)


def _resampled(lift: Lift, instance: Tensor, scale: tuple[float, float]) -> tuple[Lift, Tensor]:
    """Depth and ids with a point for every pixel of the scaled photo.

    By the nearest neighbour: a depth between near and far is a place where nothing is.
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


def _middle(whole: Size, shape: Size) -> Window:
    """The largest window in the middle of ``whole`` with the proportions of ``shape``."""
    height = min(whole[0], max(1, round(whole[1] * shape[0] / shape[1])))
    width = min(whole[1], max(1, round(whole[0] * shape[1] / shape[0])))
    return (whole[0] - height) // 2, (whole[1] - width) // 2, height, width


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
