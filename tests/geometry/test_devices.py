"""Tensors follow the device of the inputs.

Anything made without naming a device would land on the processor while the inputs are on a GPU.
Here it lands on torch's "meta" device while the inputs are on the processor, which fails the same
way and needs no GPU; ``test_gpu.py`` does it with one.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.compose.filters import blur, dilate, erode, pull_push
from backend.compose.layers import layers_from_shot
from backend.contracts import MaskSequence
from backend.control.boxes import shot_boxes
from backend.control.levitor import cluster_points, points_from_masks
from backend.control.preview import control_frames
from backend.control.tracks import shot_tracks
from backend.geometry.body import add_bodies
from backend.geometry.camera import project, scaled_intrinsics, unproject
from backend.geometry.lift import cloud_from_lift, depth_from_disparity, disparity_from_depth
from backend.geometry.motion import camera_from_rest, is_identity, move_cloud
from backend.geometry.splat import render_masks, render_motion
from backend.geometry.splat_pytorch3d import ids_and_depth, ndc_points
from tests.geometry.scenes import motion, shot_of, translation, two_instances

LIFT, IDS = two_instances()
MOVED = [[translation(), translation()], [translation(x=0.8, z=-1.0), translation(y=0.3)]]
SHOT = shot_of(LIFT, IDS, motion(LIFT.camera, MOVED, [translation(), translation(x=0.2)]))
CLOUD = cloud_from_lift(LIFT, IDS)
POINTS = torch.stack(
    [move_cloud(CLOUD, m) for m in camera_from_rest(SHOT.motion, SHOT.lift.camera)]
)
RADIUS = torch.linspace(0.5, 2.5, POINTS.shape[1])
MASKS = render_masks(POINTS, CLOUD.instance, LIFT.camera, RADIUS)


def boxes():
    found = shot_boxes(SHOT, MASKS)
    return found.xyxy, found.visible, found.corners


def preview():
    points = points_from_masks(MASKS, 2, 2.0, 12.0)
    frames = control_frames(MASKS, 2, 2.0, 12.0, LIFT.image, points)
    return [frames[f] for f in range(2)]


def ndc():
    instance, camera = CLOUD.instance, LIFT.camera
    found = torch.where(MASKS.instance[0] > 0, 5, -1).long()
    return ndc_points(POINTS[0], instance, camera, RADIUS), ids_and_depth(
        found, POINTS[0], instance
    )


WORK = {
    "unproject": lambda: unproject(LIFT.depth, LIFT.camera.intrinsics),
    "project": lambda: project(POINTS, LIFT.camera),
    "scaled intrinsics": lambda: scaled_intrinsics(LIFT.camera.intrinsics, 2.0, 3.0),
    "cloud": lambda: cloud_from_lift(LIFT, IDS).xyz,
    "bodies": lambda: add_bodies(CLOUD, LIFT, IDS, {1: 0.3, 2: 0.0}).xyz,
    "disparity": lambda: depth_from_disparity(disparity_from_depth(LIFT.depth, 2, 12), 2, 12),
    "matrices": lambda: camera_from_rest(SHOT.motion, LIFT.camera),
    "stillness": lambda: is_identity(camera_from_rest(SHOT.motion, LIFT.camera)),
    "masks": lambda: render_masks(POINTS, CLOUD.instance, LIFT.camera, RADIUS),
    "masks of one radius": lambda: render_masks(POINTS, CLOUD.instance, LIFT.camera, 1.2),
    "motion": lambda: list(render_motion(CLOUD, LIFT.camera, SHOT.motion)),
    "normalised coordinates": ndc,
    "exact points": lambda: points_from_masks(MASKS, 2, 2.0, 12.0),
    "fast points": lambda: points_from_masks(MASKS, 2, 2.0, 12.0, exact=False),
    "tracks": lambda: shot_tracks(SHOT, MASKS),
    "boxes": boxes,
    "preview": preview,
    "holes": lambda: pull_push(LIFT.image, (IDS > 0).float()),
    "edges": lambda: (dilate(IDS > 0, 2), erode(IDS > 0, 2), blur(LIFT.depth, 1.5)),
    "the draft's signal": lambda: layers_from_shot(SHOT),
}


def leaves(value):
    """Tensors and arrays inside whatever a function gave, in order."""
    if isinstance(value, Tensor | np.ndarray):
        yield torch.as_tensor(value)
    elif isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from leaves(getattr(value, name))
    elif isinstance(value, int | float):
        yield torch.tensor(value)


@pytest.mark.parametrize("name", WORK)
def test_nothing_is_made_on_a_device_that_no_input_is_on(name):
    expected = list(leaves(WORK[name]()))
    with torch.device("meta"):
        found = WORK[name]()
    assert expected
    for ours, wanted in zip(leaves(found), expected, strict=True):
        assert ours.device.type == "cpu"
        torch.testing.assert_close(ours, wanted, rtol=0, atol=0, equal_nan=True)


def test_a_tensor_made_without_a_device_would_be_noticed():
    with torch.device("meta"):
        forgotten = torch.arange(3)
        with pytest.raises(RuntimeError, match="meta"):
            LIFT.depth[:, :3] * forgotten
    assert [tensor.device.type for tensor in leaves(forgotten)] == ["meta"]


def test_ids_and_depths_may_be_tensors_or_arrays():
    depth = 1.0 / MASKS.depth.clamp(1, 255)
    ids = MASKS.instance.clamp(min=0)
    maps = [torch.nn.functional.pad(m, (0, 4)) for m in (ids, depth)]  # 60 columns to 64
    maps[1][..., 60:] = 1.0
    assert cluster_points(*maps, 2) == cluster_points(*(m.numpy() for m in maps), 2)


def test_masks_are_a_sequence_of_one_device():
    assert isinstance(MASKS, MaskSequence)
    assert MASKS.instance.device == MASKS.depth.device == POINTS.device
