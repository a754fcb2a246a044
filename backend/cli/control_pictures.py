"""Pictures of a measured control: a contact sheet of its videos, and the curves of its training."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

SCALE = 2
"""By what small frames are enlarged."""
CAPTION = 78
GAP = 6
SMOOTHED = 0.02
"""Share of a run that one point of a curve is the mean of."""


def contact_sheet(truth: Tensor, made: Mapping[str, Tensor]) -> bytes:
    """PNG bytes: for every clip a line of the truth and one of each row.

    Args:
        truth: ``(S, F, 3, H, W)`` in [0, 1].
        made: by row.
    """
    lines = {"truth": truth, **made}
    clips, frames, _, height, width = truth.shape
    tall, wide = height * SCALE, width * SCALE
    block = len(lines) * tall + GAP
    sheet = Image.new("RGB", (CAPTION + frames * wide, clips * block), "white")
    draw = ImageDraw.Draw(sheet)
    for clip in range(clips):
        for row, (name, shown) in enumerate(lines.items()):
            top = clip * block + row * tall
            draw.text((2, top + tall // 2 - 6), name, fill="black")
            line = (shown[clip].clamp(0, 1) * 255).round().byte().movedim(1, -1).numpy()
            strip = Image.fromarray(np.concatenate(list(line), 1))
            sheet.paste(
                strip.resize((frames * wide, tall), Image.Resampling.NEAREST), (CAPTION, top)
            )
    buffer = io.BytesIO()
    sheet.quantize(256).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def lines(folder: Path) -> list[dict[str, Any]]:
    """Of a run's ``metrics.jsonl``; none where there is no such file."""
    try:
        text = (folder / "metrics.jsonl").read_text("utf-8")
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def curves(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes | None:
    """PNG bytes of the runs' losses by step; None without matplotlib.

    Args:
        runs: lines of ``metrics.jsonl`` by name.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(7, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, found in runs.items():
        steps = np.array([line["step"] for line in found if line["loss"] is not None], float)
        loss = np.array([line["loss"] for line in found if line["loss"] is not None], float)
        window = max(1, round(SMOOTHED * len(loss)))
        if len(loss) < window or not len(loss):
            continue
        mean = np.convolve(loss, np.full(window, 1 / window), "valid")
        axes.plot(steps[window - 1 :], mean, label=name)
    axes.set(xlabel="step", ylabel="loss, moving average", yscale="log")
    axes.grid(alpha=0.3, which="both")
    if axes.lines:
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
