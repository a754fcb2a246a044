"""The interfaces of depth models and segmentation models.

Photos are numpy uint8 (H, W, 3) sRGB in RGB order. Points are (x, y) in the photo's pixels; the
centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from protocol.errors import ShotError

Array = npt.NDArray[Any]
OnNote = Callable[[str], None]
"""Called with a sentence for the artist if a model did less than was requested."""

INPUT_SIZE = 518
"""Default of a depth network's input: pixels of the shorter side."""


def ignore_note(sentence: str) -> None:
    """The default for ``on_note``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """The image embedding of a segmentation model; computed once per photo, used for every click.

    Attributes:
        model: name of the model that made it; no other can use it.
        key: the photo's content hash.
        height: of the photo.
        width: of the photo.
        features: specific to the model.
    """

    model: str
    key: str
    height: int
    width: int
    features: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Candidate masks for a prompt, best first.

    Attributes:
        masks: ``(C, H, W)`` bool in the photo's pixels.
        scores: ``(C,)`` float32, predicted quality, descending.
        logits: ``(C, h, w)`` float32, the masks at the model's resolution before the threshold at
            0; one of them can be passed back to refine it. ``None`` if the model has none.
    """

    masks: Array
    scores: Array
    logits: Array | None


class DepthModel(Protocol):
    """Monocular depth estimation.

    Attributes:
        name: shown in replies.
        fingerprint: of its weights; part of the key of cached results.
    """

    name: str
    fingerprint: str

    def disparity(
        self, pixels: Array, size: int = INPUT_SIZE, on_note: OnNote = ignore_note
    ) -> npt.NDArray[np.float32]:
        """Predict disparity.

        Args:
            pixels: uint8 (H, W, 3).
            size: shorter side of the network's input; larger gives finer outlines, takes longer and
                may distort large shapes.
            on_note: called if less was done than requested.

        Returns:
            float32 (H, W) in [0, 1], linear in 1/z: 1 is the nearest pixel, 0 the farthest.

        Raises:
            ShotError: the size is out of range, memory does not suffice, or the result is constant.
        """
        ...


class SegmentModel(Protocol):
    """Interactive and automatic segmentation.

    Attributes:
        name: of the method for clicks, shown in replies.
        automatic_name: of the method for automatic segments.
        fingerprint: of its weights; empty if it has none.
    """

    name: str
    automatic_name: str
    fingerprint: str

    def encode(self, pixels: Array, key: str = "") -> Embedding:
        """Compute the embedding of a photo; the last few are cached by content.

        Args:
            pixels: uint8 (H, W, 3).
            key: its content hash; computed if empty.
        """
        ...

    def segment(
        self,
        embedding: Embedding,
        points: Array,
        positive: Array,
        box: Sequence[float] | None,
        previous: Array | None = None,
    ) -> Candidates:
        """Candidate masks for clicks and a box.

        Args:
            embedding: from :meth:`encode`.
            points: ``(K, 2)`` clicks.
            positive: ``(K,)`` truthy where the click is on the instance.
            box: (x0, y0, x1, y1) around the instance, or None.
            previous: ``(h, w)`` logits of one candidate of an earlier call, which is refined; gives
                a single candidate.

        Raises:
            ShotError: a click or the box lies outside, there is no positive prompt, or ``previous``
                is from another model.
        """
        ...

    def segments(self, embedding: Embedding) -> npt.NDArray[np.int32]:
        """Automatic segments: (H, W), 1..S by descending area, 0 for none."""
        ...


def content_key(pixels: Array) -> str:
    """Content hash of a photo, including its size."""
    digest = hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def check_prompts(
    points: Array, positive: Array, box: Sequence[float] | None, height: int, width: int
) -> None:
    """Validate prompts.

    Raises:
        ShotError: a click or the box lies outside the photo, or there is no positive prompt.
    """
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise ShotError(
                "outside",
                f"The click at ({x:g}, {y:g}) is outside the photo of {width} x {height} pixels.",
                "Click inside the photo.",
            )
    if box is None:
        if not np.asarray(positive).any():
            raise ShotError(
                "no_prompt",
                f"There are {len(points)} clicks and none is on the instance.",
                "Click on the instance, or draw a box around it.",
            )
        return
    if len(box) != 4 or not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        numbers = ", ".join(f"{value:g}" for value in box)
        raise ShotError(
            "outside",
            f"The box ({numbers}) is not x0 < x1, y0 < y1 inside {width} x {height} pixels.",
            "Draw the box inside the photo.",
        )
