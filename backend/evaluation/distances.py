"""FID and FVD: the Frechet distance of the features of clips, streamed, with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from backend.evaluation.feature_file import FeatureFile
from backend.evaluation.features import Extractor
from backend.evaluation.frechet import GaussianStatistics, frechet_distance
from backend.evaluation.intervals import (
    RESAMPLES,
    Interval,
    bootstrap_frechet,
    bootstrap_frechet_to,
    resamples_within_reason,
)
from backend.resources import is_out_of_memory
from protocol.errors import ShotError

PICTURES = {"frames": 64, "clips": 8}
"""A batch on a device; halved for as long as it does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """FID or FVD with what has to be printed beside it.

    Attributes:
        value: the distance, with its interval over clips.
        samples: frames or clips of each set.
        kind: which of them.
        extractor: its name and weights.
        notes: what is to be kept in mind.
    """

    value: Interval
    samples: int
    kind: Literal["frames", "clips"]
    extractor: str
    notes: tuple[str, ...] = ()


class ClipDistance:
    """The Frechet distance of real clips and those made from them, a pair at a time.

    Memory does not grow with the clips: means and covariances are streamed, and features, of which
    the interval resamples clips, lie on the disk once they are many.

    Args:
        extractor: of the features.
        batch: frames or clips at once, to begin with; by default what fits.

    Raises:
        ShotError: of :meth:`add` and :meth:`distance`: clips differ in length or size, are too
            short, or too few.
    """

    def __init__(self, extractor: Extractor, batch: int | None = None) -> None:
        self._extractor = extractor
        self._sides = [_Side(extractor, batch) for _ in range(2)]
        self._shape: tuple[int, ...] = ()
        self._clips = 0

    def add(self, real: Tensor, generated: Tensor) -> None:
        """Take in ``(F, 3, H, W)`` in [0, 1] each."""
        for name, clip in (("real", real), ("generated", generated)):
            shape = tuple(clip.shape)
            self._shape = self._shape or shape
            if shape != self._shape:
                raise _refusal(
                    f"The {name} clip {self._clips} is {_said(shape)}, the first one "
                    f"{_said(self._shape)}."
                )
            if len(clip) < self._extractor.least:
                raise _refusal(
                    f"{self._extractor.name} takes clips of {self._extractor.least} frames and "
                    f"more, got {len(clip)}."
                )
        for side, clip in zip(self._sides, (real, generated), strict=True):
            side.add(clip)
        self._clips += 1  # only now, so that a sentence's number is the clip's

    def distance(self) -> Distance:
        """Of all that were added."""
        for side in self._sides:
            side.finish()
        kind = self._extractor.kind
        samples = self._sides[0].statistics.count
        if samples < 2:
            raise _refusal(f"A distance takes at least 2 {kind}, got {samples}.")
        gaussians = [part for side in self._sides for part in side.statistics.gaussian()]
        size = len(gaussians[0])
        each = samples // self._clips
        real, generated = (side.kept.clips(each) for side in self._sides)
        interval = bootstrap_frechet(real, generated)
        return Distance(
            value=interval._replace(mean=frechet_distance(*gaussians)),
            samples=samples,
            kind=kind,
            extractor=f"{self._extractor.name} ({self._extractor.source})",
            notes=tuple(_notes(samples, samples, size, kind)),
        )


