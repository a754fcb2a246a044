"""A measured table as pictures: bars with intervals, and the best, median and worst clips."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from backend.evaluation.intervals import Interval
from backend.evaluation.published import Key, Recipe

Array = npt.NDArray[Any]
HIGHER_IS_BETTER = frozenset({"SSIM", "PSNR"})
SHOWN_FRAMES = 6
FRAME_WIDTH = 160
CAPTION, GAP = 150, 8
COLOURS = ((230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180))


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetLine:
    """A clip on a contact sheet.

    Attributes:
        caption: which one, and its number.
        real: uint8 ``(F, H, W, 3)``.
        made: likewise.
        tracks: ``(F, N, 2)`` where points should be, pixels.
        visible: ``(F, N)``.
    """

    caption: str
    real: Array
    made: Array
    tracks: Array
    visible: Array


def best_median_worst(values: Mapping[str, float], metric: str) -> dict[str, str]:
    """The clips to look at, by word; fewer where there are fewer clips.

    Args:
        values: of the metric, by clip; NaN do not count.
        metric: its name, which says which way is better.
    """
    kept = {name: value for name, value in values.items() if not math.isnan(value)}
    order = sorted(kept, key=lambda name: (kept[name], name))
    if metric in HIGHER_IS_BETTER:
        order.reverse()
    if not order:
        return {}
    found = {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}
    return {
        word: name
        for word, name in found.items()
        if list(found.values()).index(name) == list(found).index(word)
    }


def contact_sheet(lines: Sequence[SheetLine]) -> bytes:
    """PNG bytes: of each clip a strip of the real frames above one of the made ones.

    Circles are where the tracked points should be.
    """
    strips = [(line, _strip(line, line.real), _strip(line, line.made)) for line in lines]
    width = CAPTION + max(strip.shape[1] for _, strip, _ in strips)
    height = sum(2 * strip.shape[0] + GAP for _, strip, _ in strips)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for line, real, made in strips:
        for said, strip in (("real", real), ("made", made)):
            text = f"{line.caption}\n{said}" if said == "real" else said
            draw.text((4, top + 4), text, fill="black")
            sheet.paste(Image.fromarray(strip), (CAPTION, top))
            top += strip.shape[0]
        top += GAP
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def bars(recipe: Recipe, measured: Mapping[Key, Mapping[str, Interval]]) -> bytes | None:
    """PNG bytes: a panel for each metric, measured bars with intervals, published ones hollow.

    None without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    metrics = [
        name for name in (*recipe.metrics, *recipe.ours) if _is_there(name, recipe, measured)
    ]
    rows = [*measured, *(key for key in recipe.rows if key not in measured)]
    figure = Figure(
        figsize=(3.2 * len(metrics) + 2, 0.34 * len(rows) + 1.2), dpi=100, layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    places = np.arange(len(rows))
    for axes, metric in zip(panels, metrics, strict=True):
        for place, key in zip(places, rows, strict=True):
            found = measured.get(key, {}).get(metric)
            if found is not None and math.isfinite(found.mean):
                axes.barh(place, found.mean, color="tab:blue", height=0.7)
                if math.isfinite(found.low):
                    axes.plot([found.low, found.high], [place, place], color="black", linewidth=1.5)
            published = _published(recipe, key, metric)
            if published is not None:
                axes.barh(
                    place, published, facecolor="none", edgecolor="gray", linestyle="--", height=0.7
                )
        better = "higher is better" if metric in HIGHER_IS_BETTER else "lower is better"
        axes.set_title(f"{metric} ({better})", fontsize=9)
    panels[0].set_yticks(places, [" / ".join(part for part in key if part) for key in rows])
    panels[0].invert_yaxis()
    figure.suptitle(f"{recipe.source}: measured (blue, 95 %), published (dashed)", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _published(recipe: Recipe, key: Key, metric: str) -> float | None:
    row = recipe.rows.get(key)
    return (
        None if row is None or metric not in recipe.metrics else row[recipe.metrics.index(metric)]
    )


def _is_there(metric: str, recipe: Recipe, measured: Mapping[Key, Mapping[str, Interval]]) -> bool:
    return metric in recipe.metrics or any(metric in found for found in measured.values())


def _strip(line: SheetLine, frames: Array) -> Array:
    count, height, width = frames.shape[:3]
    at = np.unique(np.linspace(0, count - 1, SHOWN_FRAMES).round().astype(int))
    size = (FRAME_WIDTH, max(1, round(FRAME_WIDTH * height / width)))
    shown = []
    for frame in at:
        picture = cv2.resize(frames[frame], size, interpolation=cv2.INTER_AREA)
        for point in np.flatnonzero(line.visible[frame]):
            x, y = line.tracks[frame, point] * [
                size[0] / line.real.shape[2],
                size[1] / line.real.shape[1],
            ]
            if math.isfinite(x) and math.isfinite(y):
                place = (round(float(x) - 0.5), round(float(y) - 0.5))
                cv2.circle(picture, place, 3, COLOURS[point % len(COLOURS)], 1, cv2.LINE_AA)
        shown.append(picture)
    return np.concatenate(shown, 1)
