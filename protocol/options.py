"""What an engine's option is: its kind, the instances its text names, and where it is of use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from .messages import EngineOption, Scalar

TEXT, INSTANCES = "text", "instances"
KINDS = frozenset({"switch", "whole", "number", "choice", "line", TEXT, INSTANCES})
"""What :func:`kind_of` answers; another answer is a kind of a newer version."""
_BY_TYPE: dict[type[Scalar], str] = {bool: "switch", int: "whole", float: "number"}
_ID = re.compile("[0-9]{1,9}")


def kind_of(option: EngineOption) -> str:
    """One of ``KINDS``: what the default's type and the choices say, or what ``kind`` says."""
    if not isinstance(option.default, str):
        return _BY_TYPE[type(option.default)]
    return option.kind or ("choice" if option.default in option.choices else "line")


def ids_of(text: str) -> tuple[int, ...]:
    """The instances that the value of an ``instances`` option names, ascending; () means all.

    Raises:
        ValueError: it is no list of whole numbers with commas between.
    """
    if not text.strip():
        return ()
    names = [part.strip() for part in text.split(",")]
    if not all(map(_ID.fullmatch, names)):
        raise ValueError(f"{text!r:.60} is no list of instances like 1,3")
    return tuple(sorted(set(map(int, names))))


def text_of(ids: Iterable[int]) -> str:
    """The value that names ``ids``; :func:`ids_of` reads it."""
    return ",".join(map(str, sorted(set(ids))))


def visible(
    options: Sequence[EngineOption], values: Mapping[str, Scalar]
) -> tuple[EngineOption, ...]:
    """Those of ``options`` that are of use where they have ``values``.

    An option whose condition is on one that is of no use itself is of none either.

    Args:
        options: of one engine, in its order.
        values: by name; one that is missing meets no condition.
    """
    found: dict[str, bool] = {}
    for option in options:
        met = True
        if option.visible_if:
            name, *allowed = option.visible_if
            met = found.get(str(name), False) and values.get(str(name)) in allowed
        found[option.name] = met
    return tuple(option for option in options if found[option.name])
