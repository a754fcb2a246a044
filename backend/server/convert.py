"""Wire messages <-> the backend's own values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from backend import contracts
from backend.pipeline import image_from_pixels
from protocol import messages
from protocol.arrays import Array
from protocol.content import array_of

GetBlob = Callable[[str], bytes]


def array(ref: messages.ArrayBlob, get: GetBlob) -> Array:
    """The array a message refers to."""
    return array_of(ref, get(ref.sha256))


def shot_from_message(shot: messages.Shot, get: GetBlob) -> contracts.Shot:
    """The shot to render; read-only wire arrays are copied into tensors."""
    height, width = shot.scene.depth.shape
    return contracts.Shot(
        lift=contracts.Lift(
            image=image_from_pixels(array(shot.scene.image, get)),
            depth=_tensor(array(shot.scene.depth, get)),
            camera=contracts.Camera(
                intrinsics=_tensor(shot.scene.intrinsics), height=height, width=width
            ),
            near=shot.scene.near,
            far=shot.scene.far,
        ),
        instance=_tensor(array(shot.instance_map, get)),
        static=tuple(item.id for item in shot.instances if not item.moving),
        motion=contracts.Motion(
            moved_from_rest=_tensor(shot.moved_from_rest),
            camera_from_world=_tensor(shot.camera_from_world),
            intrinsics=_tensor(shot.intrinsics),
        ),
        engine=shot.engine,
        seed=shot.seed,
        options=shot.options,
    )


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(values))
