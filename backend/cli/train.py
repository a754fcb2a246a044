"""`levitor train`: trains a control network, on one processor or many, and goes on after a stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli import resource_options
from backend.cli.console import counted

if TYPE_CHECKING:
    from backend.resources import Resources
    from backend.training.config import RunConfig
    from backend.training.progress import Progress
    from backend.training.watch import Watcher

DESCRIPTION = """\
Train a network that makes videos obey a control, as a recipe says.

RECIPES AND THEIR DATA (levitor train --list names all)
  tiny-cpu      none: clips are drawn. Photos in --data make their pictures, or some that come
                with libraries. To see that everything works, and that control is obeyed.
  paper         clips of a dataset such as SA-V, prepared once: `levitor prepare VIDEOS -o CLIPS`,
                then --data CLIPS; and the weights svd-xt: `levitor weights fetch svd-xt`.
  single-gpu    the same, on one card of 24 GB. With --tiny both run through on a CPU in minutes, on
                random networks and films: every part works, and nothing is learned.
  no-depth, no-instance, single-point
                the paper's ablations, of tiny-cpu or of the recipe that --base names.
A recipe is a set of named values. Options change the common ones, --set NAME=VALUE any; the run's
config.json has all their names. What the paper leaves open is said when the run starts, each with
its value and where that is from.

WHAT COMES OUT, in the folder --out
  metrics.jsonl   a line a step: step, loss, learning_rate, gradient_norm, loss_by_noise_level,
                  samples_per_second, memory_gb, left_out and more
  checkpoint-N/   after N steps: the networks as the engine loads them, their running average in
                  ema/, and what the run needs to go on: safetensors and JSON, no pickles. The last
                  ones and the best one are kept: the lowest moving average of the loss. That loss
                  is noisy, so look at the samples too.
  samples/        videos of what the model makes (right) of clips (left) of videos that are held
                  back, about 2 in 100; with fewer than 20 videos, of clips that it learns from
  config.json     all values of the run
"""
EPILOG = """\
STOPPING AND GOING ON
  Ctrl-C or SIGTERM ends the step, writes a checkpoint and stops; a second Ctrl-C stops at once.
  The same command with --resume auto goes on from the last whole checkpoint, after a kill or a
  power failure too: one process on a CPU continues bit by bit. One that cannot be read is renamed
  to checkpoint-N.broken; where none can be read, the run is refused and nothing is changed. Other
  options than before are listed and refused; --force takes them. --steps may always be raised; the
  learning rate then falls towards the new end, and a warm-up that was cut to a fifth of the run
  gets longer.

SEVERAL GPUS
  torchrun --standalone --nproc_per_node 8 -m backend train paper --processes 8 --data ... --out ...
  or `accelerate launch` with a configuration of your own, on several machines too, where --out and
  --data are in a folder that all machines share. The batch is that of all processes together and is
  split between them: the same recipe is the same run on any number. Every process holds all that is
  trained, a ControlNet; FSDP and DeepSpeed, which split it, are refused, since checkpoints hold it
  whole. `accelerate launch --cpu` starts one process, whatever it is told: --processes N makes
  sure. Two on a CPU:
  ACCELERATE_USE_CPU=true torchrun --standalone --nproc_per_node 2 -m backend train tiny-cpu ...

OUT OF MEMORY
  --accumulate 2, 4 ... works through each process's share in as many parts: less memory, the same
  result. Then gradient checkpointing (--set model.checkpointing=true), --precision bf16. A run that
  goes on takes gradient checkpointing as it is, the others with --force.

EXAMPLES
  levitor train tiny-cpu --out runs/tiny
  levitor train tiny-cpu --out runs/tiny --resume auto --nice 19
  levitor train no-depth --out runs/no-depth --seed 1
  levitor train paper --tiny --device cpu --out runs/try
  levitor train single-gpu --data sav-prepared --out runs/levitor --tensorboard
