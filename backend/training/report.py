"""A step in numbers for people: a line of ``metrics.jsonl``, from which all curves are drawn."""

from __future__ import annotations

import sys
from typing import Any

import torch

from backend.training.journal import by_noise_level
from backend.training.progress import Progress
from backend.training.step import StepReport


def line(report: StepReport, progress: Progress, memory: float | None) -> dict[str, Any]:
    """What there is to know of a step.

    Returns:
        ``step``, ``loss`` (null where it is no number) and the rest by name: rates a second,
        memory in GB, losses by bucket of noise level, numbers of examples that were left out, and
        running counts in ``..._in_all``.
    """
    left_out = [n for n, good in zip(report.numbers, report.readable, strict=True) if not good]
    return {
        "step": report.step,
        "loss": report.loss,
        "average_loss": progress.average_loss,
        "learning_rate": report.learning_rate,
        "gradient_norm": report.gradient_norm,
        "loss_by_noise_level": by_noise_level(report.losses, report.sigmas),
        "samples_per_second": len(report.numbers) / max(report.seconds, 1e-9),
        "seconds": report.seconds,
        "seconds_for_examples": report.waited,
        "memory_gb": memory,
        "left_out": left_out,
        "left_out_in_all": progress.left_out,
        "skipped_steps_in_all": progress.skipped_steps,
    }


def peak_memory(device: torch.device) -> float | None:
    """The most memory that this process has used: of the device, or of the CPU; GB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
