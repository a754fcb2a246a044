"""What is said of a take: a dictionary for programs, and a picture of its worst frames."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from torch import Tensor

from backend.evaluation.obedience import METHOD, TakeScore
from backend.evaluation.take_video import TakeVideo
from backend.evaluation.trackers import bytes_of

WORST = 3
"""Frames in the picture."""
EXPECTED, FOUND = (255, 255, 255), (255, 60, 200)
"""Colours of outlines."""
CAPTION, GAP = 34, 6
CELL_WIDTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A take's numbers.

    Attributes:
        content: as written to JSON; None for what has no number.
        worst: indices of the worst frames among the take's, worst first.
    """

    content: dict[str, Any]
    worst: tuple[int, ...]


def report_of(
    score: TakeScore, take: TakeVideo, names: Sequence[str], blender_frames: Sequence[float]
) -> Report:
    """The numbers of a take in pixels of its video.

    A frame in which a thing should be seen and was not found counts in its mean error, as the
    diagonal, and in ``frames_lost``; one in which it is not to be seen does not count.

    Args:
        score: of the take's frames.
        take: the take.
        names: of the moving instances.
        blender_frames: of every sample of the shot.
    """
    diagonal = math.hypot(*take.size)
    instances = []
    for name, (item, found) in zip(names, score.things.items(), strict=True):
        seen = [thing for thing in found if thing.in_sight]
        errors = [thing.error * take.scale for thing in found]
        mean = _mean(errors)
        instances.append(
            {
                "id": item,
                "name": name,
                "centroid_error_px": _number(mean),
                "centroid_error_percent": _number(100 * mean / diagonal),
                "mask_iou": _number(_mean([thing.iou for thing in found])),
                "frames_in_sight": len(seen),
                "frames_lost": sum(thing.lost for thing in found),
                "frames": [
                    {
                        "frame": take.numbers[index],
                        "blender_frame": blender_frames[take.samples[index]],
                        "centroid_error_px": _number(error),
                        "mask_iou": _number(thing.iou),
                        "in_sight": thing.in_sight,
                        "lost": thing.lost,
                    }
                    for index, (thing, error) in enumerate(zip(found, errors, strict=True), 1)
                ],
            }
        )
    worst = _worst(score)
    off = _mean([_or_nan(row["centroid_error_px"]) for row in instances])
    content = {
        "format": 1,
        "method": METHOD,
        "frames_compared": len(take.samples) - 1,
        "size": list(take.size),
        "compared_size": list(score.size),
        "instances": instances,
        "centroid_error_px": _number(off),
        "centroid_error_percent": _number(100 * off / diagonal),
        "mask_iou": _number(_mean([_or_nan(row["mask_iou"]) for row in instances])),
        "occlusion_accuracy": _number(score.occlusion_accuracy),
        "occlusion_events": sum(event[0] for event in score.events),
        "background_drift_px": _number(_mean(score.drift) * take.scale),
        "background_drift": [_number(drift * take.scale) for drift in score.drift],
        "worst_frames": [take.numbers[index] for index in worst],
    }
    return Report(content=content, worst=worst)


def worst_frames_picture(
    report: Report,
    score: TakeScore,
    take: TakeVideo,
    draft: Callable[[int], Tensor],
    blender_frames: Sequence[float],
) -> bytes:
    """PNG bytes: what was asked for beside what came, with outlines of where things are.

    Args:
        report: of the take.
        score: of the take.
        take: the take.
        draft: ``(3, h, w)`` that was asked for, by the index of the take's frame.
        blender_frames: of every sample.
    """
    height = round(CELL_WIDTH * take.frames.shape[2] / take.frames.shape[3])
    rows = max(1, len(report.worst))
    size = (3 * GAP + 2 * CELL_WIDTH, GAP + rows * (height + CAPTION + GAP))
    sheet = Image.new("RGB", size, "white")
    drawing = ImageDraw.Draw(sheet)
    for row, index in enumerate(report.worst):
        things = [found[index - 1] for found in score.things.values()]
        sample = take.samples[index]
        asked = bytes_of(draft(index)).copy()
        came = bytes_of(take.frames[index]).copy()
        for thing in things:
            _outline(asked, thing.expected, EXPECTED)
            _outline(came, thing.expected, EXPECTED)
            _outline(came, thing.found, FOUND)
        top = GAP + row * (height + CAPTION + GAP)
        for column, picture in enumerate((asked, came)):
            left = GAP + column * (CELL_WIDTH + GAP)
            shown = Image.fromarray(picture).resize((CELL_WIDTH, height), Image.Resampling.LANCZOS)
            sheet.paste(shown, (left, top))
        said = f"frame {blender_frames[sample]:g}: {_said(report.content['instances'], index)}"
        drawing.text((GAP, top + height + 2), said, fill="black")
        legend = "asked for (white) and found (pink)"
        drawing.text((2 * GAP + CELL_WIDTH, top + height + 2), legend, fill="black")
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _said(instances: list[dict[str, Any]], index: int) -> str:
    said = []
    for row in instances:
        here = row["frames"][index - 1]
        if here["lost"]:
            said.append(f"{row['name'][:20]} not found")
        elif here["in_sight"]:
            said.append(f"{row['name'][:20]} {here['centroid_error_px']:.1f} px off")
    return "; ".join(said) or "the background"


def _worst(score: TakeScore) -> tuple[int, ...]:
    """Frames by their worst thing, or the background; a thing that was not found is worst."""

    def badness(index: int) -> float:
        found = [thing[index - 1] for thing in score.things.values()]
        errors = [thing.error for thing in found if thing.in_sight]
        drift = score.drift[index - 1]
        return max([*errors, 0.0 if math.isnan(drift) else drift])

    order = sorted(range(1, len(score.drift) + 1), key=badness, reverse=True)
    return tuple(order[:WORST])


def _outline(picture: npt.NDArray[np.uint8], mask: Tensor, colour: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(
        mask.numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, contours, -1, colour, 1)


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return round(value, 4) if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
