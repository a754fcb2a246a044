"""How things in an annotated clip moved, as far as masks and depth tell."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import AnnotatedClip, Camera, Lift, Motion, Shot
from backend.geometry.camera import UNKNOWN_FOV, intrinsics_from_fov


def shot_of_clip(clip: AnnotatedClip) -> Shot:
    """A shot that moves the clip's first frame as the clip moved.

    Each object moves and grows as the middle, the area and the median depth of its mask do; it
    never turns, and where it is out of sight it stays where it was seen last. The camera stands
    still: what it did is in the objects' motion, and missing from the background's.

    Raises:
        ValueError: sizes differ, a depth is not positive, or ids are not those that are named.
    """
    _check(clip)
    height, width = clip.frames.shape[-2:]
    camera = clip.camera or Camera(
        intrinsics=intrinsics_from_fov(UNKNOWN_FOV, height, width), height=height, width=width
    )
    frames = len(clip.frames)
    still = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    moved = still[:, None].repeat(1, clip.moving, 1, 1)
    for item in range(1, clip.moving + 1):
        moved[:, item - 1] = _path(clip.instance == item, clip.depth, camera)
    return Shot(
        lift=Lift(
            image=clip.frames[0],
            depth=clip.depth[0],
            camera=camera,
            near=clip.near,
            far=clip.far,
        ),
        instance=clip.instance[0],
        static=clip.static,
        motion=Motion(
            moved_from_rest=moved,
            camera_from_world=still,
            intrinsics=camera.intrinsics.double().repeat(frames, 1, 1),
        ),
        engine="",
        seed=0,
        options={},
    )


def _path(masks: Tensor, depth: Tensor, camera: Camera) -> Tensor:
    """``(F, 4, 4)`` from rest of the object that ``(F, H, W)`` bool masks show."""
    path = torch.eye(4, dtype=torch.float64).repeat(len(masks), 1, 1)
    first = _seen_at(masks[0], depth[0], camera)
    if first is None:  # it comes in later, so no pixel of the photo is its own
        return path
    rest, area = first
    for frame in range(1, len(masks)):
        found = _seen_at(masks[frame], depth[frame], camera)
        if found is None:
            path[frame] = path[frame - 1]
            continue
        place, size = found
        # As large in the picture as its mask is: farther away, it has to be larger for that
        scale = (size / area) ** 0.5 * float(place[2] / rest[2])
        path[frame, :3, :3] *= scale
        path[frame, :3, 3] = place - scale * rest
    return path


def _seen_at(mask: Tensor, depth: Tensor, camera: Camera) -> tuple[Tensor, float] | None:
    """Where the middle of a mask is, ``(3,)`` float64 camera axes, and its area in pixels."""
    rows, columns = torch.nonzero(mask, as_tuple=True)
    if not len(rows):
        return None
    z = depth[mask].double().median()
    x, y = columns.double().mean() + 0.5, rows.double().mean() + 0.5
    focal = camera.intrinsics.double()
    place = torch.stack(
        [(x - focal[0, 2]) / focal[0, 0] * z, (y - focal[1, 2]) / focal[1, 1] * z, z]
    )
    return place, float(len(rows))


def _check(clip: AnnotatedClip) -> None:
    frames, _, height, width = clip.frames.shape
    for name, value in (("ids", clip.instance), ("depth", clip.depth)):
        if value.shape != (frames, height, width):
            raise ValueError(
                f"{name} {tuple(value.shape)} do not go with frames {tuple(clip.frames.shape)}"
            )
    if not bool((clip.depth > 0).all()):
        raise ValueError(f"a depth must be positive, the least is {float(clip.depth.min()):g}")
    if not 0 < clip.near < clip.far:
        raise ValueError(f"near {clip.near:g} and far {clip.far:g} must be 0 < near < far")
    if low := [item for item in clip.static if item <= clip.moving]:
        raise ValueError(f"object {low[0]} is among the {clip.moving} that move and stays too")
