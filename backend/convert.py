"""Converts wire messages to contracts and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from backend import contracts
from backend.pixels import image_from_pixels, pixels_from_image
from protocol import messages, rules, shape
from protocol.arrays import Array
from protocol.content import array_of

GetBlob = Callable[[str], bytes]


def array(ref: messages.ArrayBlob, get: GetBlob) -> Array:
    """Read the array of a blob reference."""
    return array_of(ref, get(ref.sha256))


def shot_from_message(shot: messages.ShotMessage, get: GetBlob) -> contracts.Shot:
    """Convert a shot; read-only wire arrays are copied into tensors.

    Raises:
        ShotError: the depth or the instance map holds numbers that mean nothing.
    """
    height, width = shot.scene.depth.shape
    depth, ids = array(shot.scene.depth, get), array(shot.instance_map, get)
    rules.check_arrays(depth, ids, shot.instances)
    return contracts.Shot(
        lift=contracts.Lift(
            image=image_from_pixels(array(shot.scene.image, get)),
            depth=_tensor(shape.shown_depth(depth, ids, shot.instances)),
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


def picture_of(frames: torch.Tensor) -> Array:
    """Four frames of a clip in a 2 x 2 grid: ``(F, 3, h, w)`` -> uint8 (2h, 2w, 3)."""
    at = torch.linspace(0, len(frames) - 1, 4).round().long()
    top, bottom = (torch.cat(list(pair), -1) for pair in frames[at].split(2))
    return pixels_from_image(torch.cat([top, bottom], -2))


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(values))
