"""Masks from picture files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backend.images.opening import as_sentence
from backend.images.raster import read_raster, upright
from protocol.messages import Limits

Array = npt.NDArray[Any]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Rec. 601, as picture editors turn colour to grey."""


def decode_mask(data: bytes, height: int, width: int) -> Array:
    """Bool (H, W) from an image, white on the instance; scaled to the photo where it differs.

    Where a part of it is transparent, what is opaque is the instance.

    Raises:
        ShotError: it is no image, broken or too large.
    """
    raster = read_raster(data, "mask", Limits().pixels)
    with as_sentence("mask"):
        values, alpha = raster.values, raster.alpha
        if alpha is not None and (alpha < raster.top).any():
            values = alpha
        elif values.ndim == 3:
            values = values[..., :3].astype(np.float32) @ LUMA
        level = np.asarray(values, np.float32) * (255.0 / raster.top)
        grey = Image.fromarray(
            np.ascontiguousarray(upright(level.clip(0, 255), raster.orientation))
            .round()
            .astype(np.uint8)
        )
        if grey.size != (width, height):
            grey = grey.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127
