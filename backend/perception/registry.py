"""Which model looks at a photo: the one that was asked for, or the best that is here.

Weights are found by name through ``Resources.weights``. Loaded models belong to the caller, who
passes in the dictionary that holds them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from backend.networks import fingerprint
from backend.perception.base import DepthModel, SegmentModel
from backend.perception.info import DEPTH, FELZENSZWALB, GRABCUT, RAMP, SEGMENTS
from backend.perception.offline import ColourSegments
from backend.resources import NAMED_IN_VAIN, Resources
from protocol.errors import ShotError

log = logging.getLogger(__name__)

Model = TypeVar("Model")
AUTO, OFFLINE = "auto", "offline"
STAYING = "high"
"""The memory preset (``backend.resources.MEMORY``) with which networks stay on their device."""
NETWORKLESS = frozenset({OFFLINE, RAMP, GRABCUT, FELZENSZWALB})
"""Wishes for no network: the word, and the names by which a welcome lists what is made then."""


@dataclass(slots=True, kw_only=True)
class Loaded:
    """Models of one process, by name; nothing else refers to them.

    Attributes:
        before_load: called before one is read from the disk, which may take long.
    """

    depth: dict[str, DepthModel] = field(default_factory=dict)
    segments: dict[str, SegmentModel] = field(default_factory=dict)
    before_load: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen(Generic[Model]):
    """A model, and what the artist should know of the choice.

    Attributes:
        model: the model; ``None`` for depth without a network.
        notes: a sentence for every model that is here and could not be used.
    """

    model: Model
    notes: tuple[str, ...] = ()


def depth_model(wish: str, resources: Resources, loaded: Loaded) -> Chosen[DepthModel | None]:
    """The depth network for a wish; none means the ground plane.

    Args:
        wish: ``auto``, ``offline`` or one of ``info.DEPTH``.
        resources: where weights lie and what computes.
        loaded: models that are loaded already; a new one is added.

    Raises:
        ShotError: that very model was asked for and cannot be used, or nobody knows it.
    """
    from backend.perception import depth_anything

    def load(*told: Any, **named: Any) -> DepthModel:
        loaded.before_load()
        return depth_anything.load(*told, **named)

    return _choose(wish, DEPTH, resources, loaded.depth, load, None)


def segment_model(wish: str, resources: Resources, loaded: Loaded) -> Chosen[SegmentModel]:
    """The segment model for a wish; without a network, the one that goes by colour.

    Raises:
        ShotError: that very model was asked for and cannot be used, or nobody knows it.
    """
    from backend.perception import segment_anything

    def load(*told: Any, **named: Any) -> SegmentModel:
        loaded.before_load()
        return segment_anything.load(*told, **named)

    return _choose(wish, SEGMENTS, resources, loaded.segments, load, ColourSegments())


def _choose(
    wish: str,
    names: tuple[str, ...],
    resources: Resources,
    loaded: dict[str, Any],
    load: Callable[..., Any],
    without: Any,
) -> Chosen[Any]:
    if wish in NETWORKLESS:
        return Chosen(model=without)
    if wish != AUTO:
        if wish not in names:
            raise ShotError(
                "model",
                f"There is no model '{wish}' for this.",
                f"Choose one of {AUTO}, {OFFLINE}, {', '.join(names)}.",
            )
        return Chosen(model=_at(wish, resources.weights(wish), resources, loaded, load))
    notes: list[str] = []
    for name in names:
        try:
            path = resources.weights(name)
        except ShotError as error:
            if error.code == NAMED_IN_VAIN:  # else that they are not here is no news
                notes.append(f"{error.sentence} Mend that, or take the place out.")
            continue
        try:
            model = _at(name, path, resources, loaded, load)
        except ShotError as error:
            log.info("%s is here and cannot be used: %s", name, error)
            notes.append(str(error))
            continue
        return Chosen(model=model, notes=tuple(notes))
    return Chosen(model=without, notes=tuple(notes))


def _at(
    name: str,
    path: Path,
    resources: Resources,
    loaded: dict[str, Any],
    load: Callable[..., Any],
) -> Any:
    """The model of the weights that lie at ``path`` now: the loaded one, unless they changed."""
    if name in loaded and loaded[name].fingerprint != fingerprint(path):
        log.info("the weights of %s at %s were replaced", name, path)
        del loaded[name]  # before the next is loaded: both may not fit
    if name not in loaded:
        loaded[name] = load(name, path, resources.device, rests=_rests(resources))
    return loaded[name]


def _rests(resources: Resources) -> bool:
    """Whether networks leave the device between jobs: a render may need the room."""
    return resources.memory != STAYING
