"""The learning rate of a step, a pure function: a resumed run needs no state for it."""

from __future__ import annotations

import math

from backend.training.config import RunConfig


def learning_rate(config: RunConfig, step: int) -> float:
    """The rate that step ``step`` (from 1) learns with."""
    schedule, highest = config.schedule, config.optimizer.learning_rate
    warmup = min(schedule.warmup, config.steps // 5)
    if step <= warmup:
        return highest * step / (warmup + 1)
    if schedule.shape == "constant":
        return highest
    past = min(1.0, (step - warmup - 1) / max(1, config.steps - warmup))
    wave = 0.5 * (1 + math.cos(math.pi * past))
    return highest * (schedule.floor + (1 - schedule.floor) * wave)