class ReferenceSet:
    """Videos that generated ones are compared with as a whole, without being made of them.

    Args:
        extractor: of the features.
        clips: ``(F, 3, H, W)`` in [0, 1] each, all of one length and size.

    Raises:
        ShotError: clips differ in length or size, are too short, or too few.
    """

    def __init__(self, extractor: Extractor, clips: Iterable[Tensor]) -> None:
        self._extractor = extractor
        self._side, count = self._taken(clips, "reference")
        self.clips = count

    def distance(self, clips: Iterable[Tensor]) -> Distance:
        """Of generated clips, with an interval over these.

        Args:
            clips: as the reference's; their number may be another.

        Raises:
            ShotError: as of the class.
        """
        side, count = self._taken(clips, "generated")
        samples, kind = side.statistics.count, self._extractor.kind
        ours = self._side.statistics.gaussian()
        others = self._side.statistics.count
        value = frechet_distance(*ours, *side.statistics.gaussian())
        interval = bootstrap_frechet_to(*ours, side.kept.clips(samples // count))
        return Distance(
            value=interval._replace(mean=value),
            samples=samples,
            kind=kind,
            extractor=f"{self._extractor.name} ({self._extractor.source})",
            notes=(
                f"{samples} {kind} are compared with {others}, of {self.clips} other videos, which "
                "are not resampled.",
                *_notes(min(samples, others), samples, len(ours[0]), kind),
            ),
        )

    def _taken(self, clips: Iterable[Tensor], name: str) -> tuple[_Side, int]:
        side, shape, count = _Side(self._extractor, None), (), 0
        for clip in clips:
            shape = shape or tuple(clip.shape)
            if tuple(clip.shape) != shape or len(clip) < self._extractor.least:
                raise _refusal(
                    f"The {name} clip {count} is {_said(tuple(clip.shape))}; "
                    f"{self._extractor.name} takes {self._extractor.least} frames and more, and "
                    f"the first one is {_said(shape)}."
                )
            side.add(clip)
            count += 1
        side.finish()
        if side.statistics.count < 2:
            raise _refusal(
                f"A distance takes at least 2 {name} {self._extractor.kind}, got "
                f"{side.statistics.count}."
            )
        return side, count


def _notes(samples: int, resampled: int, size: int, kind: str) -> list[str]:
    """What too few samples do to a distance of ``size`` features, and too many to its interval."""
    notes: list[str] = []
    if samples <= size:
        notes.append(
            f"{samples} {kind} for {size} features: the covariance is singular, and the "
            "distance compares only with others of as many."
        )
    resamples = resamples_within_reason(resampled, size)
    if resamples < RESAMPLES:
        notes.append(f"the interval is of {resamples} resamples, not {RESAMPLES}.")
    return notes


class BatchedFeatures:
    """Features of clips in their order, in batches of a size that the device holds.

    No more than a batch and a clip is held.

    Args:
        extractor: of the features.
        batch: frames or clips at once, to begin with; halved for as long as it does not fit.
    """

    def __init__(self, extractor: Extractor, batch: int | None = None) -> None:
        self._extractor = extractor
        self.batch = batch or PICTURES[extractor.kind]
        self._waiting: list[Tensor] = []

    def add(self, clip: Tensor) -> Iterator[Tensor]:
        """Rows of what has become a whole batch with this clip."""
        self._waiting += [clip] if self._extractor.kind == "clips" else list(clip)
        while len(self._waiting) >= self.batch:
            taken = self.batch
            yield self._features(self._waiting[:taken])
            self._waiting = self._waiting[taken:]

    def rest(self) -> Iterator[Tensor]:
        """Rows of the last batch, which counts too, whatever its size."""
        if self._waiting:
            yield self._features(self._waiting)
        self._waiting = []

    def _features(self, pictures: list[Tensor]) -> Tensor:
        rows: list[Tensor] = []
        done = 0
        while done < len(pictures):
            part = pictures[done : done + self.batch]
            try:
                rows.append(self._extractor(torch.stack(part)).detach().cpu().double())
            except RuntimeError as error:
                if self.batch == 1 or not is_out_of_memory(error):
                    raise
                self.batch //= 2
                continue
            done += len(part)
        return torch.cat(rows)


class _Side:
    """Statistics and features of one of the two sets."""

    def __init__(self, extractor: Extractor, batch: int | None) -> None:
        self._features = BatchedFeatures(extractor, batch)
        self.statistics, self.kept = GaussianStatistics(), FeatureFile()

    def add(self, clip: Tensor) -> None:
        self._take(self._features.add(clip))

    def finish(self) -> None:
        self._take(self._features.rest())

    def _take(self, found: Iterator[Tensor]) -> None:
        for rows in found:
            try:
                self.statistics.add(rows)
            except ValueError as error:
                raise _refusal(f"The network gives what is no number: {error}.") from error
            self.kept.add(rows)


def _said(shape: tuple[int, ...]) -> str:
    if len(shape) != 4:
        return "none"
    return f"{shape[0]} frames of {shape[3]} x {shape[2]}"


def _refusal(sentence: str) -> ShotError:
    return ShotError(
        "evaluation_sets", sentence, "Score the same clips, cut to one length and size."
    )
