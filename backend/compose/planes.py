"""Flat textured things under known motion, composited exactly: the views of a made-up scene.

Every plane is seen through a homography, so a frame is one lookup a pixel and plane: pixels, ids
and depth of all frames at once, with no splatting. For a photo's surfaces, which are not flat, the
draft is the way (``compose.draft``); of flat ones both show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.contracts import Camera


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A flat thing, as it is seen at rest.

    Attributes:
        rgb: ``(3, H, W)`` what it looks like at rest, in the camera's pixels.
        alpha: ``(H, W)`` how much of a pixel it covers.
        normal: ``(3,)`` float64; the plane is all x with ``normal @ x = 1``, camera axes at rest.
        camera_from_rest: ``(F, 4, 4)`` float64 of every frame.
    """

    rgb: Tensor
    alpha: Tensor
    normal: Tensor
    camera_from_rest: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneViews:
    """Planes in every frame, each as if it were alone.

    Attributes:
        rgb: ``(L, F, 3, h, w)``.
        alpha: ``(L, F, h, w)``.
        depth: ``(L, F, h, w)`` z; +inf where the plane is not met before the camera.
    """

    rgb: Tensor
    alpha: Tensor
    depth: Tensor

    def composited(self) -> tuple[Tensor, Tensor, Tensor]:
        """The frames, which plane is seen, and its depth.

        The nearer covers the farther, pixel by pixel. Where no plane covers half of a pixel, the
        first one, which lies behind all, is seen.

        Returns:
            ``(F, 3, h, w)``, ``(F, h, w)`` int32 and ``(F, h, w)``.
        """
        order = self.depth.argsort(dim=0, descending=True, stable=True)
        alpha = self.alpha.gather(0, order)
        rgb = self.rgb.gather(0, order[:, :, None].expand_as(self.rgb))
        shown = rgb[0]
        for over, covered in zip(rgb[1:], alpha[1:], strict=True):
            shown = torch.lerp(shown, over, covered[:, None])
        solid = torch.where(self.alpha > 0.5, self.depth, torch.inf)
        depth, seen = solid.min(0)
        missing = torch.isinf(depth)
        seen = torch.where(missing, 0, seen)
        depth = torch.where(missing, self.depth[0], depth)
        return shown.clamp(0, 1), seen.to(torch.int32), depth


def view_planes(
    planes: Sequence[Plane], camera: Camera, window: tuple[int, int, int, int]
) -> PlaneViews:
    """Look at planes, one by one.

    Args:
        planes: of one size; all colours beyond their borders are those of the border.
        camera: in whose pixels they are at rest.
        window: top, left, height and width of the part of its picture that is looked at.
    """
    top, left, height, width = window
    y, x = torch.meshgrid(
        torch.arange(top, top + height, dtype=torch.float64) + 0.5,
        torch.arange(left, left + width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    pixels = torch.stack([x, y, torch.ones_like(x)]).reshape(3, -1)
    intrinsics = camera.intrinsics.double()
    rays = torch.linalg.inv(intrinsics) @ pixels
    motion = torch.stack([plane.camera_from_rest for plane in planes])
    turn, shift = motion[..., :3, :3], motion[..., :3, 3]
    back = torch.linalg.inv(turn)
    normal = torch.stack([plane.normal for plane in planes])[:, None, :, None]
    # x' = A x + t lies on the moved plane n' x' = d'
    moved = (back.transpose(-1, -2) @ normal)[..., 0]
    offset = 1 + (moved * shift).sum(-1)
    inverse_z = (moved @ rays) / offset[..., None]
    # Homogeneous: x / z = A^-1 (ray - t / z)
    rest = (intrinsics @ back) @ (rays - shift[..., None] * inverse_z[..., None, :])
    in_front = (inverse_z > 1e-6) & (rest[..., 2, :] > 1e-9)
    place = rest[..., :2, :] / rest[..., 2:, :].clamp(min=1e-9)
    size = place.new_tensor([camera.width, camera.height])[:, None]
    grid = (2 * place / size - 1).float().movedim(-2, -1)
    count, frames = motion.shape[:2]
    textures = torch.stack([torch.cat([plane.rgb, plane.alpha[None]]) for plane in planes])
    found = F.grid_sample(
        textures,
        grid.reshape(count, frames * height, width, 2),
        padding_mode="border",
        align_corners=False,
    )
    found = found.reshape(count, 4, frames, height, width).transpose(1, 2)
    in_front = in_front.reshape(count, frames, height, width)
    depth = (1 / inverse_z.clamp(min=1e-6)).float().reshape(count, frames, height, width)
    return PlaneViews(
        rgb=found[:, :, :3],
        alpha=found[:, :, 3] * in_front,
        depth=torch.where(in_front, depth, torch.inf),
    )
