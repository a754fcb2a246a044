"""A photo cut up: a clean plate, and one cut-out layer for everything that was picked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.compose.fill import dilate, erode, pull_push
from backend.compose.matte import matte
from backend.contracts import Camera, Shot
from backend.geometry.camera import unproject
from backend.geometry.motion import camera_from_rest, is_still
from backend.geometry.shape import growth

RING = 3
"""Pixels around a mask that a layer keeps with alpha 0, so that its edge fades inside the layer."""
HALO = 3
"""Pixels around a mask that still show some of the instance and are no clean background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A cut-out: h x w pixels around something, with depth.

    Attributes:
        top: row of its first pixel in the photo.
        left: column of its first pixel in the photo.
        rgb: ``(3, h, w)``; beyond the instance its own colours go on, so no edge shows a fringe.
        alpha: ``(h, w)``, 1 inside, 0 outside, soft at the edge.
        xyz: ``(3, h, w)`` rest positions.
        support: ``(h, w)`` bool; pixels outside it are not part of the layer.
        trust: ``(h, w)``, 1 where a pixel is the photo's own, 0 where it was filled in.
        matrix: index into the second axis of ``Layers.camera_from_rest``.
        back: how many times larger than the layer, seen from the photo's camera, the back of its
            body lies; 1 is no body.
    """

    top: int
    left: int
    rgb: Tensor
    alpha: Tensor
    xyz: Tensor
    support: Tensor
    trust: Tensor
    matrix: int
    back: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What a draft's frames are composed of.

    Attributes:
        plate: the photo without what moves.
        plate_depth: ``(H, W)`` of the plate.
        layers: moving instances; then, if the camera moves, picked static ones too.
        covers: ``(H, W)`` alpha and depth of each picked static instance while the camera is still:
            it is part of the plate and comes back in front of what passes behind it.
        camera_from_rest: ``(F, N + 1, 4, 4)`` float64.
        rest: ``(F,)`` bool; nothing has moved in these frames, so they are the photo.
        camera: of every frame.
    """

    plate: Layer
    plate_depth: Tensor
    layers: tuple[Layer, ...]
    covers: tuple[tuple[Tensor, Tensor], ...]
    camera_from_rest: Tensor
    rest: Tensor
    camera: Camera

    @property
    def camera_moves(self) -> bool:
        """Whether what stays in the world moves in the picture."""
        return not bool(is_still(self.camera_from_rest[:, 0]).all())


def cut_layers(shot: Shot, softness: float = 1.0) -> Layers:
    """Cut a shot's photo into a plate and layers.

    Args:
        shot: the shot.
        softness: least width of the soft edge of a layer, pixels; hair and spokes are softer.
    """
    lift, instance = shot.lift, shot.instance
    moving = range(1, shot.motion.moved_from_rest.shape[1] + 1)
    matrices = camera_from_rest(shot.motion, lift.camera)
    camera_still = bool(is_still(matrices[:, 0]).all())

    moving_mask = (instance >= 1) & (instance <= len(moving))
    static_masks = [instance == item for item in shot.static]
    picked = moving_mask.clone()
    for mask in static_masks:
        picked |= mask
    # Only true background may flow into the holes, neither the instances nor their halo.
    known = ~dilate(picked, HALO)
    rgb = pull_push(lift.image, known.float())
    depth = 1.0 / pull_push(1.0 / lift.depth[None], known.float())[0].clamp(min=1e-9)
    if not bool(known.any()):  # everything is picked: the photo is the best plate there is
        rgb, depth = lift.image, lift.depth
    rest = is_still(matrices).all(1)
    rest[0] = True  # by the rules of a shot, up to their tolerance
    static_mask = picked & ~moving_mask
    stays = ~dilate(moving_mask, HALO) | static_mask if camera_still else known
    rgb = torch.where(stays, lift.image, rgb)
    depth = torch.where(stays, lift.depth, depth)
    own = stays if bool(known.any()) else torch.ones_like(stays)

    thick = shot.thickness.get
    layers = [
        _layer(lift.image, lift.depth, instance == i, lift.camera, softness, i, thick(i, 0.0))
        for i in moving
    ]
    covers: list[tuple[Tensor, Tensor]] = []
    for item, mask in zip(shot.static, static_masks, strict=True):
        if camera_still:
            covers.append((matte(lift.image, mask, softness), _inside_depth(lift.depth, mask)))
        else:
            layers.append(
                _layer(lift.image, lift.depth, mask, lift.camera, softness, 0, thick(item, 0.0))
            )
    return Layers(
        plate=Layer(
            top=0,
            left=0,
            rgb=rgb,
            alpha=torch.ones_like(depth),
            xyz=unproject(depth, lift.camera.intrinsics).movedim(-1, 0),
            support=torch.ones_like(depth, dtype=torch.bool),
            trust=own.to(depth),
            matrix=0,
        ),
        plate_depth=depth,
        layers=tuple(layer for layer in layers if layer is not None),
        covers=tuple(covers),
        camera_from_rest=matrices,
        rest=rest,
        camera=lift.camera,
    )


def _inside_depth(depth: Tensor, mask: Tensor) -> Tensor:
    """Depth of what ``mask`` shows, continued past its outline, where it is the background's."""
    return 1.0 / pull_push(1.0 / depth[None], mask.float())[0].clamp(min=1e-9)


def _layer(
    image: Tensor,
    depth: Tensor,
    mask: Tensor,
    camera: Camera,
    softness: float,
    matrix: int,
    thickness: float,
) -> Layer | None:
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if not len(rows):
        return None
    margin = RING + round(3 * softness)
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    bottom, right = int(rows[-1]) + 1 + margin, int(columns[-1]) + 1 + margin
    part = (slice(top, bottom), slice(left, right))
    inside = mask[part]
    # Outline pixels are a mix with the background. Their colour is taken from further inside, and
    # only a whisper of their own, which is all there is where the instance is thin.
    core = erode(mask, 1)[part]
    trust = torch.where(core, 1.0, 0.02 * inside.float())
    z = 1.0 / pull_push(1.0 / depth[part][None], inside.float())[0].clamp(min=1e-9)
    shifted = camera.intrinsics.clone()
    shifted[0, 2] -= left
    shifted[1, 2] -= top
    return Layer(
        top=top,
        left=left,
        rgb=pull_push(image[:, part[0], part[1]], trust),
        alpha=matte(image, mask, softness)[part],
        xyz=unproject(z, shifted).movedim(-1, 0),
        support=dilate(inside, min(margin, RING + round(2 * softness))),
        trust=inside.to(depth),
        matrix=matrix,
        back=1.0 + growth(depth, mask, thickness),
    )
