"""One step of a run: losses of its examples, their gradients, one move of the weights."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from backend.resources import is_out_of_memory
from backend.training.base import Batch, Example, TrainableModel, example_generator
from backend.training.config import RunConfig
from backend.training.loader import Part, Unreadable
from backend.training.optimizer import set_learning_rate
from backend.training.schedule import learning_rate
from protocol.errors import ShotError

NOISE = 0x6E6F697365
"""Added to the seed for noise: examples are drawn by the seed itself, and must share nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a step did; the same in every process.

    Attributes:
        step: from 1.
        numbers: of its examples, those left out too.
        readable: whether each could be read.
        losses: of the readable ones.
        sigmas: noise levels of these.
        loss: mean of ``losses``, NaN where there are none.
        gradient_norm: before it is clipped.
        learning_rate: that the weights were moved with.
        moved: whether they were: a loss or gradient that is no finite number moves none.
        unreadable: of this process.
        seconds: in all, with what it waited for examples.
        waited: seconds for examples.
        stop: whether any process was asked to stop.
    """

    step: int
    numbers: list[int]
    readable: list[bool]
    losses: list[float]
    sigmas: list[float]
    loss: float
    gradient_norm: float
    learning_rate: float
    moved: bool
    unreadable: list[Unreadable]
    seconds: float
    waited: float
    stop: bool

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are numbers; also where no example could be read."""
        return not self.losses or (math.isfinite(self.loss) and math.isfinite(self.gradient_norm))


class LossModule(nn.Module):
    """A model's loss as the forward of one module, as distributed wrappers want it.

    Args:
        model: whose networks become parts of this module.
    """

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(dict(model.networks()))
        self._loss = model.loss

    def forward(
        self, batch: Batch | None, generators: Sequence[Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss, loss of each and noise level of each.

        Without a batch the loss is zero with a gradient of zero for every parameter: a process all
        of whose examples are left out takes part in the exchange of gradients.
        """
        if batch is None:
            trained = [one.sum() for one in self.networks.parameters() if one.requires_grad]
            zero = 0 * torch.stack(trained).sum()
            return zero, zero.new_zeros(0), zero.new_zeros(0)
        found = self._loss(batch, generators)
        return found.mean, found.each.detach(), found.sigmas.detach()


class Stepper:
    """Makes the steps of a run.

    Args:
        accelerator: of this process.
        config: of the run.
        module: prepared by the accelerator, a :class:`LossModule` inside.
        optimizer: likewise.
    """

    def __init__(
        self, accelerator: Accelerator, config: RunConfig, module: nn.Module, optimizer: Optimizer
    ) -> None:
        self._accelerator, self._config = accelerator, config
        self._module, self._optimizer = module, optimizer

    def __call__(self, step: int, parts: list[Part], began: float, stop: bool) -> StepReport:
        """Learn from the examples of one step.

        Args:
            step: from 1.
            parts: this process's examples, see ``loader.parts``.
            began: ``time.perf_counter()`` before they were asked for.
            stop: whether this process is asked to stop.

        Raises:
            ShotError: the device's memory is too small, and what to change.
        """
        waited = time.perf_counter() - began
        kept = [[one for one in part if isinstance(one, Example)] for part in parts]
        try:
            return self._learned(step, parts, kept, began, waited, stop)
        except Exception as error:
            if is_out_of_memory(error):
                raise self._too_little_memory(step, max(kept, key=len)) from error
            raise

    def _learned(
        self,
        step: int,
        parts: list[Part],
        kept: list[list[Example]],
        began: float,
        waited: float,
        stop: bool,
    ) -> StepReport:
        ours = torch.tensor([sum(map(len, kept)), stop], dtype=torch.float32)
        count, stops = (int(one) for one in self._sum(ours))
        self._optimizer.zero_grad(set_to_none=True)
        rows: list[list[float]] = []
        for index, examples in enumerate(kept):
            last = index == len(kept) - 1
            # DDP takes the mean over processes; this makes it the mean over examples
            weight = len(examples) * self._accelerator.num_processes / max(1, count)
            rows += self._backward(examples, weight, exchange=last)
        rows += [
            [float(one.number), 0.0, 0.0, 0.0]
            for part in parts
            for one in part
            if isinstance(one, Unreadable)
        ]
        found = self._gathered(rows)
        rate = learning_rate(self._config, step)
        losses = [row[2] for row in found if row[1]]
        loss = sum(losses) / len(losses) if losses else math.nan
        norm = self._clipped() if count else 0.0
        moved = bool(losses) and math.isfinite(loss) and math.isfinite(norm)
        if moved:
            set_learning_rate(self._optimizer, rate)
            self._optimizer.step()
        return StepReport(
            step=step,
            numbers=[int(row[0]) for row in found],
            readable=[bool(row[1]) for row in found],
            losses=losses,
            sigmas=[row[3] for row in found if row[1]],
            loss=loss,
            gradient_norm=norm,
            learning_rate=rate,
            moved=moved,
            unreadable=[one for part in parts for one in part if isinstance(one, Unreadable)],
            seconds=time.perf_counter() - began,
            waited=waited,
            stop=bool(stops),
        )

    def _backward(
        self, examples: list[Example], weight: float, *, exchange: bool
    ) -> list[list[float]]:
        """Add the examples' gradients; (number, 1, loss, noise level) of each."""
        batch = Batch.of(examples).to(self._accelerator.device) if examples else None
        seed = self._config.seed + NOISE
        generators = [example_generator(seed, one.number) for one in examples]
        waiting = contextlib.nullcontext() if exchange else self._accelerator.no_sync(self._module)
        with waiting:
            mean, each, sigmas = self._module(batch, generators)
            self._accelerator.backward(mean * weight)
        values = torch.stack([each.double().cpu(), sigmas.double().cpu()], 1).tolist()
        pairs = zip(examples, values, strict=True)
        return [[float(one.number), 1.0, loss, sigma] for one, (loss, sigma) in pairs]

    def _clipped(self) -> float:
        clip = self._config.optimizer.clip or math.inf
        norm: Any = self._accelerator.clip_grad_norm_(self._module.parameters(), clip)
        return float(norm)

    def _sum(self, values: Tensor) -> list[float]:
        if self._accelerator.num_processes == 1:
            return values.tolist()
        summed: Any = self._accelerator.reduce(values.to(self._accelerator.device), "sum")
        return summed.tolist()

    def _gathered(self, rows: list[list[float]]) -> list[list[float]]:
        """The rows of all processes, in the order of their numbers."""
        if self._accelerator.num_processes > 1:
            ours = torch.tensor(rows, dtype=torch.float64, device=self._accelerator.device)
            everyones: Any = self._accelerator.gather(ours)
            rows = everyones.tolist()
        return sorted(rows)

    def _too_little_memory(self, step: int, examples: list[Example]) -> ShotError:
        shapes = {tuple(one.frames.shape) for one in examples}
        sizes = " and ".join(f"{f} frames of {w} x {h}" for f, _, h, w in sorted(shapes))
        return ShotError(
            "memory",
            f"The memory of {self._accelerator.device} is too small for step {step}: "
            f"{len(examples)} clips of {sizes or 'no frames'} at once.",
            "Use gradient checkpointing (--set model.checkpointing=true), "
            f"--accumulate {2 * self._config.accumulate} (fewer at once, same result but for "
            "rounding) or --precision bf16; to go on with one of the last two add --force. Or use "
            "fewer frames or a smaller size.",
        )
