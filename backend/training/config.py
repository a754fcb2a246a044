"""What a run is: frozen options that decide its weights, read from text, compared and listed.

Everything that decides the weights stands in :class:`RunConfig`; where a run lies and on what it
runs does not (``trainer.Place``). A guess about what the paper's authors never published is a field
made by :func:`guess`, which carries the source of its value.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from protocol.errors import ShotError

SOURCE = "source"
"""Key of a field's metadata under which a guess says where its value comes from."""
SVD_XTEND = "SVD_Xtend's train_svd.py, which the authors credit"
"""Source: github.com/pixeli99/SVD_Xtend."""
TORCH = "torch's default; the paper says AdamW only"
WIDEST = 0.28
"""Of an average's profile: no power of time has one of .289 of the run or more."""
FIXED = (
    ("loss", "EDM's, of the velocity", "the paper prints the noise's error; SVD predicts velocity"),
    (
        "depth channel",
        "8-bit disparity, 255 nearest and 0 farthest of each clip",
        "the release's demo; per frame or per clip is not known",
    ),
    ("objects", "all of a clip, numbered as the dataset does", "not known"),
)
"""(what, how, source) of what the paper leaves open and no option changes."""
FREE = ("steps", "running.", "faults.", "model.checkpointing", "model.encode_chunk")
"""Beginnings of names that a resumed run may change without being another run."""


def guess(default: Any, source: str) -> Any:
    """A field whose value the paper leaves open, with where this one comes from."""
    return field(default=default, metadata={SOURCE: source})


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerOptions:
    """AdamW.

    Attributes:
        learning_rate: at its highest, after the warm-up.
        beta1: decay of the gradient's average.
        beta2: decay of the squared gradient's average.
        epsilon: added to the root of that.
        weight_decay: decoupled, on every parameter.
        clip: the gradient's norm is scaled down to this; 0 leaves it as it is.
        eight_bit: state in 8 bits, by bitsandbytes.
    """

    learning_rate: float = 1e-5
    beta1: float = guess(0.9, TORCH)
    beta2: float = guess(0.999, TORCH)
    epsilon: float = guess(1e-8, TORCH)
    weight_decay: float = guess(0.01, SVD_XTEND)
    clip: float = guess(1.0, SVD_XTEND)
    eight_bit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """Learning rate over the run.

    Attributes:
        warmup: steps in which it rises in a line from near 0; at most a fifth of the run.
        shape: what it does after them.
        floor: where the cosine ends, as a share of the highest: one step after the last.
    """

    warmup: int = guess(500, SVD_XTEND)
    shape: Literal["constant", "cosine"] = guess("constant", "the paper gives one rate, 1e-5")
    floor: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageOptions:
    """A running average of the weights (EMA), saved beside them in ``ema/``.

    Attributes:
        kind: ``power`` weighs step t by a power of t, so that the average is always of the same
            share of the run; ``constant`` forgets at one rate.
        decay: of ``constant``, a step; less in the first steps.
        width: of ``power``: standard deviation of the weights' times, as a share of the run.
    """

    kind: Literal["none", "power", "constant"] = guess("none", "LeviTor's code has an optional EMA")
    decay: float = 0.9999
    width: float = guess(0.1, "EDM2 (Karras et al. 2024), section 3")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultOptions:
    """When a run goes on all the same, and when it stops.

    Attributes:
        nan: a step whose loss or gradient is no finite number stops the run, its batch saved; or
            is left out and counted.
        in_a_row: so many examples that cannot be read, one after the other, stop the run.
        share: so large a share of all examples that cannot be read stops it too, after the first
            hundred.
    """

    nan: Literal["stop", "skip"] = "stop"
    in_a_row: int = 32
    share: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningOptions:
    """How a run is carried out; the weights do not depend on it.

    Attributes:
        checkpoint_every: steps; there is one at the end in any case.
        keep: so many of the last checkpoints, and the best one.
        workers: processes that read examples ahead, for each training process.
        sample_every: steps from one video of what the model makes to the next; 0 makes none.
    """

    checkpoint_every: int = 500
    keep: int = 3
    workers: int = 0
    sample_every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A run.

    Attributes:
        recipe: the name it was made by.
        model: options of one of the models, whose type says which; see ``recipes.build``.
        source: options of one of the sources of examples, likewise.
        steps: of the optimizer. Step k learns from the examples with numbers k B to k B + B - 1,
            where B is ``batch``.
        batch: examples of a step, over all processes.
        accumulate: parts in which each process works through its share of a batch, one after the
            other: less memory, same result but for rounding.
        precision: of the networks' arithmetic; weights and optimizer are float32.
        seed: decides first weights, examples and noise.
        optimizer: see there; likewise all below.
    """

    recipe: str
    model: Any
    source: Any
    steps: int
    batch: int
    accumulate: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    average: AverageOptions = AverageOptions()
    faults: FaultOptions = FaultOptions()
    running: RunningOptions = RunningOptions()


def flat(options: Any, under: str = "") -> dict[str, Any]:
    """All values by dotted name, as JSON takes them; ``model`` and ``source`` name their types."""
    found: dict[str, Any] = {}
    for one in fields(options):
        value = getattr(options, one.name)
        if is_dataclass(value):
            if one.type in ("Any", Any):
                found[f"{under}{one.name}"] = type(value).__name__
            found |= flat(value, f"{under}{one.name}.")
        else:
            found[f"{under}{one.name}"] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def guesses(options: Any, under: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted name, value, source of the default) of every guess; changed ones say so."""
    for one in fields(options):
        value = getattr(options, one.name)
        if is_dataclass(value):
            yield from guesses(value, f"{under}{one.name}.")
        elif source := one.metadata.get(SOURCE):
            changed = "" if value == one.default else f"chosen here; the default is {one.default}: "
            yield f"{under}{one.name}", value, changed + source


