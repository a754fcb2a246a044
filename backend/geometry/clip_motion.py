"""Estimates the motion of an annotated clip's objects from their masks and depth."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import AnnotatedClip, Camera, Lift, Motion, Shot
from backend.geometry.camera import DEFAULT_FOV, intrinsics_from_fov


def shot_from_clip(clip: AnnotatedClip) -> Shot:
    """A shot of the clip's first frame whose objects move as in the clip.

    Translation and scale follow the centroid, area and median depth of an object's mask; there is
    no rotation, and an object without a mask keeps its last position. The camera is static: its
    motion is part of the objects' motion and missing from the background's.

    Raises:
        ValueError: sizes differ, a depth is not positive, or a static id is among the moving ones.
    """
    check_clip(clip)
    height, width = clip.frames.shape[-2:]
    camera = clip.camera or Camera(
        intrinsics=intrinsics_from_fov(DEFAULT_FOV, height, width), height=height, width=width
    )
    frames = len(clip.frames)
    still = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    moved = still[:, None].repeat(1, clip.moving, 1, 1)
    for item in range(1, clip.moving + 1):
        moved[:, item - 1] = _object_motion(clip.instance == item, clip.depth, camera)
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


def _object_motion(masks: Tensor, depth: Tensor, camera: Camera) -> Tensor:
    """``(F, 4, 4)`` moved_from_rest of the object with the ``(F, H, W)`` bool masks."""
    path = torch.eye(4, dtype=torch.float64).repeat(len(masks), 1, 1)
    first = _centroid_and_area(masks[0], depth[0], camera)
    if first is None:  # not in the first frame, so it has no points
        return path
    rest, area = first
    for frame in range(1, len(masks)):
        found = _centroid_and_area(masks[frame], depth[frame], camera)
        if found is None:
            path[frame] = path[frame - 1]
            continue
        centroid, size = found
        # The projected size follows the mask; at a greater depth the object itself is larger
        scale = (size / area) ** 0.5 * float(centroid[2] / rest[2])
        path[frame, :3, :3] *= scale
        path[frame, :3, 3] = centroid - scale * rest
    return path


def _centroid_and_area(mask: Tensor, depth: Tensor, camera: Camera) -> tuple[Tensor, float] | None:
    """A mask's centroid at its median depth, ``(3,)`` float64 camera axes, and area in pixels."""
    rows, columns = torch.nonzero(mask, as_tuple=True)
    if not len(rows):
        return None
    z = depth[mask].double().median()
    x, y = columns.double().mean() + 0.5, rows.double().mean() + 0.5
    focal = camera.intrinsics.double()
    centroid = torch.stack(
        [(x - focal[0, 2]) / focal[0, 0] * z, (y - focal[1, 2]) / focal[1, 1] * z, z]
    )
    return centroid, float(len(rows))


def check_clip(clip: AnnotatedClip) -> None:
    """Whether the parts of a clip go together.

    Raises:
        ValueError: sizes differ, a depth is not positive, or a static id is among the moving ones.
    """
    frames, _, height, width = clip.frames.shape
    for name, value in (("ids", clip.instance), ("depth", clip.depth)):
        if value.shape != (frames, height, width):
            raise ValueError(
                f"{name} {tuple(value.shape)} do not go with frames {tuple(clip.frames.shape)}"
            )
    if not clip.frames.is_floating_point():
        raise ValueError(f"frames must be float in [0, 1], got {clip.frames.dtype}")
    if not bool((clip.depth > 0).all()):
        raise ValueError(f"a depth must be positive, the least is {float(clip.depth.min()):g}")
    if not 0 < clip.near < clip.far:
        raise ValueError(f"near {clip.near:g} and far {clip.far:g} must be 0 < near < far")
    if low := [item for item in clip.static if item <= clip.moving]:
        raise ValueError(f"object {low[0]} is among the {clip.moving} that move and stays too")
