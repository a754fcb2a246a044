"""Selects and loads perception models: the one requested, or the best with available weights.

Weights are found by name through ``Resources.weights``. Loaded models are owned by the caller, who
passes in the :class:`LoadedModels` that holds them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from backend.networks import fingerprint
from backend.perception.base import DepthModel, SegmentModel
from backend.perception.classical import ColourSegments
from backend.perception.model_names import DEPTH, FELZENSZWALB, GRABCUT, RAMP, SEGMENTS
from backend.resources import WEIGHTS_NOT_AT_PATH, Resources
from protocol.errors import ShotError

log = logging.getLogger(__name__)

Model = TypeVar("Model")
AUTO, OFFLINE = "auto", "offline"
STAYING = "high"
"""The memory preset (``backend.resources.MEMORY``) with which networks stay on their device."""
NO_NETWORK = frozenset({OFFLINE, RAMP, GRABCUT, FELZENSZWALB})
"""Requests for no network: ``offline``, and the names of the alternatives in a welcome."""


@dataclass(slots=True, kw_only=True)
class LoadedModels:
    """The loaded models of one process, by name; no other references are kept.

    Attributes:
        before_load: called before a model is loaded from the disk, which may take long.
    """

    depth: dict[str, DepthModel] = field(default_factory=dict)
    segments: dict[str, SegmentModel] = field(default_factory=dict)
    before_load: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice(Generic[Model]):
    """A selected model, and notes on the selection.

    Attributes:
        model: the model; ``None`` for depth without a network.
        notes: a sentence for every available model that could not be loaded.
    """

    model: Model
    notes: tuple[str, ...] = ()


def depth_model(
    requested: str, resources: Resources, loaded: LoadedModels
) -> ModelChoice[DepthModel | None]:
    """Select a depth network; None means a flat scene.

    Args:
        requested: ``auto``, ``offline`` or one of ``model_names.DEPTH``.
        resources: weights, device and memory.
        loaded: models loaded already; a new one is added.

    Raises:
        ShotError: the model requested by name cannot be loaded, or is unknown.
    """
    from backend.perception import depth_anything

    def load(*arguments: Any, **named: Any) -> DepthModel:
        loaded.before_load()
        return depth_anything.load(*arguments, **named)

    return _select(requested, DEPTH, resources, loaded.depth, load, None)


def segment_model(
    requested: str, resources: Resources, loaded: LoadedModels
) -> ModelChoice[SegmentModel]:
    """Select a segmentation model; :class:`ColourSegments` without a network.

    Raises:
        ShotError: the model requested by name cannot be loaded, or is unknown.
    """
    from backend.perception import segment_anything

    def load(*arguments: Any, **named: Any) -> SegmentModel:
        loaded.before_load()
        return segment_anything.load(*arguments, **named)

    return _select(requested, SEGMENTS, resources, loaded.segments, load, ColourSegments())


def _select(
    requested: str,
    names: tuple[str, ...],
    resources: Resources,
    loaded: dict[str, Any],
    load: Callable[..., Any],
    fallback: Any,
) -> ModelChoice[Any]:
    if requested in NO_NETWORK:
        return ModelChoice(model=fallback)
    if requested != AUTO:
        if requested not in names:
            raise ShotError(
                "model",
                f"There is no model '{requested}' for this.",
                f"Choose one of {AUTO}, {OFFLINE}, {', '.join(names)}.",
            )
        return ModelChoice(
            model=_load_cached(requested, resources.weights(requested), resources, loaded, load)
        )
    notes: list[str] = []
    for name in names:
        try:
            path = resources.weights(name)
        except ShotError as error:
            if error.code == WEIGHTS_NOT_AT_PATH:  # missing weights that nobody named are normal
                notes.append(f"{error.sentence} Correct that, or remove the path.")
            continue
        try:
            model = _load_cached(name, path, resources, loaded, load)
        except ShotError as error:
            log.info("%s cannot be loaded: %s", name, error)
            notes.append(str(error))
            continue
        return ModelChoice(model=model, notes=tuple(notes))
    return ModelChoice(model=fallback, notes=tuple(notes))


def _load_cached(
    name: str,
    path: Path,
    resources: Resources,
    loaded: dict[str, Any],
    load: Callable[..., Any],
) -> Any:
    """The model of the weights at ``path``; loaded again if the files changed."""
    if name in loaded and loaded[name].fingerprint != fingerprint(path):
        log.info("the weights of %s at %s were replaced", name, path)
        del loaded[name]  # before loading: both may not fit in memory
    if name not in loaded:
        loaded[name] = load(name, path, resources.device, rests=_rests(resources))
    return loaded[name]


def _rests(resources: Resources) -> bool:
    """Whether networks leave the device between jobs: a render may need the room."""
    return resources.memory != STAYING
