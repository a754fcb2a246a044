"""The training loop: from a configuration, a model and examples to checkpoints and curves.

It knows batches, processes and files, and no network (``base``). A run that is killed at any moment
and resumed goes on as if nothing had happened: on one CPU process bit by bit.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from safetensors.torch import load_file, save_file
from torch import Tensor

from backend.files.atomic import write_atomically
from backend.training import checkpoints, config, optimizer, random_states
from backend.training.averages import RunningAverages
from backend.training.base import Examples, Sampler, TrainableModel
from backend.training.checkpoints import CONFIG, Checkpoint, NotWrittenError
from backend.training.config import RunConfig
from backend.training.faults import check_examples, save_batch
from backend.training.journal import Journal
from backend.training.loader import Split, parts
from backend.training.progress import Progress
from backend.training.report import line, peak_memory
from backend.training.run_folder import Place, clean, starting_point
from backend.training.samples import make_samples
from backend.training.step import LossModule, Stepper, StepReport
from backend.training.watch import Watcher, Watchers
from protocol.errors import ShotError

log = logging.getLogger(__name__)

Build = Callable[[torch.device], tuple[TrainableModel, Examples]]
"""Makes the model, its frozen networks on the device, and the examples."""
MIXED = {"fp32": "no", "bf16": "bf16"}
SPLITTING = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
RANDOM, AVERAGES = "random.safetensors", "ema"


def train(
    run: RunConfig,
    place: Place,
    build: Build,
    watchers: Sequence[Watcher] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Progress:
    """Carry out a run, or what is left of it.

    Args:
        run: what it is.
        place: where it lies and what it goes on from.
        build: makes model and examples; its hidden randomness is set by the run's seed.
        watchers: are told of every step, in the process that writes; closed at the end.
        stopped: asked before each step; the run then writes a checkpoint and ends.

    Returns:
        What the run has behind it, fewer steps than asked for if it was stopped.

    Raises:
        ShotError: options, folder, data or memory do not allow it; says what to do.
    """
    accelerator, told = _accelerator(run, place), Watchers(watchers)
    try:
        _check_processes(accelerator, place)
        config.check(run, accelerator.num_processes)
        start = starting_point(place, config.flat(run), run.steps)
        # Also waits for all, before the first writes what the last still looks for
        _check_one_start(accelerator, place.out, 0 if start is None else start.step)
        random_states.start(run.seed)
        model, examples = build(accelerator.device)
        trainer = Trainer(accelerator, run, place.out, model, examples)
        if start is not None:
            trainer.restore(start)
        return trainer.run(told, stopped)
    finally:
        told.close()
        accelerator.end_training()
        # Another run of this process may use another precision or device
        AcceleratorState._reset_state(reset_partial_state=True)


def _accelerator(run: RunConfig, place: Place) -> Accelerator:
    bucket_view = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
    return Accelerator(
        cpu=place.cpu, mixed_precision=MIXED[run.precision], kwargs_handlers=[bucket_view]
    )


def _check_processes(accelerator: Accelerator, place: Place) -> None:
    """Refuse another count of processes than was asked for, and what splits a model between them.

    Args:
        accelerator: of this process.
        place: says how many there are to be.

    Raises:
        ShotError: there are others.
    """
    if place.processes not in (None, accelerator.num_processes):
        raise ShotError(
            "processes",
            f"{accelerator.num_processes} training processes are here, not {place.processes}.",
            "Start them with `torchrun --standalone --nproc_per_node N -m backend train ...`; "
            "`accelerate launch --cpu` starts one, whatever it is told.",
        )
    if accelerator.distributed_type in SPLITTING:
        raise ShotError(
            "processes",
            f"{accelerator.distributed_type.value} splits weights and optimizer between processes; "
            "checkpoints here hold them whole.",
            "Use an Accelerate configuration without it: what is trained, a ControlNet, takes 11 "
            "GB with its optimizer, 4 GB less in 8 bits.",
        )


def _check_one_start(accelerator: Accelerator, out: Path, step: int) -> None:
    """Refuse processes that have found different checkpoints.

    Args:
        accelerator: of this process.
        out: the run's folder.
        step: that this process goes on from.

    Raises:
        ShotError: they see different folders.
    """
    everyones: Any = accelerator.gather(torch.tensor([step], device=accelerator.device))
    steps = everyones.tolist()
    if len(set(steps)) > 1:
        raise ShotError(
            "resume",
            f"The processes do not go on from the same step: {', '.join(map(str, steps))}. They "
            f"see different folders {out}.",
            "Put --out, and --data too, in a folder that all machines share.",
        )


class Trainer:
    """A run: its networks, optimizer, averages and progress.

    Args:
        accelerator: of this process.
        run: what the run is.
        out: its folder.
        model: what learns.
        examples: from what.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        run: RunConfig,
        out: Path,
        model: TrainableModel,
        examples: Examples,
    ) -> None:
        self._accelerator, self._run, self._out = accelerator, run, out
        self._model, self._examples = model, examples
        self.progress = Progress()
        module = LossModule(model)
        module.to(accelerator.device).train()
        trained = {
            name: one for name, one in module.networks.named_parameters() if one.requires_grad
        }
        self._names = list(trained)
        self._averages = None
        if run.average.kind != "none":
            self._averages = RunningAverages(model.networks(), run.average)
        prepared: Any = accelerator.prepare(module, optimizer.make(trained, run.optimizer))
        self._optimizer = prepared[1]
        self._step = Stepper(accelerator, run, *prepared)
        random_states.start(run.seed, accelerator.process_index)

    @property
    def _writes(self) -> bool:
        return self._accelerator.is_main_process

    def run(self, watchers: Watchers, stopped: Callable[[], bool]) -> Progress:
        """Make the steps that are left; see :func:`train`."""
        if not self._writes:
            return self._steps(None, watchers, stopped)
        self._out.mkdir(parents=True, exist_ok=True)
        clean(self._out, self.progress.step)
        text = json.dumps(config.flat(self._run), indent=1)
        write_atomically(self._out / CONFIG, text.encode())
        with closing(Journal(self._out, self.progress.step)) as journal:
            return self._steps(journal, watchers, stopped)

    def _steps(
        self, journal: Journal | None, watchers: Watchers, stopped: Callable[[], bool]
    ) -> Progress:
        run, accelerator = self._run, self._accelerator
        split = Split(
            batch=run.batch,
            accumulate=run.accumulate,
            processes=accelerator.num_processes,
            process=accelerator.process_index,
        )
        left = run.steps - self.progress.step
        stream = parts(self._examples, split, self.progress.next_number, left, run.running.workers)
        saved = self.progress.step
        while self.progress.step < run.steps:
            began = time.perf_counter()
            report = self._step(self.progress.step + 1, next(stream), began, stopped())
            self._after(report, journal, watchers)
            if report.stop or report.step % run.running.checkpoint_every == 0:
                self.save(journal)
                saved = report.step
            if report.stop:
                return self.progress
        if saved != self.progress.step:
            self.save(journal)
        return self.progress

    def _after(self, report: StepReport, journal: Journal | None, watchers: Watchers) -> None:
        """Take a step into progress, averages and journal, or end the run over it."""
        counts = report.losses and report.finite
        skipped = not report.finite
        self.progress = self.progress.after(
            report.loss if counts else None, report.readable, skipped
        )
        for one in report.unreadable:
            log.warning("Example %d is left out: %s", one.number, one.why)
        if report.moved and self._averages is not None:
            self._averages.update(report.step)
        if journal is not None:
            entry = line(report, self.progress, peak_memory(self._accelerator.device))
            journal.write(entry)
            watchers.on_step(entry)
        if skipped:
            log.warning("Step %d has no finite loss; the weights stay.", report.step)
            if self._run.faults.nan == "stop":
                raise save_batch(self._out, report, self._examples, self._writes)
        check_examples(self.progress, self._run.faults)
        every = self._run.running.sample_every
        if journal is not None and watchers and every and report.step % every == 0:
            self._show(watchers)

    def _show(self, watchers: Watchers) -> None:
        """Show watchers what the model makes of a few examples."""
        if not isinstance(self._model, Sampler):
            return
        made = make_samples(
            self._model, self._model, self._examples, self._run.seed, self._accelerator.device
        )
        if made is not None:
            watchers.on_samples(self.progress.step, made)

    def save(self, journal: Journal | None) -> None:
        """Write a checkpoint; where the disk does not take it the run goes on without."""
        states = self._random_states()
        if journal is not None:
            try:
                journal.sync()
                path = checkpoints.write(
                    self._out,
                    self.progress.step,
                    lambda folder: self._fill(folder, states),
                    config.flat(self._run),
                    asdict(self.progress),
                    self._accelerator.num_processes,
                )
                checkpoints.prune(self._out, self._run.running.keep)
                log.info("%s is written.", path)
            except (NotWrittenError, OSError) as problem:
                log.error(
                    "No checkpoint of step %d: %s. The one before is as it was; training goes on, "
                    "and the next one is tried again.",
                    self.progress.step,
                    problem,
                )
        self._accelerator.wait_for_everyone()

    def _fill(self, folder: Path, states: Mapping[str, Tensor]) -> None:
        self._model.save(folder, self._model.networks())
        if self._averages is not None:
            (folder / AVERAGES).mkdir()
            self._model.save(folder / AVERAGES, self._averages.networks)
        optimizer.save_state(self._optimizer.optimizer, self._names, folder)
        save_file(dict(states), folder / RANDOM)

    def _random_states(self) -> dict[str, Tensor]:
        """Those of all processes."""
        found: dict[str, Tensor] = {}
        for name, state in random_states.read().items():
            everyones: Any = self._accelerator.gather(state[None].to(self._accelerator.device))
            for process, row in enumerate(everyones.cpu()):
                found[f"process-{process}.{name}"] = row.contiguous()
        return found

    def restore(self, start: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            ShotError: its files do not fit this run.
        """
        if self._averages is not None:
            if (start.folder / AVERAGES).is_dir():
                self._model.load(start.folder / AVERAGES)
            else:  # by --force: the average starts with the weights as they are
                self._model.load(start.folder)
            self._averages.take()
        self._model.load(start.folder)
        optimizer.load_state(self._optimizer.optimizer, self._names, start.folder)
        processes, mine = self._accelerator.num_processes, self._accelerator.process_index
        if start.processes == processes:
            begin = f"process-{mine}."
            states = load_file(start.folder / RANDOM)
            random_states.write(
                {key.removeprefix(begin): value for key, value in states.items() if begin in key}
            )
        else:
            log.warning(
                "The run was in %d processes and is now in %d: same examples and noise, other "
                "rounding.",
                start.processes,
                processes,
            )
        self.progress = Progress(**start.progress)
        log.info("The run goes on from %s.", start.folder)
