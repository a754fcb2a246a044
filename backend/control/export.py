"""Bounding boxes in the array format of other tools (SG-I2V)."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
SIZE_TOLERANCE = 0.01
"""Pixels; largest change of a box that counts as constant size."""


def drag_trajectories(boxes: Tensor) -> Array | None:
    """SG-I2V's trajectory array, if every box has a constant size.

    Returns:
        float64 (N, 2 + F, 2): top-left and bottom-right of the first frame's box, then the centre
        of every frame; None if a box changes its size.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    if float((size - size[:, :1]).abs().max()) > SIZE_TOLERANCE:
        return None
    centres = (boxes[..., 2:] + boxes[..., :2]) / 2
    corners = boxes[:, 0].reshape(-1, 2, 2)
    return torch.cat([corners, centres], 1).double().cpu().numpy()
