"""The progress bar of `levitor train`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from tqdm import tqdm


class TrainingBar:
    """Steps, time left, loss of late, samples a second, memory; a watcher of a run.

    Args:
        steps: of the run.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._bar: Any = None

    def on_step(self, entry: Mapping[str, Any]) -> None:
        """Show the step."""
        if self._bar is None:
            form = (
                "{percentage:3.0f}% {bar:20} {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
            )
            self._bar = tqdm(
                total=self._steps,
                initial=entry["step"] - 1,
                bar_format=form,
                disable=None,  # a log file gets no bar
                smoothing=0.05,
            )
        loss, memory = entry["average_loss"], entry["memory_gb"]
        said = [
            "no loss yet" if loss is None else f"loss {loss:.4g}",
            f"{entry['samples_per_second']:.3g} samples/s",
        ]
        said += [] if memory is None else [f"{memory:.1f} GB"]
        self._bar.set_postfix_str(", ".join(said), refresh=False)
        self._bar.update()

    def on_samples(self, step: int, frames: Tensor) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
