"""Decomposes a photo into a clean plate and one RGBD layer per picked instance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.compose.filters import dilate, erode, pull_push
from backend.compose.matting import alpha_matte
from backend.contracts import Camera, Shot
from backend.geometry.body import relative_thickness
from backend.geometry.camera import unproject
from backend.geometry.motion import camera_from_rest, is_identity

ALPHA_MARGIN = 3
"""Pixels around a mask that belong to its layer with alpha 0, so that the edge fades inside it."""
HALO_PIXELS = 3
"""Pixels around a mask that are blended with the instance, hence not clean background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An RGBD layer: h x w pixels around an instance, or the plate.

    Attributes:
        top: row of its first pixel in the photo.
        left: column of its first pixel in the photo.
        rgb: ``(3, h, w)``; the instance's colours, extended past its edge against fringes.
        alpha: ``(h, w)``, alpha matte.
        xyz: ``(3, h, w)`` positions at rest.
        support: ``(h, w)`` bool; pixels outside it are not part of the layer.
        trust: ``(h, w)``, 1 where a pixel is the photo's own, 0 where it is inpainted.
        matrix_index: index into the second axis of ``Layers.camera_from_rest``.
        back_scale: scale of the back face of its body about the photo's camera; 1 is no body.
    """

    top: int
    left: int
    rgb: Tensor
    alpha: Tensor
    xyz: Tensor
    support: Tensor
    trust: Tensor
    matrix_index: int
    back_scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of a shot, from which a draft's frames are composited.

    Attributes:
        plate: the photo without the moving instances, inpainted.
        plate_depth: ``(H, W)`` of the plate.
        layers: of moving instances; if the camera moves, of picked static ones too.
        occluders: ``(H, W)`` alpha and depth of each picked static instance, if the camera is
            static; part of the plate, and composited again over layers that pass behind it.
        camera_from_rest: ``(F, N + 1, 4, 4)`` float64.
        at_rest: ``(F,)`` bool; frames without motion, which equal the photo.
        camera: of every frame.
    """

    plate: Layer
    plate_depth: Tensor
    layers: tuple[Layer, ...]
    occluders: tuple[tuple[Tensor, Tensor], ...]
    camera_from_rest: Tensor
    at_rest: Tensor
    camera: Camera

    @property
    def camera_moves(self) -> bool:
        """Whether the camera or its lens moves in any frame."""
        return not bool(is_identity(self.camera_from_rest[:, 0]).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What lies behind all that was picked, where that is known.

    Attributes:
        rgb: ``(3, H, W)``.
        depth: ``(H, W)`` z.
    """

    rgb: Tensor
    depth: Tensor


def layers_from_shot(
    shot: Shot, softness: float = 1.0, background: Background | None = None
) -> Layers:
    """Decompose a shot's photo into a plate and layers.

    Args:
        shot: the shot.
        softness: minimum width of a layer's soft edge, pixels; hair and spokes are softer.
        background: the plate, where it is known; inpainted where it is None.
    """
    lift, instance = shot.lift, shot.instance
    moving = range(1, shot.motion.moved_from_rest.shape[1] + 1)
    matrices = camera_from_rest(shot.motion, lift.camera)
    camera_static = bool(is_identity(matrices[:, 0]).all())

    moving_mask = (instance >= 1) & (instance <= len(moving))
    static_masks = [instance == item for item in shot.static]
    picked = moving_mask.clone()
    for mask in static_masks:
        picked |= mask
    # Holes are inpainted from clean background only, without instances and their halo.
    known = ~dilate(picked, HALO_PIXELS)
    rgb = pull_push(lift.image, known.float())
    depth = 1.0 / pull_push(1.0 / lift.depth[None], known.float())[0].clamp(min=1e-9)
    if not bool(known.any()):  # everything is picked: the plate is the photo
        rgb, depth = lift.image, lift.depth
    at_rest = is_identity(matrices).all(1)
    at_rest[0] = True  # the rules of a shot require it, up to their tolerance
    static_mask = picked & ~moving_mask
    original = ~dilate(moving_mask, HALO_PIXELS) | static_mask if camera_static else known
    rgb = torch.where(original, lift.image, rgb)
    depth = torch.where(original, lift.depth, depth)
    trusted = original if bool(known.any()) else torch.ones_like(original)
    if background is not None:
        rgb, depth, trusted = background.rgb, background.depth, torch.ones_like(original)

    thickness_of = shot.thickness.get
    layers = [
        _layer_from_mask(
            lift.image, lift.depth, instance == i, lift.camera, softness, i, thickness_of(i, 0.0)
        )
        for i in moving
    ]
    occluders: list[tuple[Tensor, Tensor]] = []
    for item, mask in zip(shot.static, static_masks, strict=True):
        if camera_static:
            occluders.append(
                (alpha_matte(lift.image, mask, softness), _extended_depth(lift.depth, mask))
            )
        else:
            layers.append(
                _layer_from_mask(
                    lift.image, lift.depth, mask, lift.camera, softness, 0, thickness_of(item, 0.0)
                )
            )
    return Layers(
        plate=Layer(
            top=0,
            left=0,
            rgb=rgb,
            alpha=torch.ones_like(depth),
            xyz=unproject(depth, lift.camera.intrinsics).movedim(-1, 0),
            support=torch.ones_like(depth, dtype=torch.bool),
            trust=trusted.to(depth),
            matrix_index=0,
        ),
        plate_depth=depth,
        layers=tuple(layer for layer in layers if layer is not None),
        occluders=tuple(occluders),
        camera_from_rest=matrices,
        at_rest=at_rest,
        camera=lift.camera,
    )


def _extended_depth(depth: Tensor, mask: Tensor) -> Tensor:
    """Depth inside ``mask``, extended past its outline by pull-push of disparity."""
    return 1.0 / pull_push(1.0 / depth[None], mask.float())[0].clamp(min=1e-9)


def _layer_from_mask(
    image: Tensor,
    depth: Tensor,
    mask: Tensor,
    camera: Camera,
    softness: float,
    matrix_index: int,
    thickness: float,
) -> Layer | None:
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if not len(rows):
        return None
    margin = ALPHA_MARGIN + round(3 * softness)
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    bottom, right = int(rows[-1]) + 1 + margin, int(columns[-1]) + 1 + margin
    part = (slice(top, bottom), slice(left, right))
    inside = mask[part]
    # Outline pixels are blended with the background, so their colour is extended from the inside;
    # their own has a small weight, for instances too thin to have an inside.
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
        alpha=alpha_matte(image, mask, softness)[part],
        xyz=unproject(z, shifted).movedim(-1, 0),
        support=dilate(inside, min(margin, ALPHA_MARGIN + round(2 * softness))),
        trust=inside.to(depth),
        matrix_index=matrix_index,
        back_scale=1.0 + relative_thickness(depth, mask, thickness),
    )
