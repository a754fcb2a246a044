"""The depth and segmentation models of one job, with the cache of their results."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from backend.perception.base import (
    Array,
    DepthModel,
    OnNote,
    SegmentModel,
    content_key,
)
from backend.perception.cache import ResultCache
from backend.perception.classical import ColourSegments
from backend.perception.flying_pixels import remove_flying_pixels
from protocol.errors import ShotError


@dataclass(frozen=True, slots=True, kw_only=True)
class Perception:
    """The models that a lift and a click use.

    Attributes:
        depth: the depth network, or ``None`` for a flat scene.
        segments: the model for clicks and automatic segments.
        cache: of results, or ``None``.
        notes: sentences for the artist on the choice of these models.
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
            key: the photo's content hash; computed if empty.
            size: see :meth:`backend.perception.base.DepthModel.disparity`.
            clean: whether flying pixels are removed.
            on_note: called if less was done than requested; such a result is not cached.

        Raises:
            ShotError: the network failed, or there is none.
        """
        if self.depth is None:
            raise ShotError("depth", "There is no depth network here.", "Fetch one.")
        key = key or content_key(pixels)
        options = {"size": size, "clean": clean}
        model = f"{self.depth.name} {self.depth.fingerprint}"
        kept = self._cached(key, model, options, "disparity", pixels)
        if kept is not None:
            return kept
        notes: list[str] = []
        disparity = self.depth.disparity(pixels, size, notes.append)
        if clean:
            disparity = remove_flying_pixels(disparity)
        for note in notes:
            on_note(note)
        if self.cache is not None and not notes:
            self.cache.put(key, model, options, {"disparity": disparity})
        return disparity

    def static_segments(self, pixels: Array, key: str) -> npt.NDArray[np.int32]:
        """(H, W): automatic segments 1..S by descending area, 0 for none; or from the cache."""
        key = key or content_key(pixels)
        model = f"{self.segments.automatic_name} {self.segments.fingerprint}"
        kept = self._cached(key, model, {}, "segments", pixels)
        if kept is not None:
            return kept
        segments = self.segments.segments(self.segments.encode(pixels, key))
        if self.cache is not None:
            self.cache.put(key, model, {}, {"segments": segments})
        return segments

    def _cached(
        self, key: str, model: str, options: dict[str, int | bool], name: str, pixels: Array
    ) -> Array | None:
        if self.cache is None:
            return None
        found = (self.cache.get(key, model, options) or {}).get(name)
        return found if found is not None and found.shape == pixels.shape[:2] else None
