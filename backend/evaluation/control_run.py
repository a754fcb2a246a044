"""Lets a trained small model draw held-out clips with and without control, and measures them.

Clips are of photos that no run learns from, and of another seed than the run's; the same clips,
noise and sampler for every row, so that rows differ in the control alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from backend.autograd import without_gradients
from backend.datasets.synthetic import SceneOptions, SyntheticClip, SyntheticClips
from backend.evaluation.control import (
    ClipScores,
    ClipTruth,
    interval_values,
    ratio,
    score_clip,
    summary,
)
from backend.networks import fingerprint
from backend.training import checkpoints
from backend.training.base import Batch, Example, example_generator
from backend.training.examples import ControlOptions, example_of
from backend.training.photos import HELD_OUT, load_photos
from backend.training.tiny_model import TinyOptions, TinyVideoModel, carried_frames
from protocol.errors import ShotError

Options = TypeVar("Options")
OnClips = Callable[[str, int, int], None]
"""Called with a row's name, clips done and clips in all."""

SEED = 0x68656C64
"""Added to the seed of the measurement: its scenes share nothing with a run's."""
AVERAGES = "ema"
AT_ONCE = 16
"""Clips that are drawn together."""
SHOWN = 6
"""Clips that are kept to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedControl:
    """A run's networks, ready to draw.

    Attributes:
        model: with the weights' running average, where the run has one.
        scene: what its clips were like.
        control: how their signal was made.
        folder: of the checkpoint.
        values: its options, flat.
        steps: it has made.
        weights: a hash of the files.
    """

    model: TinyVideoModel
    scene: SceneOptions
    control: ControlOptions
    folder: Path
    values: Mapping[str, Any]
    steps: int
    weights: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlReport:
    """What was measured.

    Attributes:
        values: for JSON.
        truth: ``(S, F, 3, H, W)``, a few of the clips.
        made: the same clips of every row.
    """

    values: dict[str, Any]
    truth: Tensor
    made: dict[str, Tensor]


def load_run(folder: Path) -> TrainedControl:
    """The newest complete checkpoint of a run's folder, or a checkpoint's own.

    Raises:
        ShotError: there is none, it is of another recipe, or its files are broken.
    """
    if checkpoints.NAME.fullmatch(folder.name):
        found = checkpoints.read(folder)
    elif complete := checkpoints.complete(folder):
        found = complete[-1]
    else:
        raise ShotError(
            "checkpoint", f"{folder} holds no complete checkpoint.", "Name the --out of a run."
        )
    values = found.config
    if values.get("model") != TinyOptions.__name__:
        raise ShotError(
            "recipe",
            f"{found.folder} is of the recipe '{values.get('recipe')}', whose clips are no drawn "
            "ones.",
            "Name a run of tiny-cpu or of an ablation of it.",
        )
    options = _options(TinyOptions, values, "model.")
    model = TinyVideoModel(dataclasses.replace(options, trunk=""))
    averages = found.folder / AVERAGES
    weights = averages if averages.is_dir() else found.folder
    model.load(weights)
    for network in model.networks().values():
        network.eval()
    return TrainedControl(
        model=model,
        scene=_options(SceneOptions, values, "source.scene."),
        control=_options(ControlOptions, values, "source.control."),
        folder=found.folder,
        values=values,
        steps=found.step,
        weights=fingerprint(*(weights / name for name in model.networks())),
    )


@without_gradients()
def measure(
    run: TrainedControl,
    others: Mapping[str, TrainedControl],
    clips: int,
    seed: int,
    steps: int,
    device: torch.device,
    on_clips: OnClips = lambda *_: None,
) -> ControlReport:
    """Draw and measure.

    Rows: ``trained``; ``zeroed``: maps of zeros; ``shuffled``: the next clip's maps; ``frozen``:
    the first frame, repeated, with no model at all; ``carried``: what the model's ControlNet is
    handed, pasted where points are, with no model either; and one for each of ``others``.

    Args:
        run: what is measured.
        others: by the names of their rows: ablations, say. Of clips of the same kind.
        clips: how many.
        seed: of clips and noise.
        steps: of the sampler.
        device: the networks draw on.
        on_clips: progress.

    Raises:
        ShotError: another run's clips are of another kind, or fewer than two clips are asked for.
    """
    if clips < 2:
        raise ShotError("option", f"{clips} clips cannot be shuffled.", "Give --clips 2 or more.")
    for name, other in others.items():
        if other.scene != run.scene:
            raise ShotError(
                "recipe",
                f"{name} learned from other clips than {run.folder}.",
                "Compare runs whose source.scene is the same.",
            )
    source = SyntheticClips(run.scene, load_photos(HELD_OUT), seed + SEED)
    found = [source[number] for number in range(clips)]
    truths = [truth_of(one) for one in found]
    examples = [example_of(one.clip, run.control, n) for n, one in enumerate(found)]
    silent = [dataclasses.replace(one, maps=torch.zeros_like(one.maps)) for one in examples]
    turned = [
        dataclasses.replace(one, maps=examples[(n + 1) % clips].maps)
        for n, one in enumerate(examples)
    ]
    rows: dict[str, tuple[TrainedControl, list[Example]]] = {
        "trained": (run, examples),
        "zeroed": (run, silent),
        "shuffled": (run, turned),
    }
    for name, other in others.items():
        told = [example_of(one.clip, other.control, n) for n, one in enumerate(found)]
        rows[name] = (other, told)
    scores: dict[str, list[ClipScores]] = {}
    made: dict[str, Tensor] = {}
    for name, (one, told) in rows.items():
        drawn = _drawn(one.model, told, seed, steps, device, partial(on_clips, name))
        scores[name] = [score_clip(*pair) for pair in zip(drawn, truths, strict=True)]
        made[name] = drawn[:SHOWN]
        if name == "shuffled":
            still = torch.stack([one.frames[:1].expand_as(one.frames) for one in truths])
            scores["frozen"] = [score_clip(*pair) for pair in zip(still, truths, strict=True)]
            made["frozen"] = still[:SHOWN]
            pasted = carried_frames(Batch.of(examples))
            scores["carried"] = [score_clip(*pair) for pair in zip(pasted, truths, strict=True)]
            made["carried"] = pasted[:SHOWN]
    values = _values(run, others, scores)
    values |= {"clips": clips, "seed": seed, "sampler_steps": steps, "photos": list(HELD_OUT)}
    return ControlReport(
        values=values, truth=torch.stack([one.frames for one in truths[:SHOWN]]), made=made
    )


def truth_of(one: SyntheticClip) -> ClipTruth:
    """A drawn clip, and each of its things alone."""
    views = one.scene.views()
    return ClipTruth(
        frames=one.clip.frames,
        background=views.rgb[0],
        looks=views.rgb[1:],
        covers=views.alpha[1:],
        ids=one.clip.instance,
    )


def _drawn(
    model: TinyVideoModel,
    examples: Sequence[Example],
    seed: int,
    steps: int,
    device: torch.device,
    on_clips: Callable[[int, int], None],
) -> Tensor:
    for network in model.networks().values():
        network.to(device)
    parts: list[Tensor] = []
    for start in range(0, len(examples), AT_ONCE):
        batch = Batch.of(examples[start : start + AT_ONCE]).to(device)
        generators = [example_generator(seed, number) for number in batch.numbers]
        parts.append(model.sample(batch, generators, steps).cpu())
        on_clips(min(start + AT_ONCE, len(examples)), len(examples))
    return torch.cat(parts)


def _values(
    run: TrainedControl,
    others: Mapping[str, TrainedControl],
    scores: Mapping[str, Sequence[ClipScores]],
) -> dict[str, Any]:
    diagonal = math.hypot(run.scene.height, run.scene.width)
    ratios: dict[str, Any] = {}
    for below in ("zeroed", "shuffled", "frozen", "carried", *others):
        for group, kept in (("all", range(1, 100)), ("one_object", range(1, 2))):
            pairs = [
                (a, b)
                for a, b in zip(scores["trained"], scores[below], strict=True)
                if a.objects in kept
            ]
            found = ratio([a for a, _ in pairs], [b for _, b in pairs])
            ratios.setdefault(f"trained/{below}", {})[group] = interval_values(found)
    return {
        "rows": {name: summary(own, diagonal) for name, own in scores.items()},
        "ratios_of_centroid_error": ratios,
        "runs": {name: _about(one) for name, one in {"trained": run, **others}.items()},
        "frame": [run.scene.height, run.scene.width],
        "torch": torch.__version__,
    }


def _about(run: TrainedControl) -> dict[str, Any]:
    return {
        "checkpoint": str(run.folder),
        "weights": run.weights,
        "steps": run.steps,
        "seed": run.values.get("seed"),
        "recipe": run.values.get("recipe"),
    }


def _options(kind: type[Options], values: Mapping[str, Any], under: str) -> Options:
    """Options read back from a checkpoint's flat values; JSON's lists are tuples."""
    known = {one.name for one in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]
    own = {
        name.removeprefix(under): tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name.startswith(under)
    }
    return kind(**{name: value for name, value in own.items() if name in known})
