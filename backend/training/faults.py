"""What a run stops for, in a sentence: data that cannot be read, losses that are no numbers."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from backend.training.base import Batch, Examples
from backend.training.config import FaultOptions
from backend.training.progress import Progress
from backend.training.step import StepReport
from protocol.errors import ShotError


def check_examples(progress: Progress, options: FaultOptions) -> None:
    """Stop where too many examples cannot be read.

    Raises:
        ShotError: so many in a row, or so large a share, that the data are to be looked at.
    """
    if progress.too_many_left_out(options.in_a_row, options.share):
        raise ShotError(
            "examples",
            f"{progress.left_out} of {progress.next_number} examples cannot be read, the last "
            f"{progress.in_a_row} in a row.",
            "Look at the data with `levitor data check`; --set faults.share and faults.in_a_row "
            "say how many may be missing.",
        )


def save_batch(out: Path, report: StepReport, examples: Examples, writes: bool) -> ShotError:
    """Save the examples of a step whose loss is no finite number, and make the error that says so.

    Those whose own loss is none are saved; all of them where only the gradient is.

    Args:
        out: the run's folder.
        report: of the step.
        examples: of the run, read again by number.
        writes: whether this process is the one that writes.
    """
    readable = [n for n, good in zip(report.numbers, report.readable, strict=True) if good]
    rows = list(zip(readable, report.losses, report.sigmas, strict=True))
    guilty = [row for row in rows if not math.isfinite(row[1])] or rows
    folder = out / f"nan-step-{report.step}"
    where = f"are in {folder}"
    if writes:
        try:
            _save(folder, report, examples, guilty)
        except (OSError, SafetensorError, ShotError) as problem:  # the error below still helps
            where = f"could not be saved ({problem})"
    what = "loss" if not math.isfinite(report.loss) else "gradient"
    return ShotError(
        "nan",
        f"The {what} of step {report.step} is no finite number; examples "
        f"{', '.join(str(row[0]) for row in guilty)} {where}.",
        "Look at frames and maps in its batch.safetensors and at batch.json; then go on with "
        "--resume auto --set faults.nan=skip, or with --resume auto --force and a lower "
        "--learning-rate or --precision fp32.",
    )


def _save(
    folder: Path,
    report: StepReport,
    examples: Examples,
    guilty: Sequence[tuple[int, float, float]],
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    said = [{"number": number, "loss": str(loss), "sigma": sigma} for number, loss, sigma in guilty]
    about = {"step": report.step, "gradient_norm": str(report.gradient_norm)}
    (folder / "batch.json").write_text(json.dumps({**about, "examples": said}, indent=1))
    batch = Batch.of([examples[number] for number, _, _ in guilty])
    save_file({"frames": batch.frames, "maps": batch.maps}, folder / "batch.safetensors")
