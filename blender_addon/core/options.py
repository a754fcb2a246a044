"""Options of engines as fields: what kind of field each is, and what its value is to the engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from ..link.wire import content, messages

KINDS = {bool: "BOOL", int: "INT", float: "FLOAT", str: "TEXT"}
_FIELDS = [field.name for field in fields(messages.EngineOption)]
_TUPLES = {"choices", "visible_if"}
_INT = (-(2**31), 2**31 - 1)
_FLOAT = float(np.finfo(np.float32).max)


def kind_of(option: messages.EngineOption) -> str:
    """``BOOL``, ``INT``, ``FLOAT``, ``TEXT``, or ``CHOICE`` for text that is one of a few."""
    kind = KINDS[type(option.default)]
    return "CHOICE" if kind == "TEXT" and option.default in option.choices else kind


def fits(option: messages.EngineOption) -> bool:
    """Whether a field of 32 bits can hold the option; one without a field has its default."""
    default = option.default
    return isinstance(default, bool | str) or limits(option)[0] <= default <= limits(option)[1]


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
