"""Recipes: functions that return a run's configuration, and what model and examples it names.

The first line of a recipe's docstring is what ``levitor train --list`` says of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backend.datasets.synthetic import SceneOptions
from backend.resources import Resources
from backend.training import optimizer
from backend.training.base import Examples, TrainableModel
from backend.training.config import (
    AverageOptions,
    OptimizerOptions,
    RunConfig,
    RunningOptions,
    ScheduleOptions,
)
from backend.training.examples import ControlOptions, SyntheticExamples
from backend.training.photos import TO_LEARN_FROM, load_photos, photos_in
from backend.training.prepared_examples import examples_in
from backend.training.svd_model import SVDControlModel, SvdTrainOptions
from backend.training.tiny_model import TinyOptions, TinyVideoModel
from backend.training.tiny_paper import tiny_paper_parts
from protocol.errors import ShotError


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSource:
    """Drawn clips, endless, without files.

    Attributes:
        data: a folder of photos that pictures are cut out of; without one, photos that come with
            installed libraries (``photos``).
        scene: what the clips show.
        control: how their signal is made.
    """

    data: Path | None = None
    scene: SceneOptions = field(default_factory=SceneOptions)
    control: ControlOptions = field(default_factory=ControlOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSource:
    """Clips of a dataset whose depth and control points are computed: see ``levitor prepare``.

    Attributes:
        data: the folder that it made, or one of shots, whose depth is exact.
        moved_to: where the dataset lies now, if its frames were not copied and it was moved since.
        height: that clips must have, pixels. The paper: 288 x 512. With 0 they are taken as they
            were prepared.
        width: likewise.
        control: how their signal is made.
    """

    data: Path | None = None
    moved_to: Path | None = None
    height: int = 288
    width: int = 512
    control: ControlOptions = field(default_factory=ControlOptions)


def paper() -> RunConfig:
    """The paper's: a ControlNet on SVD-XT, 200 K steps of 16 clips; for many GPUs."""
    return RunConfig(
        recipe="paper",
        model=SvdTrainOptions(precision="bf16", checkpointing=True),
        source=PreparedSource(),
        steps=200_000,
        batch=16,
        precision="bf16",
        optimizer=OptimizerOptions(learning_rate=1e-5),
        running=RunningOptions(checkpoint_every=1000, workers=4, sample_every=1000),
    )


def single_gpu() -> RunConfig:
    """The same on a card of 24 GB: a clip at a time, optimizer in 8 bits if it can."""
    return replace(
        paper(),
        recipe="single-gpu",
        accumulate=16,
        optimizer=OptimizerOptions(learning_rate=1e-5, eight_bit=optimizer.has_eight_bit()),
    )


def tiny_cpu() -> RunConfig:
    """A small model from scratch on drawn clips: an hour on two cores, no data."""
    # Small batches: at equal time, twice the steps of 8 clips obey better than those of 16. Four
    # points at most, since a tenth of the pixels of a small thing are no more.
    return RunConfig(
        recipe="tiny-cpu",
        model=TinyOptions(),
        source=SyntheticSource(
            scene=SceneOptions(height=32, width=32, frames=8, objects=(1, 2)),
            control=ControlOptions(radius=2, k_max=4),
        ),
        steps=3600,
        batch=8,
        precision="bf16",
        optimizer=OptimizerOptions(learning_rate=1e-3, weight_decay=0.01),
        schedule=ScheduleOptions(warmup=100, shape="cosine"),
        average=AverageOptions(kind="power"),
        running=RunningOptions(checkpoint_every=500, workers=1),
    )


def no_depth(base: RunConfig) -> RunConfig:
    """Ablation: points have no depth; of --base, else of tiny-cpu."""
    return _with_control(base, "no-depth", depth=False)


def no_instance(base: RunConfig) -> RunConfig:
    """Ablation: points have no instance; of --base, else of tiny-cpu."""
    return _with_control(base, "no-instance", instance=False)


def single_point(base: RunConfig) -> RunConfig:
    """Ablation: an object has one point; of --base, else of tiny-cpu."""
    return _with_control(base, "single-point", single_point=True)


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "paper": paper,
    "single-gpu": single_gpu,
    "tiny-cpu": tiny_cpu,
}
ABLATIONS: dict[str, Callable[[RunConfig], RunConfig]] = {
    "no-depth": no_depth,
    "no-instance": no_instance,
    "single-point": single_point,
}
BASE = "tiny-cpu"


