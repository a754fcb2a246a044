"""The models that look at photos here, and what they found before."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from backend.perception import outline
from backend.perception.base import (
    Array,
    Candidates,
    DepthModel,
    OnNote,
    SegmentModel,
    content_key,
)
from backend.perception.cache import ResultCache
from backend.perception.edges import clean_edges
from backend.perception.offline import ColourSegments, checked_mask
from protocol.errors import ShotError


@dataclass(frozen=True, slots=True, kw_only=True)
class Perception:
    """What a lift and a click are answered with.

    Attributes:
        depth: the depth network, or ``None`` for a ground plane.
        segments: what clicks and automatic segments are answered by.
        cache: where results are kept, or ``None``.
        notes: what the artist should know of the choice of these models.
    """

    depth: DepthModel | None = None
    segments: SegmentModel = field(default_factory=ColourSegments)
    cache: ResultCache | None = None
    notes: tuple[str, ...] = ()

    def disparity(
        self, pixels: Array, key: str, size: int, clean: bool, on_note: OnNote
    ) -> npt.NDArray[np.float32]:
        """(H, W) in [0, 1] from the depth network, or from the cache.

        Args:
            pixels: uint8 (H, W, 3).
            key: the photo's content hash; "" where it is not known.
            size: see :meth:`backend.perception.base.DepthModel.disparity`.
            clean: without pixels that hang between a thing and what lies behind it.
            on_note: told when less was done than asked; such a result is not kept.

        Raises:
            ShotError: the network cannot, or there is none.
        """
        if self.depth is None:
            raise ShotError("depth", "There is no depth network here.", "Fetch one.")
        key = key or content_key(pixels)
        options = {"size": size, "clean": clean}
        model = f"{self.depth.name} {self.depth.fingerprint}"
        kept = self._kept(key, model, options, "disparity", pixels)
        if kept is not None:
            return kept
        notes: list[str] = []
        disparity = self.depth.disparity(pixels, size, notes.append)
        if clean:
            disparity = clean_edges(disparity)
        for note in notes:
            on_note(note)
        if self.cache is not None and not notes:
            self.cache.put(key, model, options, {"disparity": disparity})
        return disparity

    def static_segments(self, pixels: Array, key: str) -> npt.NDArray[np.int32]:
        """(H, W): 1..S by falling area, 0 where there is none; or from the cache."""
        key = key or content_key(pixels)
        model = f"{self.segments.automatic_name} {self.segments.fingerprint}"
        kept = self._kept(key, model, {}, "segments", pixels)
        if kept is not None:
            return kept
        segments = self.segments.segments(self.segments.encode(pixels, key))
        if self.cache is not None:
            self.cache.put(key, model, {}, {"segments": segments})
        return segments

    def _kept(
        self, key: str, model: str, options: dict[str, int | bool], name: str, pixels: Array
    ) -> Array | None:
        if self.cache is None:
            return None
        found = (self.cache.get(key, model, options) or {}).get(name)
        return found if found is not None and found.shape == pixels.shape[:2] else None


def possible_masks(
    pixels: Array, found: Candidates
) -> tuple[tuple[npt.NDArray[np.bool_], ...], list[int]]:
    """Candidates that can be an instance, and which ones of ``found`` they are.

    A network's follow the photo's colours along their outlines; what is empty, everything, or like
    a better one is left out.

    Raises:
        ShotError: none is left.
    """
    band = outline.mask_band(*pixels.shape[:2]) if found.logits is not None else 0
    masks: list[npt.NDArray[np.bool_]] = []
    kept: list[int] = []
    for index, mask in enumerate(found.masks):
        refined = outline.refined_mask(pixels, mask, band)
        some = refined.any() and not refined.all()
        if some and not any((refined == better).all() for better in masks):
            masks.append(refined)
            kept.append(index)
    if not kept:
        checked_mask(found.masks[0])
    return tuple(masks), kept
