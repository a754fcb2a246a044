"""Wire messages <-> the backend's own values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from backend import contracts
from backend.geometry.shape import flattened
from backend.pixels import image_from_pixels, pixels_from_image
from protocol import messages
from protocol.arrays import Array
from protocol.content import array_of
from protocol.errors import ShotError

MAX_ID = 255
GetBlob = Callable[[str], bytes]


def array(ref: messages.ArrayBlob, get: GetBlob) -> Array:
    """The array a message refers to."""
    return array_of(ref, get(ref.sha256))


def shot_from_message(shot: messages.ShotMessage, get: GetBlob) -> contracts.Shot:
    """The shot to render; read-only wire arrays are copied into tensors.

    Raises:
        ShotError: the depth or the instance map holds numbers that mean nothing.
    """
    height, width = shot.scene.depth.shape
    depth, ids = array(shot.scene.depth, get), array(shot.instance_map, get)
    _check_content(depth, ids, shot.instances)
    return contracts.Shot(
        lift=contracts.Lift(
            image=image_from_pixels(array(shot.scene.image, get)),
            depth=_shaped(_tensor(depth), _tensor(ids), shot.instances),
            camera=contracts.Camera(
                intrinsics=_tensor(shot.scene.intrinsics), height=height, width=width
            ),
            near=shot.scene.near,
            far=shot.scene.far,
            kind=shot.scene.kind,
        ),
        instance=_tensor(ids),
        static=tuple(item.id for item in shot.instances if not item.moving),
        motion=contracts.Motion(
            moved_from_rest=_tensor(shot.moved_from_rest),
            camera_from_world=_tensor(shot.camera_from_world),
            intrinsics=_tensor(shot.intrinsics),
        ),
        engine=shot.engine,
        seed=shot.seed,
        options=shot.options,
        anchors=shot.anchors,
        thickness={item.id: item.thickness for item in shot.instances if item.thickness},
    )


def _shaped(
    depth: torch.Tensor, ids: torch.Tensor, instances: Sequence[messages.Instance]
) -> torch.Tensor:
    for item in instances:
        depth = flattened(depth, ids == item.id, item.flatten)
    return depth


def picture_of(frames: torch.Tensor) -> Array:
    """Four frames of a clip in a square, first to last: ``(F, 3, h, w)`` -> uint8 (2h, 2w, 3)."""
    at = torch.linspace(0, len(frames) - 1, 4).round().long()
    top, bottom = (torch.cat(list(pair), -1) for pair in frames[at].split(2))
    return pixels_from_image(torch.cat([top, bottom], -2))


def _check_content(depth: Array, ids: Array, instances: Sequence[messages.Instance]) -> None:
    """What ``protocol.rules`` cannot see, since it judges a shot without its blobs."""
    bad = ~(np.isfinite(depth) & (depth > 0))
    if bad.any():
        raise ShotError(
            "depth",
            f"{int(bad.sum())} of {depth.size} depths are not positive numbers.",
            "Lift the photo again.",
        )
    if ids.min() < 0 or ids.max() > MAX_ID:
        raise ShotError(
            "instances",
            f"The instance map holds ids from {ids.min()} to {ids.max()}, allowed 0 to {MAX_ID}.",
            "Lift the photo again.",
        )
    for item in instances:
        if not (ids == item.id).any():
            raise ShotError(
                "instances",
                f"'{item.name}' has no pixel of the photo.",
                "Remove it, or pick it again.",
            )


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(values))
