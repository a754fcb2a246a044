"""Options of engines as fields: what kind of field each is, and what its value is to the engine."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ..link.wire import content, messages
from ..link.wire import options as option_rules

KINDS = {
    "switch": "BOOL",
    "whole": "INT",
    "number": "FLOAT",
    "choice": "CHOICE",
    "line": "TEXT",
    "text": "TEXT",
    "instances": "INSTANCES",
}
_FIELDS = [field.name for field in fields(messages.EngineOption)]
_TUPLES = {"choices", "visible_if"}
_INT = (-(2**31), 2**31 - 1)
_FLOAT = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Fields that stand under one heading.

    Attributes:
        heading: empty for those that stand under none.
        advanced: whether they are in the panel that is closed at first.
        options: in the engine's order.
    """

    heading: str
    advanced: bool
    options: tuple[messages.EngineOption, ...]


def kind_of(option: messages.EngineOption) -> str:
    """Kind of field: one of the values of ``KINDS``; empty for one that a newer backend has."""
    return KINDS.get(option_rules.kind_of(option), "")


def fits(option: messages.EngineOption) -> bool:
    """Whether there is a field for the option, of 32 bits; without one it has its default."""
    default = option.default
    if isinstance(default, bool | str):
        return bool(kind_of(option))
    return limits(option)[0] <= default <= limits(option)[1]


def groups(
    options: Sequence[messages.EngineOption], values: Mapping[str, messages.Scalar]
) -> tuple[Group, ...]:
    """The options that are of use, by heading in order of their first one; advanced ones apart."""
    found: dict[tuple[str, bool], list[messages.EngineOption]] = {}
    for option in option_rules.visible(options, values):
        found.setdefault((option.group, option.advanced), []).append(option)
    return tuple(
        Group(heading=heading, advanced=advanced, options=tuple(members))
        for (heading, advanced), members in found.items()
    )


def limits(option: messages.EngineOption) -> tuple[float, float]:
    """The least and the greatest value of a number's field; whole for whole numbers."""
    low = -_FLOAT if option.low is None else option.low
    high = _FLOAT if option.high is None else option.high
    if kind_of(option) == "INT":
        return max(int(np.ceil(low)), _INT[0]), min(int(np.floor(high)), _INT[1])
    return max(low, -_FLOAT), min(high, _FLOAT)


def carried(
    option: messages.EngineOption, value: messages.Scalar, old: messages.EngineOption
) -> messages.Scalar:
    """What ``value`` of the option ``old`` becomes now that the engine has ``option`` instead.

    What the artist left alone follows the default; what she set stays, as far as it is allowed.
    """
    if kind_of(option) != kind_of(old) or value == old.default:
        return option.default
    if kind_of(option) == "CHOICE":
        return value if value in option.choices else option.default
    if isinstance(value, bool | str):
        return value
    low, high = limits(option)
    return type(option.default)(min(max(value, low), high))


def shortest(value: float) -> float:
    """``value`` as it was typed: Blender's fields make 0.30000001192092896 of 0.3."""
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def packed(option: messages.EngineOption) -> str:
    """An option as text, to be kept in a file."""
    return json.dumps(asdict(option))


@functools.lru_cache(maxsize=1024)
def unpacked(text: str) -> messages.EngineOption:
    """The option that :func:`packed` made ``text`` of."""
    said: dict[str, Any] = json.loads(text)  # of a file, perhaps by a later version
    known: dict[str, Any] = {name: said[name] for name in _FIELDS if name in said}
    for name in _TUPLES & known.keys():
        known[name] = tuple(known[name])
    return messages.EngineOption(**known)


def signature(engines: Sequence[messages.EngineInfo]) -> str:
    """A text that is another one whenever an option of ``engines`` is another one."""
    lists = [[engine.name, *map(packed, engine.options)] for engine in engines]
    return content.sha256(json.dumps(lists).encode())
