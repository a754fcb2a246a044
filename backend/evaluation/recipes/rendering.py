"""One clip of one row: an engine is told by the clip's control and makes its video."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.contracts import Scalar
from backend.engines import registry
from backend.engines.base import Engine
from backend.evaluation.clip_sets import Clip
from backend.evaluation.published import SINGLE_POINT, EngineRow, Recipe
from backend.evaluation.recipes.controls import ClipDepth, control_of
from backend.evaluation.recipes.trajectories import TrajectoryClip, trajectory_control
from backend.resources import Resources
from backend.seeds import mixed_seed
from protocol.errors import ShotError

ONE_POINT = frozenset({"single", "circle"})
"""Points a mask may have, of which there is one."""
TOLD = {"depth": "depth", "instance": "ids", "single_point": "one point an object alone"}
WHOLE = 0.01
"""Share of a side by which what an engine shows may differ from the whole picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointWeights:
    """Where weights lie when one set of them is a checkpoint; travels to another process.

    Attributes:
        name: of the set.
        path: of the checkpoint.
        others: where the rest lies.
    """

    name: str
    path: Path
    others: Any

    def __call__(self, name: str) -> Path:
        """The folder or file of a set."""
        return self.path if name == self.name else self.others(name)


def checkpoint_folder(path: Path) -> Path:
    """The network in a checkpoint of ``levitor train``: its running average, where there is one.

    Raises:
        ShotError: nothing is there.
    """
    if not path.exists():
        raise ShotError("checkpoint", f"{path}: no checkpoint is there.", "Correct the path.")
    inside = (path / "ema" / "controlnet", path / "controlnet")
    return next((folder for folder in inside if folder.is_dir()), path)


def training_notes(checkpoint: Path | None, row: EngineRow) -> list[str]:
    """Where a row is told otherwise than its checkpoint was trained; nothing where nobody knows.

    Args:
        checkpoint: as it was named: a folder of `levitor train`, or one in it.
        row: what it is told.
    """
    if checkpoint is None:
        return []
    for folder in (checkpoint, *checkpoint.absolute().parents[:2]):
        try:
            config = json.loads((folder / "config.json").read_bytes())
            trained = {name: bool(config[f"source.control.{name}"]) for name in TOLD}
        except (OSError, ValueError, KeyError, TypeError):
            continue
        told = {"depth": row.depth, "instance": row.instance}
        told["single_point"] = row.options == SINGLE_POINT
        return [
            f"The checkpoint was trained {'with' if trained[name] else 'without'} {words}, and the "
            f"row is told otherwise."
            for name, words in TOLD.items()
            if trained[name] != told[name]
        ]
    return []


def clip_seed(seed: int, name: str) -> int:
    """A clip's own seed: that of the measurement and the clip's name, the same for every engine."""
    number = int.from_bytes(name.encode("utf-8", "surrogateescape"), "little")
    return mixed_seed(seed, number) % 2**31


def options_of(row: EngineRow, points: str) -> dict[str, Scalar]:
    """An engine's options for a row, all of them.

    Args:
        row: of the table.
        points: that a mask of the clips has.

    Raises:
        ShotError: the engine has no such option.
    """
    spec = registry.spec_of(row.engine)
    known = {option.name for option in spec.options}
    given: dict[str, Scalar] = {**row.options}
    if points in ONE_POINT:
        given |= {name: value for name, value in SINGLE_POINT.items() if name in known - {*given}}
    if "fit" in known:
        given.setdefault("fit", "squash")  # all of the picture, which is resized back
    return spec.completed(given)


class Renderer:
    """Makes videos of clips, engine after engine; one a process.

    Args:
        recipe: the table.
        resources: device, memory and weights.
        depth: of clips.
        seed: of the measurement.
    """

    def __init__(self, recipe: Recipe, resources: Resources, depth: str, seed: int) -> None:
        self._recipe, self._resources, self._seed = recipe, resources, seed
        self._requested, self._depth = depth, None
        self._engine: tuple[Any, Engine] | None = None

    @property
    def depth(self) -> ClipDepth:
        """Made when it is first asked for."""
        if self._depth is None:
            self._depth = ClipDepth(self._requested, self._resources)
        return self._depth

    def frames(
        self, row: EngineRow, weights: Any, clip: Clip, options: Mapping[str, Scalar]
    ) -> Tensor:
        """A clip's video, ``(F, 3, H, W)`` in [0, 1] of the clip's size.

        Raises:
            ShotError: the engine cannot be told that, or its weights are missing.
        """
        count, height, width = clip.frames.shape[:3]
        image = torch.from_numpy(clip.frames[0].copy()).movedim(-1, 0).float() / 255
        spec = registry.spec_of(row.engine)
        if (wrong := spec.frames.refusal(row.engine, count)) is not None:
            raise wrong
        if row.engine == "still":  # needs no masks, no depth
            return image.expand(count, -1, -1, -1).contiguous()
        if isinstance(clip, TrajectoryClip):
            control = trajectory_control(clip, self.depth)
        else:
            control = control_of(clip, self.depth, regions=self._recipe.regions)
        signals = registry.signals(row.engine)
        _check_whole(signals.shown(control, options), (height, width), row.engine)
        try:
            signal = signals.encode(control, options)
        except ValueError as error:
            raise ShotError("clip", f"{clip.name}: {error}.", "It is left out.") from error
        signal = signal_without(signal, row)
        frames = self._loaded(row, weights).sample(
            control.image, signal, options, clip_seed(self._seed, clip.name), lambda *_, **__: None
        )
        return _sized(frames.float().cpu(), (height, width))

    def _loaded(self, row: EngineRow, weights: Any) -> Engine:
        key = (row.engine, weights)
        if self._engine is None or self._engine[0] != key:
            if self._engine is not None:
                self._engine[1].release()
                self._engine = None
            resources = replace(self._resources, weights=weights)
            self._engine = (key, registry.load(row.engine, resources))
        return self._engine[1]


def signal_without(signal: Any, row: EngineRow) -> Any:
    """The signal without depth or ids, as the ablations were trained (``training.examples``)."""
    if row.depth and row.instance:
        return signal
    maps = signal.maps.clone()
    if not row.instance:
        maps[:, 1] = 0
    if not row.depth:
        maps[:, 2] = 0
    return replace(signal, maps=maps)


def _check_whole(
    shown: tuple[float, float, float, float], size: tuple[int, int], engine: str
) -> None:
    top, left, height, width = shown
    limit = WHOLE * max(size) + 2
    if max(top, left, abs(height - size[0]), abs(width - size[1])) > limit:
        raise ShotError(
            "engine",
            f"The engine '{engine}' shows {width:.0f} x {height:.0f} of {size[1]} x {size[0]} "
            "pixels, and a part of a picture cannot be compared with all of it.",
            "Prepare the clips in the engine's own proportions.",
        )


def _sized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(frames.shape[2:]) == size:
        return frames
    small = F.interpolate(frames, size=size, mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(0, 1)
