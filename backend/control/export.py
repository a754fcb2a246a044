"""Boxes in the forms that other tools read; pure, arrays in, arrays out."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from backend.contracts import MaskSequence, Shot
from backend.geometry.camera import project
from backend.geometry.motion import camera_from_rest, move_points
from backend.geometry.shape import cloud_from_shot

Array = npt.NDArray[Any]
CONSTANT = 0.01
"""Pixels by which a box may change its size and still be one of constant size."""


def instance_boxes(shot: Shot, masks: MaskSequence) -> tuple[Tensor, Tensor]:
    """The box around all of each picked instance, hidden parts included, cut at the frame.

    Args:
        shot: the shot.
        masks: what its points show.

    Returns:
        ``(N, F, 4)`` float32 (x1, y1, x2, y2) pixels, zero where the instance is out of the frame,
        and ``(N, F)`` bool, whether any of it is seen.
    """
    camera, frames = shot.lift.camera, shot.motion.num_frames
    cloud = cloud_from_shot(shot)
    moving = shot.motion.moved_from_rest.shape[1]
    matrices = camera_from_rest(shot.motion, camera)
    picked = [*range(1, moving + 1), *shot.static]
    boxes = cloud.xyz.new_zeros(len(picked), frames, 4)
    visible = masks.instance.new_zeros((len(picked), frames), dtype=torch.bool)
    high = cloud.xyz.new_tensor([camera.width, camera.height])
    for n, item in enumerate(picked):
        own = cloud.xyz[cloud.instance == item]
        for f in range(frames):
            points = move_points(own, matrices[f, item if item <= moving else 0])
            pixel = project(points[points[:, 2] > 0], camera)
            if len(pixel):
                # Points are pixel centres: the box reaches half a pixel further
                low, top = (pixel.amin(0) - 0.5).clamp(min=0), pixel.amax(0) + 0.5
                box = torch.cat([torch.minimum(low, high), torch.minimum(top, high).clamp(min=0)])
                boxes[n, f] = box if bool((box[2:] > box[:2]).all()) else 0.0
            visible[n, f] = bool((masks.instance[f] == item).any())
    return boxes, visible


def drag_trajectories(boxes: Tensor) -> Array | None:
    """SG-I2V's array, if every box keeps its size.

    Returns:
        float64 (N, 2 + F, 2): top-left and bottom-right of the first frame's box, then the centre
        of every frame; None where a box changes its size.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    if float((size - size[:, :1]).abs().max()) > CONSTANT:
        return None
    centres = (boxes[..., 2:] + boxes[..., :2]) / 2
    corners = boxes[:, 0].reshape(-1, 2, 2)
    return torch.cat([corners, centres], 1).double().cpu().numpy()
