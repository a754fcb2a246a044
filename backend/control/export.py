"""Boxes in the forms that other tools read; pure, arrays in, arrays out."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
CONSTANT = 0.01
"""Pixels by which a box may change its size and still be one of constant size."""


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