def with_values(options: Any, values: Mapping[str, str]) -> Any:
    """The same options with some values read from text, by dotted name.

    Raises:
        ShotError: there is no such name, or the text is no value of it.
    """
    for name, text in values.items():
        options = _with_value(options, name.split("."), text, name, options)
    return options


def _with_value(options: Any, path: list[str], text: str, name: str, whole: Any) -> Any:
    known = {one.name for one in fields(options)}
    value = getattr(options, path[0]) if path[0] in known else None
    if path[0] not in known or is_dataclass(value) != (len(path) > 1):
        close = difflib.get_close_matches(name, flat(whole), 3, 0.4)
        like = f"Did you mean {' or '.join(close)}?" if close else "See config.json of a run."
        raise ShotError("option", f"There is no option '{name:.60}'.", like)
    if is_dataclass(value):
        return replace(options, **{path[0]: _with_value(value, path[1:], text, name, whole)})
    hint = get_type_hints(type(options)).get(path[0])
    try:
        return replace(options, **{path[0]: _read(text, value, get_args(hint))})
    except (ValueError, TypeError) as error:
        raise ShotError(
            "option", f"'{text:.40}' is no value of {name}, which is {_plain(value)}.", f"{error}"
        ) from error


def _read(text: str, like: Any, choices: tuple[Any, ...]) -> Any:
    """A value read as the kind that ``like`` is of."""
    if choices and all(isinstance(one, str) for one in choices):
        if text not in choices:
            raise ValueError(f"Choose of {', '.join(choices)}.")
        return text
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError("Write true or false.")
        return text == "true"
    if isinstance(like, tuple):
        parts, kinds = text.split(","), list[Any](like)
        if len(parts) != len(kinds):
            raise ValueError(f"Write {len(kinds)} values with commas between them.")
        return tuple(_read(part, kind, ()) for part, kind in zip(parts, kinds, strict=True))
    if isinstance(like, int):
        return int(text)
    if isinstance(like, float):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("Write a finite number.")
        return number
    if like is None or isinstance(like, Path):
        return Path(text) if Path in choices or isinstance(like, Path) else text
    return type(like)(text)


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What decides the weights and differs between two flat configurations, a phrase each."""
    names = [name for name in {**was, **now} if not name.startswith(FREE)]
    return [
        f"{name}: {was.get(name)} is now {now.get(name)}"
        for name in names
        if was.get(name) != now.get(name)
    ]


def check(config: RunConfig, processes: int) -> None:
    """Refuse a run that cannot be carried out.

    Raises:
        ShotError: a number is out of its range, or a batch cannot be split as asked.
    """

    def wrong(sentence: str, fix: str) -> ShotError:
        return ShotError("option", sentence, fix)

    least = {
        "steps": 1,
        "batch": 1,
        "accumulate": 1,
        "seed": 0,
        "schedule.warmup": 0,
        "running.checkpoint_every": 1,
        "running.keep": 1,
        "running.workers": 0,
        "running.sample_every": 0,
        "faults.in_a_row": 1,
        "optimizer.learning_rate": 0,
        "optimizer.beta1": 0,
        "optimizer.beta2": 0,
        "optimizer.epsilon": 0,
        "optimizer.weight_decay": 0,
        "optimizer.clip": 0,
        "schedule.floor": 0,
        "average.decay": 0,
        "average.width": 0.001,
        "faults.share": 0,
    }
    most = {"schedule.floor": 1, "faults.share": 1, "average.width": WIDEST}
    below = {"optimizer.beta1": 1, "optimizer.beta2": 1, "average.decay": 1}
    values = flat(config)
    for name, smallest in least.items():
        if values[name] < smallest:
            raise wrong(f"{name} is {values[name]}.", f"Give a number from {smallest} on.")
    for name, largest in most.items():
        if values[name] > largest:
            raise wrong(f"{name} is {values[name]}.", f"Give a number of at most {largest}.")
    for name, end in below.items():
        if values[name] >= end:
            raise wrong(f"{name} is {values[name]}.", f"Give a number of less than {end}.")
    parts = processes * config.accumulate
    if config.batch % parts:
        raise wrong(
            f"A batch of {config.batch} cannot be split between {processes} processes in "
            f"{config.accumulate} parts each.",
            f"Give a --batch that is a multiple of {parts}, or another --accumulate.",
        )
