"""What was asked of a table's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backend.evaluation.clip_sets import KnownClipSet
from backend.evaluation.published import Recipe
from backend.evaluation.recipes.plan import GivenVideos, RenderedBy
from backend.resources import Resources

PROTOCOL = 1
"""Of what is made and measured; videos of another one are not mixed with these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for.

    Attributes:
        recipe: the table.
        sets: of clips, by name; all of the recipe's or some.
        engines: rows to render; the frozen one is among them.
        videos: folders that are rows.
        out: folder of everything.
        resources: memory and weights of depth networks.
        devices: one process each.
        depth: which depth network.
        seed: of the measurement.
        limit: only so many clips of each set; None for all.
        reference: folder of videos for FID and FVD, where the recipe compares with one.
    """

    recipe: Recipe
    sets: Mapping[str, KnownClipSet]
    engines: Sequence[RenderedBy]
    videos: Sequence[GivenVideos]
    out: Path
    resources: Resources = field(default_factory=Resources)
    devices: Sequence[str] = ("cpu",)
    depth: str = "auto"
    seed: int = 0
    limit: int | None = None
    reference: Path | None = None

    def names(self, part: str) -> tuple[str, ...]:
        """The clips of a set that are looked at."""
        return tuple(self.sets[part].names)[: self.limit]
