"""The registry of engines, explicit and lazy: specifications are listed without torch."""

from __future__ import annotations

import importlib
from typing import Any

from backend.engines.base import Engine, EngineSpec, Signals, find
from backend.engines.draft.spec import SPEC as DRAFT
from backend.engines.levitor.spec import SPEC as LEVITOR
from backend.engines.still.spec import SPEC as STILL
from backend.resources import Resources
from protocol.messages import EngineInfo

_ENGINES: dict[str, tuple[EngineSpec, str, str]] = {
    DRAFT.name: (
        DRAFT,
        "backend.engines.draft.signal",
        "backend.engines.draft.engine:DraftEngine",
    ),
    LEVITOR.name: (
        LEVITOR,
        "backend.engines.levitor.signal",
        "backend.engines.levitor.engine:LevitorEngine",
    ),
    STILL.name: (
        STILL,
        "backend.engines.still.signal",
        "backend.engines.still.engine:StillEngine",
    ),
}
"""Specification, module of what it is told, and class, by name."""


def specs() -> tuple[EngineSpec, ...]:
    """The specifications of all engines."""
    return tuple(spec for spec, _, _ in _ENGINES.values())


def infos() -> tuple[EngineInfo, ...]:
    """What a welcome says of the engines."""
    return tuple(spec.info() for spec in specs())


def spec_of(name: str) -> EngineSpec:
    """The specification of one engine.

    Raises:
        ShotError: there is none of that name.
    """
    return find(name, specs())


def signals(name: str) -> Signals:
    """What an engine is told: ``encode``, ``show``, ``notes`` and ``shown``, without its weights.

    Raises:
        ShotError: there is none of that name.
    """
    spec_of(name)
    module: Any = importlib.import_module(_ENGINES[name][1])
    return module


def load(name: str, resources: Resources | None = None) -> Engine:
    """Make an engine, importing what it needs only now.

    Raises:
        ShotError: there is none of that name, or its weights are not there.
    """
    spec_of(name)
    module, _, cls = _ENGINES[name][2].partition(":")
    return getattr(importlib.import_module(module), cls)(resources or Resources())