def _with_control(base: RunConfig, name: str, **changes: Any) -> RunConfig:
    control = replace(base.source.control, **changes)
    return replace(base, recipe=name, source=replace(base.source, control=control))


def recipe(name: str, base: str = BASE) -> RunConfig:
    """The configuration of a recipe.

    Args:
        name: of the recipe.
        base: what an ablation is one of.

    Raises:
        ShotError: there is no such recipe, or base.
    """
    for wanted, known in ((name, RECIPES | ABLATIONS), (base, RECIPES)):
        if wanted not in known:
            raise ShotError(
                "recipe",
                f"There is no recipe '{wanted:.40}'.",
                f"Choose of {', '.join(known)}; `levitor train --list` says what they are.",
            )
    return RECIPES[name]() if name in RECIPES else ABLATIONS[name](RECIPES[base]())


def listed() -> list[tuple[str, str]]:
    """(name, what it is) of every recipe."""
    made = [*RECIPES.items(), *ABLATIONS.items()]
    return [(name, (one.__doc__ or "").splitlines()[0]) for name, one in made]


def tiny(config: RunConfig, folder: Path, resources: Resources) -> tuple[RunConfig, Resources]:
    """A few steps of the same recipe on random networks and films, to see that every part runs.

    Args:
        config: of ``paper`` or ``single-gpu``, or an ablation of them.
        folder: that ``tiny_paper`` fills, or has filled.
        resources: the device.

    Returns:
        The configuration, and resources with the tiny weights.

    Raises:
        ShotError: the recipe's own model is small.
    """
    if not isinstance(config.model, SvdTrainOptions):
        raise ShotError(
            "option", f"The recipe {config.recipe} is tiny already.", "Leave --tiny out."
        )
    parts = tiny_paper_parts(folder, resources)
    model = replace(
        config.model, embedding_channels=parts.embedding_channels, latents=parts.latents
    )
    source = replace(config.source, data=parts.prepared)
    small = replace(
        config,
        model=model,
        source=source,
        steps=20,
        batch=1,
        accumulate=1,
        precision="fp32",
        running=RunningOptions(checkpoint_every=10),
    )
    return small, parts.resources


def settled(config: RunConfig) -> RunConfig:
    """The configuration once all its values are chosen: the model's own follow the run's."""
    match config.model:
        case SvdTrainOptions() as options:
            return replace(
                config, model=replace(options, precision=config.precision, seed=config.seed)
            )
        case TinyOptions() as options:
            half = config.precision != "fp32"
            return replace(config, model=replace(options, half=half))
        case _:
            return config


def build(config: RunConfig, resources: Resources) -> tuple[TrainableModel, Examples]:
    """Make the model and the examples that a configuration names.

    Args:
        config: of the run.
        resources: weights, and the device of frozen networks.

    Raises:
        ShotError: data or weights are missing or do not fit.
    """
    examples = _examples(config)  # first: what is missing there is said without loading gigabytes
    match config.model:
        case TinyOptions() as options:
            return TinyVideoModel(options, seed=config.seed), examples
        case SvdTrainOptions() as options:
            return SVDControlModel(resources, options), examples
        case _:
            raise TypeError(f"no model has the options {type(config.model).__name__}")


def _examples(config: RunConfig) -> Examples:
    match config.source:
        case PreparedSource(data=None):
            raise ShotError(
                "data",
                f"The recipe {config.recipe} learns from prepared clips, and none are named.",
                "Make them with `levitor prepare DATASET -o CLIPS` and add --data CLIPS.",
            )
        case PreparedSource(data=Path() as data) as source:
            size = (source.height, source.width)
            return examples_in(
                data,
                source.control,
                size if all(size) else None,
                seed=config.seed,
                source=source.moved_to,
            )
        case SyntheticSource(data=data, scene=scene, control=control):
            photos = load_photos(TO_LEARN_FROM) if data is None else photos_in(data)
            return SyntheticExamples(scene, control, photos, config.seed)
        case _:
            raise TypeError(f"no examples have the options {type(config.source).__name__}")