"""
EXIT_STOPPED = 130


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "train",
        help="train a control network, on one processor or many",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="see --list")
    parser.add_argument("--list", action="store_true", help="name the recipes and leave")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="what the recipe learns from")
    parser.add_argument(
        "--base", default="tiny-cpu", metavar="RECIPE", help="of an ablation (default: tiny-cpu)"
    )
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="20 steps of paper or single-gpu on random networks and films, made in DIR/tiny",
    )
    run = parser.add_argument_group("the run")
    run.add_argument("--steps", type=int, metavar="N", help="of the optimizer, in all")
    run.add_argument("--seed", type=int, metavar="S", help="first weights, examples and noise")
    run.add_argument("--batch", type=int, metavar="B", help="examples a step, of all processes")
    run.add_argument("--accumulate", type=int, metavar="A", help="parts of a process's share")
    run.add_argument("--learning-rate", type=float, metavar="X", help="at its highest")
    run.add_argument("--precision", choices=("fp32", "bf16"), help="of the networks' arithmetic")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any value, by its name in config.json; may be given several times",
    )
    way = parser.add_argument_group("how it is carried out")
    way.add_argument(
        "--resume",
        default="no",
        metavar="auto|DIR|no",
        help="go on: from the last complete checkpoint in --out, or from that one (default: no)",
    )
    way.add_argument("--force", action="store_true", help="resume with other options too")
    way.add_argument("--checkpoint-every", type=int, metavar="K", help="steps")
    way.add_argument("--keep", type=int, metavar="K", help="of the last checkpoints")
    way.add_argument("--sample-every", type=int, metavar="K", help="steps; 0 makes no videos")
    way.add_argument("--workers", type=int, metavar="W", help="processes that read examples")
    way.add_argument(
        "--processes", type=int, metavar="N", help="refuse to train with another count"
    )
    way.add_argument("--nice", type=int, metavar="N", help="give way to other programs (19: most)")
    way.add_argument("--tensorboard", action="store_true", help="curves in DIR/tensorboard")
    way.add_argument("--wandb", action="store_true", help="curves in Weights & Biases")
    resource_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train; 130 where it was stopped before its last step."""
    if args.list:
        from backend.training.recipes import listed

        for name, what in listed():
            print(f"{name:<14}{what}")
        return 0
    from dataclasses import replace

    from backend.training import recipes, trainer
    from backend.training.run_folder import Place

    config, resources = chosen(args)
    if args.nice and hasattr(os, "nice"):
        os.nice(args.nice)
    place = Place(
        out=args.out,
        resume=args.resume,
        force=args.force,
        processes=args.processes,
        cpu=resources.device == "cpu",
    )
    writes = int(os.environ.get("RANK", "0")) == 0
    _log_to_terminal(writes)
    watchers = _watchers(args, config) if writes else []
    if writes:
        print(*_opening(config), sep="\n", flush=True)
    with _Stopping() as stopping:
        progress = trainer.train(
            config,
            place,
            lambda device: recipes.build(config, replace(resources, device=str(device))),
            watchers,
            lambda: stopping.asked,
        )
    if writes:
        print(*_closing(config, args.out, progress), sep="\n")
    return 0 if progress.step >= config.steps else EXIT_STOPPED


def chosen(args: argparse.Namespace) -> tuple[RunConfig, Resources]:
    """The recipe with the options' values, and what its model may use.

    Raises:
        ShotError: an option is wrong or missing.
    """
    from backend.cli.outputs import check_folder
    from backend.training import recipes
    from backend.training.config import with_values
    from protocol.errors import ShotError

    if args.recipe is None:
        raise ShotError("recipe", "No recipe is named.", "`levitor train --list` names them.")
    config = recipes.recipe(args.recipe, args.base)
    if args.out is None:
        raise ShotError("option", "The run has no folder.", "Add --out DIR.")
    check_folder(args.out)
    resources = resource_options.parse_resource_options(args).resources
    if args.tiny:
        config, resources = recipes.tiny(config, args.out / "tiny", resources)
    given = {
        "steps": args.steps,
        "seed": args.seed,
        "batch": args.batch,
        "accumulate": args.accumulate,
        "optimizer.learning_rate": args.learning_rate,
        "precision": args.precision,
        "source.data": args.data,
        "running.checkpoint_every": args.checkpoint_every,
        "running.keep": args.keep,
        "running.sample_every": args.sample_every,
        "running.workers": args.workers,
    }
    values = {name: str(value) for name, value in given.items() if value is not None}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ShotError("option", f"--set {text:.60} has no value.", "Write --set NAME=VALUE.")
        values[name] = value
    return recipes.settled(with_values(config, values)), resources


def _opening(config: RunConfig) -> list[str]:
    from backend.training.config import FIXED, guesses

    lines = [
        f"{config.recipe}: {counted(config.steps, 'step')} of {counted(config.batch, 'example')}, "
        f"seed {config.seed}. Chosen where the paper leaves it open:"
    ]
    lines += [f"  {name} = {value}  ({source})" for name, value, source in guesses(config)]
    return lines + [f"  {name}: {value}  (no option: {source})" for name, value, source in FIXED]


def _closing(config: RunConfig, out: Path, progress: Progress) -> list[str]:
    from backend.training import checkpoints

    loss = "" if progress.average_loss is None else f", loss {progress.average_loss:.4g} of late"
    lines = [f"{out}: {progress.step} of {counted(config.steps, 'step')} are done{loss}."]
    if (best := checkpoints.best(checkpoints.complete(out))) is not None:
        value = best.progress["average_loss"]
        lines.append(f"The best checkpoint is {best.folder}, moving average of loss {value:.4g}.")
    if progress.left_out:
        lines.append(f"{counted(progress.left_out, 'example')} could not be read.")
    if progress.skipped_steps:
        lines.append(f"{counted(progress.skipped_steps, 'step')} had no finite loss.")
    if progress.step < config.steps:
        lines.append("It was stopped; the same command with --resume auto goes on.")
    return lines


def _watchers(args: argparse.Namespace, config: RunConfig) -> list[Watcher]:
    from backend.cli.training_bar import TrainingBar
    from backend.training.config import flat
    from backend.training.watch import SampleVideos, TensorBoard, WeightsAndBiases

    found: list[Watcher] = [TrainingBar(config.steps), SampleVideos(args.out)]
    if args.tensorboard:
        found.append(TensorBoard(args.out))
    if args.wandb:
        found.append(WeightsAndBiases(args.out, flat(config)))
    return found


def _log_to_terminal(writes: bool) -> None:
    import logging

    from tqdm import tqdm

    class AboveTheBar(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tqdm.write(self.format(record), file=sys.stderr)

    logger = logging.getLogger("backend.training")
    logger.handlers[:] = [AboveTheBar()]
    logger.setLevel(logging.INFO if writes else logging.ERROR)
    logger.propagate = False


class _Stopping:
    """Turns the first SIGINT or SIGTERM into a wish; a second SIGINT is Python's own."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stopping:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
