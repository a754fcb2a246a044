"""Bounding boxes of the picked instances in every frame, from points or from masks.

In torch, since an engine's masks lie on a GPU; exports use ``protocol/export.py``, a test compares.
"""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import Boxes, MaskSequence, Shot
from backend.geometry.body import cloud_from_shot
from backend.geometry.camera import project
from backend.geometry.motion import camera_from_rest, move_points


def shot_boxes(shot: Shot, masks: MaskSequence) -> Boxes:
    """The box around each picked instance, occluded parts included, clipped to the frame.

    Args:
        shot: the shot.
        masks: its rendered masks, for visibility.
    """
    camera, frames = shot.lift.camera, shot.motion.num_frames
    cloud = cloud_from_shot(shot)
    moving = shot.motion.moved_from_rest.shape[1]
    matrices = camera_from_rest(shot.motion, camera)
    picked = [*range(1, moving + 1), *shot.static]
    boxes = cloud.xyz.new_zeros(len(picked), frames, 4)
    corners = cloud.xyz.new_zeros(len(picked), frames, 8, 3)
    visible = masks.instance.new_zeros((len(picked), frames), dtype=torch.bool)
    high = cloud.xyz.new_tensor([camera.width, camera.height])
    for n, item in enumerate(picked):
        own = cloud.xyz[cloud.instance == item]
        if not len(own):
            continue
        around = _corners(own)
        for f in range(frames):
            matrix = matrices[f, item if item <= moving else 0]
            corners[n, f] = move_points(around, matrix)
            points = move_points(own, matrix)
            pixel = project(points[points[:, 2] > 0], camera)
            if len(pixel):
                # Points are pixel centres: the box extends half a pixel further
                low, top = (pixel.amin(0) - 0.5).clamp(min=0), pixel.amax(0) + 0.5
                box = torch.cat([torch.minimum(low, high), torch.minimum(top, high).clamp(min=0)])
                boxes[n, f] = box if bool((box[2:] > box[:2]).all()) else 0.0
            visible[n, f] = bool((masks.instance[f] == item).any())
    return Boxes(
        xyxy=boxes,
        visible=visible,
        instance=masks.instance.new_tensor(picked),
        corners=corners,
    )


def mask_boxes(masks: MaskSequence) -> Boxes:
    """The box around the visible part of each picked instance."""
    frames = len(masks.instance)
    picked = [*range(1, masks.moving + 1), *masks.static]
    boxes = masks.depth.new_zeros(len(picked), frames, 4)
    for n, item in enumerate(picked):
        for f in range(frames):
            rows, columns = torch.nonzero(masks.instance[f] == item, as_tuple=True)
            if len(rows):
                low = torch.stack([columns.amin(), rows.amin()])
                boxes[n, f] = torch.cat([low, torch.stack([columns.amax(), rows.amax()]) + 1])
    return Boxes(
        xyxy=boxes,
        visible=(boxes[..., 2:] > boxes[..., :2]).all(-1),
        instance=masks.instance.new_tensor(picked),
    )


def _corners(points: Tensor) -> Tensor:
    """``(8, 3)`` corners of the axis-aligned box around ``(P, 3)`` points."""
    low, high = points.amin(0), points.amax(0)
    pick = torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3).bool()
    return torch.where(pick, high, low)
