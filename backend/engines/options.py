"""What an engine's options may be told, and whether a specification keeps its own rules."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from protocol.errors import ShotError
from protocol.messages import EngineOption, Scalar
from protocol.options import INSTANCES, KINDS, TEXT, ids_of, kind_of

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
PROMPT = "prompt"


def completed(
    engine: str,
    options: Sequence[EngineOption],
    given: Mapping[str, Scalar],
    instances: Collection[int] | None = None,
) -> dict[str, Scalar]:
    """All ``options``, with defaults where none was given.

    Args:
        engine: whose options they are.
        options: of its specification.
        given: values by name.
        instances: ids that an option may name; None where the shot is not known.

    Raises:
        ShotError: an option is unknown, of the wrong type, out of range, or names an instance that
            is not there.
    """
    known = {option.name: option for option in options}
    if strange := sorted(set(given) - set(known)):
        raise ShotError(
            "option",
            f"Engine '{engine}' has no option '{strange[0]:.40}'.",
            f"Its options are: {', '.join(known) or 'none'}.",
        )
    return {name: _checked(option, given.get(name), instances) for name, option in known.items()}


def _checked(
    option: EngineOption, value: Scalar | None, instances: Collection[int] | None = None
) -> Scalar:
    if value is None:
        return option.default
    kind = type(option.default)
    if kind is float and type(value) is int:
        value = float(value)
    shown = f"{value:g}" if type(value) is float else f"{value!r:.60}"
    what = f"Option '{option.name}' is {shown}"
    if type(value) is not kind:
        raise ShotError(  # as it was written: 3.0 is not a whole number
            "option",
            f"Option '{option.name}' is {value!r:.60}, which is not {WORDS[kind]}.",
            f"Give it {WORDS[kind]}.",
        )
    if option.choices and value not in option.choices:
        choices = ", ".join(option.choices)
        raise ShotError("option", f"{what}, allowed {choices}.", f"Choose one of: {choices}.")
    if isinstance(value, str):
        _check_text(option, value, instances)
    elif not isinstance(value, bool):
        low = -math.inf if option.low is None else option.low
        high = math.inf if option.high is None else option.high
        if not low <= value <= high:  # also where it is not a number
            raise ShotError(
                "option", f"{what}, allowed {low:g} to {high:g}.", f"Choose {low:g} to {high:g}."
            )
    return value


def _check_text(option: EngineOption, value: str, instances: Collection[int] | None) -> None:
    match kind_of(option):
        case "text" if len(value) > option.length:
            raise ShotError(
                "option",
                f"Option '{option.name}' has {len(value)} characters, allowed {option.length}.",
                f"Shorten it by {len(value) - option.length}.",
            )
        case "instances":
            fix = "Give their numbers with commas between, or nothing for all."
            try:
                named = ids_of(value)
            except ValueError as error:
                raise ShotError("option", f"Option '{option.name}': {error}.", fix) from error
            strange = [] if instances is None else sorted(set(named) - set(instances))
            if strange:
                there = ", ".join(map(str, sorted(instances or ()))) or "none"
                raise ShotError(
                    "option",
                    f"Option '{option.name}' names instance {strange[0]}; the shot has {there}.",
                    fix,
                )
        case _:
            pass


def check(options: Sequence[EngineOption], requires: Collection[str]) -> None:
    """Look through the options of a specification that is being written.

    Raises:
        ValueError: one of them cannot be drawn, or its default is not allowed; with its name.
    """
    before: dict[str, EngineOption] = {}
    for option in options:
        try:
            _check_option(option, before)
        except (ValueError, ShotError) as error:
            raise ValueError(f"option {option.name!r}: {error}") from error
        before[option.name] = option
    prompt = before.get(PROMPT)
    if (PROMPT in requires) != (prompt is not None and kind_of(prompt) == TEXT):
        raise ValueError("a text option called 'prompt' and requiring 'prompt' go together")


def _check_option(option: EngineOption, before: Mapping[str, EngineOption]) -> None:
    if not option.name.isidentifier() or option.name in before:
        raise ValueError("its name is no identifier, or taken")
    kind = kind_of(option)
    if kind not in KINDS or (option.kind and (kind != option.kind or option.choices)):
        raise ValueError(f"kind {option.kind!r} does not go with its default and choices")
    if kind == INSTANCES and option.default:
        raise ValueError("a shot's instances are not known to it, so its default is ''")
    if kind == TEXT and option.length < 1:
        raise ValueError(f"its length is {option.length}, which holds no text")
    _checked(option, option.default)
    if not option.visible_if:
        return
    name, *values = option.visible_if
    if name not in before or not values:
        raise ValueError("visible_if names an option before it, and then its values")
    for value in values:
        _checked(before[str(name)], value)
