"""Decodes masks from image files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backend.images.image_file import wrap_codec_errors
from backend.images.raster import read_raster, upright
from protocol.messages import Limits

Array = npt.NDArray[Any]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Rec. 601, as image editors convert to grey."""


def decode_mask(data: bytes, height: int, width: int) -> Array:
    """Bool (H, W) from an image, white on the instance; resized to the photo.

    If a part of it is transparent, the opaque part is the instance.

    Raises:
        ShotError: it is no image, broken or too large.
    """
    raster = read_raster(data, "mask", Limits().pixels)
    with wrap_codec_errors("mask"):
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
