"""How well a take obeyed its shot: kept as text with the take, and said in words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..link.wire import messages

UNKNOWN = "–"
"""Stands for a number that cannot be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The numbers of a take in words.

    Attributes:
        parts: the three that tell which take to keep, a few words each.
        details: a sentence each, with units, and why one is not known.
    """

    parts: tuple[str, str, str]
    details: tuple[str, ...]

    @property
    def line(self) -> str:
        """The parts in a line, short enough for a sidebar as wide as Blender makes it."""
        return " · ".join(self.parts)


def kept(found: messages.Obedience, names: Mapping[int, str]) -> str:
    """The numbers as JSON, which a file keeps with the take.

    Args:
        found: from the backend.
        names: of the shot's instances, by id.
    """
    numbers = asdict(found)
    for one in numbers["instances"]:
        one["name"] = names.get(one["id"], str(one["id"]))
    return json.dumps(numbers, sort_keys=True)


def said(text: str) -> Said | None:
    """What :func:`kept` wrote, in words; None where it is not that."""
    try:
        numbers = json.loads(text)
        off = _number(numbers["centroid_error_px"])
        percent = _number(numbers["centroid_error_percent"])
        overlap = _number(numbers["mask_iou"])
        right = _number(numbers["occlusion_accuracy"])
        drift = _number(numbers["background_drift_px"])
        frames, places = int(numbers["frames"]), int(numbers["occlusion_events"])
        instances = [_instance(one) for one in numbers["instances"]]
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    looked, lost = (sum(getattr(one, name) for one in instances) for name in ("in_sight", "lost"))
    where = f"Off {_short(off, ' px')} ({_short(percent, '%')})"
    if off is None:
        where = f"Off {UNKNOWN}"
    elif lost == looked:
        where = "Not found"
    parts = (
        where,
        f"overlap {_percent(overlap)}",
        f"order {'ok' if right == 1 else _percent(right)}",
    )
    nothing = (
        f"nothing that moves is in sight in the {_counted(frames, 'frame')} that were compared"
        if instances
        else "nothing moves in this shot but the camera"
    )
    details = [
        f"Off: {nothing}."
        if off is None or percent is None
        else f"Off {_pixels(off)} of the take, {percent:.2f}% of its diagonal: how far what moves "
        f"is from where the shot has it, the mean of {_counted(frames, 'frame')}.",
        f"Overlap: {nothing}."
        if overlap is None
        else f"Overlap {_percent(overlap)}: of all the pixels where things are or should be, those "
        "where both is so (mask IoU).",
        "Order: nothing visibly hides anything in the frames that were compared."
        if right is None
        else f"Order: where one thing hides another, the right one is in front "
        f"{_counted(round(right * places), 'time')} of {places}.",
        "Background: too plain, or too unlike the photo, to see whether it stays."
        if drift is None
        else f"Background: off {_pixels(drift)}.",
    ]
    if len(instances) > 1 or any(one.lost for one in instances):
        details += [one.sentence for one in instances]
    return Said(parts=parts, details=tuple(details))


@dataclass(frozen=True, slots=True)
class _Instance:
    name: str
    off: float | None
    overlap: float | None
    in_sight: int
    lost: int

    @property
    def sentence(self) -> str:
        """What there is to say of it alone."""
        if self.off is None:
            return f"{self.name}: not in sight."
        text = f"{self.name}: off {_pixels(self.off)}, overlap {_percent(self.overlap)}"
        if self.lost:
            text += (
                f"; not found in {self.lost} of {_counted(self.in_sight, 'frame')}, which counts "
                "as the whole diagonal"
            )
        return f"{text}."


def _instance(one: Any) -> _Instance:
    return _Instance(
        str(one["name"]),
        _number(one["centroid_error_px"]),
        _number(one["mask_iou"]),
        int(one["in_sight"]),
        int(one["lost"]),
    )


def _number(value: Any) -> float | None:
    """A number, or None; raises ValueError for what is neither."""
    if value is None:
        return None
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value} is no number")
    return number


def _pixels(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f} px"


def _short(value: float | None, unit: str) -> str:
    """Two digits or three."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


def _percent(share: float | None) -> str:
    """Rounded down, so that 100 % is all of it."""
    return UNKNOWN if share is None else f"{math.floor(100 * share + 1e-9)}%"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
