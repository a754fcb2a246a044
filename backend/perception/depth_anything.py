"""Depth Anything V2: relative monocular depth of a photo.

Source: Yang et al., "Depth Anything V2" (2024); the relative models, whose output is disparity up
to scale and shift. Colours go in as RGB; no torchvision.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from backend import tiles
from backend.autograd import without_gradients
from backend.networks import on_device, read_unchanged
from backend.perception import convert_depth_anything, loading
from backend.perception.base import INPUT_SIZE, Array, OnNote, ignore_note
from backend.resources import is_out_of_memory
from protocol.errors import ShotError

PATCH = 14
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
MAX_SIZE = 2072
MAX_ASPECT = 8
"""Maximum aspect ratio of the network's input."""
TILING_SIDE = 2048
"""Photos with a longer side are also predicted in tiles."""
TILE_SIDE, TILE_OVERLAP = 1024, 256
MIN_RELATIVE_RANGE = 1e-6
"""A result whose range is smaller, relative to its magnitude, is constant."""


class DepthAnything:
    """A loaded network; fits :class:`backend.perception.base.DepthModel`.

    Args:
        name: shown in replies.
        network: a ``DepthAnythingForDepthEstimation``.
        device: torch device.
        rests: whether it lies in the CPU's memory while nobody asks.
        fingerprint: of the files that it was read from.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        device: str = "cpu",
        *,
        rests: bool = False,
        fingerprint: str = "",
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._network = network
        self._device = device
        self._rests = rests

    @without_gradients()
    def disparity(
        self, pixels: Array, size: int = INPUT_SIZE, on_note: OnNote = ignore_note
    ) -> npt.NDArray[np.float32]:
        """See :meth:`backend.perception.base.DepthModel.disparity`.

        If memory does not suffice, the size is halved until it does.
        """
        if not PATCH <= size <= MAX_SIZE:
            raise ShotError(
                "depth_size",
                f"A size of {size} pixels for the depth network is not between {PATCH} "
                f"and {MAX_SIZE}.",
                f"{INPUT_SIZE} is what it was trained on.",
            )
        tried = size
        while True:
            try:
                with on_device(torch.device(self._device), self._network, offload=self._rests):
                    values = self._predict_full_size(pixels, tried)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if tried < 4 * PATCH:
                    raise ShotError(
                        "memory",
                        f"The memory of '{self._device}' does not suffice for {self.name}, "
                        f"not even at {tried} pixels.",
                        "Choose a smaller depth model, or close other programs.",
                    ) from error
            tried //= 2
        if tried < size:
            on_note(
                f"Memory did not suffice to look at the photo with {size} pixels a side; "
                f"{self.name} used {tried}, so outlines are coarser."
            )
        return _normalised(values, self.name)

    def _predict_full_size(self, pixels: Array, size: int) -> Array:
        """``(H, W)`` disparity up to scale and shift."""
        whole = self._predict(pixels, size)
        if max(pixels.shape[:2]) <= TILING_SIDE:
            return whole
        return refine_with_tiles(whole, pixels, lambda part: self._predict(part, size))

    def _predict(self, pixels: Array, size: int) -> Array:
        pixel_values = network_input(pixels, size).to(self._device)
        found = self._network(pixel_values=pixel_values).predicted_depth[:, None].float()
        # align_corners as in the authors' code
        grown = F.interpolate(found, pixels.shape[:2], mode="bilinear", align_corners=True)
        return grown[0, 0].cpu().numpy()


def load(
    name: str, path: Path, device: str = "cpu", *, rests: bool = False, heads: int | None = None
) -> DepthAnything:
    """Load a transformers folder or the authors' ``.pth``.

    Args:
        name: shown in replies.
        path: of the folder or file.
        device: torch device.
        rests: see :class:`DepthAnything`.
        heads: of a ``.pth``; see :func:`backend.perception.convert_depth_anything.load`.

    Raises:
        ShotError: it is damaged, or another model.
    """
    network, mark = read_unchanged(lambda: _network(path, heads), path)
    return DepthAnything(name, network, device, rests=rests, fingerprint=mark)


def _network(path: Path, heads: int | None) -> Any:
    from transformers import DepthAnythingForDepthEstimation

    if not path.is_dir():
        return convert_depth_anything.load(path, heads)
    network = loading.from_folder(DepthAnythingForDepthEstimation, path, ("depth_anything",))
    kind = getattr(network.config, "depth_estimation_type", "relative")
    if kind != "relative":
        raise loading.weights_error(
            path, f"it is a {kind} model, and only the relative ones are read"
        )
    return network


def network_size(height: int, width: int, size: int) -> tuple[int, int]:
    """(height, width) of the network's input.

    Both sides are at least ``size`` and multiples of the patch size, and approximate the photo's
    aspect ratio, which is limited to ``MAX_ASPECT``.

    Source: the authors' "lower bound" resize.
    """
    scale = size / min(height, width)

    def whole(side: int) -> int:
        wanted = min(side * scale, MAX_ASPECT * size)
        nearest = round(wanted / PATCH) * PATCH
        return nearest if nearest >= size else -(-size // PATCH) * PATCH

    return whole(height), whole(width)


def network_input(pixels: Array, size: int) -> Tensor:
    """``(1, 3, h, w)`` float32, normalised; bicubic resize as in training."""
    height, width = network_size(pixels.shape[0], pixels.shape[1], size)
    unit = pixels.astype(np.float32) / np.float32(255)
    unit = cv2.resize(unit, (width, height), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy((unit - MEAN) / STD).movedim(-1, 0)[None].contiguous()


def refine_with_tiles(whole: Array, pixels: Array, predict: Any) -> Array:
    """Refine the disparity of a large photo with overlapping tiles.

    A tile's disparity has its own scale and shift, which are fitted to the whole image's by least
    squares. A tile with a negative fit, as on a plain wall, takes the whole image's values.

    Args:
        whole: (H, W) disparity of the whole photo.
        pixels: uint8 (H, W, 3).
        predict: a part of the photo -> its disparity of the same size.
    """
    height, width = whole.shape
    total = torch.zeros(height, width, dtype=torch.float64)

    def predicted_tiles() -> Iterator[tiles.Tile]:
        for rows, columns in _tiles(height, width):
            reference = whole[rows, columns].astype(np.float64)
            part = fit_scale_shift(predict(np.ascontiguousarray(pixels[rows, columns])), reference)
            share = _ramp(rows, height, total)[:, None] * _ramp(columns, width, total)
            yield rows, columns, torch.from_numpy(part), share

    return tiles.blend(total, predicted_tiles()).float().numpy()


def fit_scale_shift(values: Array, reference: Array) -> Array:
    """Least squares ``scale * values + shift`` to ``reference``; the reference if scale <= 0."""
    values = values.astype(np.float64)
    centred = values - values.mean()
    spread = float((centred**2).sum())
    scale = float((centred * (reference - reference.mean())).sum()) / spread if spread else 0.0
    if not np.isfinite(scale) or scale <= 0:
        return reference
    return scale * centred + reference.mean()


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in _starts(height):
        for left in _starts(width):
            yield (
                slice(top, min(top + TILE_SIDE, height)),
                slice(left, min(left + TILE_SIDE, width)),
            )


def _starts(length: int) -> list[int]:
    if length <= TILE_SIDE:
        return [0]
    steps = -(-(length - TILE_SIDE) // (TILE_SIDE - TILE_OVERLAP))
    return [round(n * (length - TILE_SIDE) / steps) for n in range(steps + 1)]


def _ramp(part: slice, length: int, like: Tensor) -> Tensor:
    """Blend weights of a tile along one axis, ramped where it overlaps with another tile."""
    return tiles.ramp(
        part.stop - part.start,
        TILE_OVERLAP,
        like,
        first=0.5,
        before=part.start > 0,
        after=part.stop < length,
    )


def _normalised(values: Array, name: str) -> npt.NDArray[np.float32]:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ShotError(
            "depth",
            f"{name} gave {bad} of {values.size} depths that are not numbers.",
            "Fetch its weights again, or give a depth map instead.",
        )
    low, high = float(values.min()), float(values.max())
    if high - low <= MIN_RELATIVE_RANGE * max(abs(low), abs(high)):
        raise ShotError(
            "depth",
            f"{name} sees no depth in the photo: all {values.size} pixels are at {high:g}.",
            "Give a depth map, or lift with the ground plane instead.",
        )
    return ((values - low) / (high - low)).astype(np.float32)
