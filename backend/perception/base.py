"""What a depth model and a segment model are, so that any one can take another's place.

Photos are numpy uint8 (H, W, 3) sRGB in RGB order. Places are (x, y) in the photo's pixels; the
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
"""Called with a sentence the artist should read, when a model did other than was asked."""

INPUT_SIZE = 518
"""Pixels of the shorter side that a depth network looks at unless more is asked for."""


def no_note(sentence: str) -> None:
    """Where nobody reads notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A photo as a segment model sees it; made once a photo, asked once a click.

    Attributes:
        model: name of the model that made it, the only one that can read it.
        key: the photo's content hash.
        height: of the photo.
        width: of the photo.
        features: the model's own.
    """

    model: str
    key: str
    height: int
    width: int
    features: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the artist may have meant by her clicks, best first.

    Attributes:
        masks: ``(C, H, W)`` bool in the photo's pixels.
        scores: ``(C,)`` float32, how well the model thinks that each mask fits, falling.
        logits: ``(C, h, w)`` float32, the masks in the model's own size before the threshold at 0;
            one of them can be given back to refine it. ``None`` where a model has none.
    """

    masks: Array
    scores: Array
    logits: Array | None


class DepthModel(Protocol):
    """Tells what is near in one photo.

    Attributes:
        name: what replies call it.
        fingerprint: of its weights; what it found with others is no answer of its own.
    """

    name: str
    fingerprint: str

    def disparity(
        self, pixels: Array, size: int = INPUT_SIZE, on_note: OnNote = no_note
    ) -> npt.NDArray[np.float32]:
        """How near every pixel is.

        Args:
            pixels: uint8 (H, W, 3).
            size: pixels of the shorter side that the network looks at; more shows finer outlines,
                takes longer and may bend what is large.
            on_note: told when less was done than asked.

        Returns:
            float32 (H, W) in [0, 1]: 1 is the nearest place in the photo, 0 the farthest, linear in
            1/z.

        Raises:
            ShotError: the size makes no sense, memory does not suffice, or the photo has no depth.
        """
        ...


class SegmentModel(Protocol):
    """Finds what a click means.

    Attributes:
        name: of what answers a click.
        automatic_name: of what finds segments without clicks.
        fingerprint: of its weights; empty where it has none.
    """

    name: str
    automatic_name: str
    fingerprint: str

    def encode(self, pixels: Array, key: str = "") -> Embedding:
        """Look at a photo; the last few are remembered by content.

        Args:
            pixels: uint8 (H, W, 3).
            key: its content hash where the caller knows it, else it is computed.
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
        """The instance that the artist points at.

        Args:
            embedding: from :meth:`encode`.
            points: ``(K, 2)`` clicks.
            positive: ``(K,)`` truthy where the click is on the instance.
            box: (x0, y0, x1, y1) around the instance, or None.
            previous: ``(h, w)`` one of the logits of an earlier answer: that very mask is refined,
                so that there is one candidate.

        Raises:
            ShotError: a click or the box lies outside, nothing was asked for, or ``previous`` is
                another model's.
        """
        ...

    def segments(self, embedding: Embedding) -> npt.NDArray[np.int32]:
        """Segments without any click: (H, W), 1..S by falling area, 0 where there is none."""
        ...


def content_key(pixels: Array) -> str:
    """The content hash of a photo, its size included."""
    digest = hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def check_prompts(
    points: Array, positive: Array, box: Sequence[float] | None, height: int, width: int
) -> None:
    """Refuse what cannot mean anything.

    Raises:
        ShotError: a click or the box lies outside the photo, or nothing was asked for.
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
