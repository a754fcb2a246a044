"""A model of a few hundred weights and examples to go with it, for tests of the loop.

It has a loss with noise levels like a real one, dropout, which draws from torch's hidden generator,
and files of its own. As a program it trains in processes side by side, each with arguments of its
own, and dies where it is told to (``program``):

    OUT '{"steps": 9, ...}' [--die-at-step N | --die-in-checkpoint N | --interrupt-at-step N]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from backend.cli.train import _Stopping
from backend.training.base import Example, StepLoss, example_generator
from backend.training.config import (
    AverageOptions,
    FaultOptions,
    OptimizerOptions,
    RunConfig,
    RunningOptions,
    ScheduleOptions,
    with_values,
)
from backend.training.run_folder import Place
from backend.training.trainer import train
from protocol.errors import ShotError

ROOT = Path(__file__).parents[2]
FRAMES, SIZE = 2, 8
LIMIT = 300
"""Seconds after which a process that hangs is ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyOptions:
    """``nan_at``: the number of an example whose loss is no number; likewise for memory."""

    width: int = 4
    dropout: float = 0.1
    nan_at: int = -1
    no_memory_at: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySource:
    """``broken``: remainders by 10 of the numbers whose example cannot be read."""

    broken: tuple[int, ...] = ()


class ToyExamples:
    def __init__(self, source: ToySource, seed: int) -> None:
        self._source, self._seed = source, seed

    def __getitem__(self, number: int) -> Example:
        if number % 10 in self._source.broken:
            raise ShotError("video", f"Clip {number} is cut short.")
        generator = example_generator(self._seed, number)
        maps = torch.rand((FRAMES, 1, SIZE, SIZE), generator=generator)
        return Example(number=number, frames=maps.expand(-1, 3, -1, -1).clone(), maps=maps)


class ToyModel:
    """Removes noise from frames, with the maps as a hint."""

    def __init__(self, options: ToyOptions) -> None:
        self._options = options
        self.net = nn.Sequential(
            nn.Conv2d(4, options.width, 3, padding=1),
            nn.SiLU(),
            nn.Dropout(options.dropout),
            nn.Conv2d(options.width, 3, 1),
        )
        self.when_saving = lambda folder: None

    def networks(self):
        return {"denoiser": self.net}

    def loss(self, batch, generators):
        if self._options.no_memory_at in batch.numbers:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        device = batch.frames.device
        sigmas = torch.stack([torch.randn((), generator=one) for one in generators]).exp()
        shape = batch.frames.shape[1:]
        noise = torch.stack([torch.randn(shape, generator=one) for one in generators])
        sigmas, noise = sigmas.to(device), noise.to(device)
        noisy = batch.frames + sigmas[:, None, None, None, None] * noise
        seen = torch.cat([noisy, batch.maps], 2)
        clean = self.net(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        each = (clean - batch.frames).pow(2).mean((1, 2, 3, 4))
        if self._options.nan_at in batch.numbers:
            bad = torch.tensor([one == self._options.nan_at for one in batch.numbers])
            each = torch.where(bad.to(device), each * float("nan"), each)
        return StepLoss(mean=each.mean(), each=each.detach(), sigmas=sigmas)

    def save(self, folder, networks):
        for name, one in networks.items():
            (folder / name).mkdir(exist_ok=True)
            weights = {key: value.contiguous().cpu() for key, value in one.state_dict().items()}
            save_file(weights, folder / name / "weights.safetensors")
        self.when_saving(folder)

    def load(self, folder):
        for name, one in self.networks().items():
            one.load_state_dict(load_file(folder / name / "weights.safetensors"))


def toy_run(**values) -> RunConfig:
    """A run of the toy; values by dotted name, as text."""
    run = RunConfig(
        recipe="toy",
        model=ToyOptions(),
        source=ToySource(),
        steps=9,
        batch=4,
        seed=3,
        optimizer=OptimizerOptions(learning_rate=1e-2),
        schedule=ScheduleOptions(warmup=2, shape="cosine"),
        average=AverageOptions(kind="power"),
        faults=FaultOptions(),
        running=RunningOptions(checkpoint_every=3, keep=2),
    )
    return with_values(run, {name.replace("__", "."): str(one) for name, one in values.items()})


def toy_build(run: RunConfig, when_saving=lambda folder: None):
    """What ``train`` makes model and examples with."""

    def build(device):
        model = ToyModel(run.model)
        model.when_saving = when_saving
        return model, ToyExamples(run.source, run.seed)

    return build


class Told:
    """A watcher that calls a function after each step."""

    def __init__(self, on_step, on_samples=lambda step, frames: None, close=lambda: None):
        self.on_step, self.on_samples, self.close = on_step, on_samples, close


def die() -> None:
    """As by `kill -9`: nothing of this process is run after it."""
    os.kill(os.getpid(), signal.SIGKILL)


def program(
    runs: Sequence[Sequence[object]], environments: Sequence[Mapping[str, str]] = (), **shared: str
) -> tuple[list[int], str]:
    """Train in one process for each of ``runs``, all at once.

    Args:
        runs: arguments of each.
        environments: what each has for itself; nothing if empty.
        shared: what all have.

    Returns:
        Their exit codes, minus the signal's number where one ended them, and what they said.
    """
    told = [
        {"arguments": [str(one) for one in arguments], "environment": environment}
        for arguments, environment in zip(runs, environments or [{}] * len(runs), strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.toy", json.dumps(told)],
        cwd=ROOT,
        env={**os.environ, **shared},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def start(runs) -> None:
    """Fork a process for each when all is imported, and before a thread is started."""
    import torch._dynamo  # noqa: F401 - each optimizer would import it

    started = []
    for one in runs:
        started.append(os.fork())
        if started[-1] == 0:
            os.setsid()  # a group of its own, which --interrupt-at-step signals
            signal.alarm(LIMIT)
            os.environ.update(one["environment"])
            main(one["arguments"])
            return
    codes = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in started]
    print(json.dumps(codes))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("values", type=json.loads)
    parser.add_argument("--resume", default="no")
    parser.add_argument("--die-at-step", type=int)
    parser.add_argument("--die-in-checkpoint", type=int)
    parser.add_argument("--interrupt-at-step", type=int)
    parser.add_argument("--interrupt-by", default="SIGINT")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--broken", type=json.loads, default=())
    args = parser.parse_args(arguments)
    run = toy_run(**args.values)
    run = replace(run, source=ToySource(broken=tuple(args.broken)))

    def on_step(entry):
        if entry["step"] == args.die_at_step:
            die()
        if entry["step"] == args.interrupt_at_step:  # Ctrl-C in a terminal, or a batch system
            os.killpg(os.getpgrp(), signal.Signals[args.interrupt_by])

    def when_saving(folder):
        if folder.name == f"checkpoint-{args.die_in_checkpoint}.part":
            die()

    place = Place(out=args.out, resume=args.resume, cpu=True, processes=args.processes)
    try:
        with _Stopping() as stopping:
            train(
                run,
                place,
                toy_build(run, when_saving),
                [Told(on_step)],
                lambda: stopping.asked,
            )
    except ShotError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    start(json.loads(sys.argv[1]))
