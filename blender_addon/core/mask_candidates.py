"""Candidate masks of one answer to clicks, to go through without asking again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..link.wire import ShotError, content, messages
from .coords import Array

Click = tuple[float, float, bool]
Box = tuple[float, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskCandidate:
    """One mask.

    Attributes:
        bits: the (H, W) mask, eight pixels a byte.
        depth: (n,) float32 of its n pixels, row by row.
        score: how well the model thinks that it fits; None where it does not say.
        logits: what refines this very mask, and its bytes; None where the model has none.
    """

    bits: Array
    depth: Array
    score: float | None
    logits: tuple[messages.ArrayBlob, bytes] | None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        logits = 0 if self.logits is None else len(self.logits[1])
        return self.bits.nbytes + self.depth.nbytes + logits

    def at(self, pixel: Array, size: int) -> tuple[Array, Array]:
        """Which of (n,) pixels it has, bool, and their depth; 0 is the depth of the others.

        Args:
            pixel: row * width + column.
            size: pixels of the photo.
        """
        mask = np.unpackbits(self.bits, count=size).view(bool)
        depth = np.zeros(size, np.float32)
        depth[mask] = self.depth
        return mask[pixel], depth[pixel]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskCandidates:
    """The masks of one answer, best first, and the clicks and the box that they answer."""

    clicks: tuple[Click, ...]
    box: Box
    masks: tuple[MaskCandidate, ...]

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return sum(mask.nbytes for mask in self.masks)

    def label(self, index: int) -> str:
        """Which mask is shown, in words."""
        score = self.masks[index].score
        words = f"Mask {index + 1} of {len(self.masks)}"
        return words if score is None else f"{words} ({score:.2f})"

    def goes_on(self, clicks: Sequence[Click], box: Box) -> bool:
        """Whether these clicks are the answered ones with more after them, in the same box."""
        return (
            len(clicks) > len(self.clicks)
            and _rounded(clicks[: len(self.clicks)]) == _rounded(self.clicks)
            and _rounded_box(box) == _rounded_box(self.box)
        )


def from_reply(
    reply: Any, blobs: Mapping[str, bytes], size: int, clicks: Sequence[Click], box: Box
) -> MaskCandidates:
    """The masks of a ``segmented`` message; one where the server knows of no others.

    Args:
        reply: the message.
        blobs: what it refers to.
        size: pixels of the photo.
        clicks: that were asked with.
        box: likewise.

    Raises:
        ShotError: its parts do not belong together.
    """
    found: list[MaskCandidate] = []
    if not reply.candidates:
        mask = _array(reply.mask, blobs).ravel() > 0
        depths = [_array(reply.depth, blobs).ravel()[mask]]
    else:
        depths = [_array(ref, blobs) for ref in reply.depths]
    for index, ref in enumerate(reply.candidates or (reply.mask,)):
        mask = _array(ref, blobs).ravel() > 0
        told = len(depths) > index and depths[index].shape == (int(mask.sum()),)
        if mask.size != size or not told:
            raise ShotError(
                "reply",
                f"Mask {index + 1} of the answer has {mask.size} pixels, or not as many depths as "
                f"it shows; the photo has {size}.",
                "Pick again; if that does not help, update the backend.",
            )
        logits = reply.logits[index] if index < len(reply.logits) else None
        found.append(
            MaskCandidate(
                bits=np.packbits(mask),
                depth=np.array(depths[index], np.float32),
                score=reply.scores[index] if index < len(reply.scores) else None,
                logits=None if logits is None else (logits, blobs[logits.sha256]),
            )
        )
    return MaskCandidates(clicks=tuple(clicks), box=box, masks=tuple(found))


def _array(ref: Any, blobs: Mapping[str, bytes]) -> Array:
    return content.array_of(ref, blobs[ref.sha256])


def _rounded(clicks: Sequence[Click]) -> list[tuple[float, float, bool]]:
    """As Blender keeps them, in 32 bits."""
    return [(float(np.float32(x)), float(np.float32(y)), bool(on)) for x, y, on in clicks]


def _rounded_box(box: Box) -> list[float]:
    return [float(np.float32(edge)) for edge in box or ()]
