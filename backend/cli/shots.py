"""The shot of a command line: its file, with another engine and other options; its frames in words.

`levitor render` and `levitor control` share this.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.errors import ShotError

if TYPE_CHECKING:
    from protocol.messages import EngineOption, Scalar, ShotMessage

SWITCHES = {"true": True, "false": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the shot, --engine and --option."""
    parser.add_argument("shot", type=Path, help="the shot, as Blender's Save Shot writes it")
    parser.add_argument(
        "--engine",
        help="another engine than the shot's own, with that engine's defaults: of the shot's "
        "options none is kept",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the engine, with another value than the shot's; a switch is true or "
        "false; may be given several times",
    )


def shot_of(shot: ShotMessage, args: argparse.Namespace) -> ShotMessage:
    """``shot`` with the engine and the options of the command line.

    Raises:
        ShotError: there is no such engine, or what --option is given has another form.
    """
    from dataclasses import replace

    from backend.engines.registry import spec_of

    engine = args.engine or shot.engine
    kept = shot.options if engine == shot.engine else {}
    given = parse_options(args.option, spec_of(engine).options)
    return replace(shot, engine=engine, options={**kept, **given})


def parse_options(given: Iterable[str], options: Sequence[EngineOption]) -> dict[str, Scalar]:
    """``NAME=VALUE`` as values of the options' types.

    What is no option, or cannot be read as its type, stays text: the engine refuses it.

    Args:
        given: one after another; of a name that comes twice the last counts.
        options: of the engine.

    Raises:
        ShotError: one is of another form.
    """
    defaults: Mapping[str, Scalar] = {option.name: option.default for option in options}
    found: dict[str, Scalar] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ShotError(
                "option",
                f"--option is given '{text:.80}', which is not NAME=VALUE.",
                f"The engine's options are: {', '.join(defaults) or 'none'}.",
            )
        found[name] = _read(value, defaults.get(name, ""))
    return found


def _read(text: str, default: Scalar) -> Scalar:
    """``text`` as the type of ``default``; as it is where it cannot be that."""
    if isinstance(default, bool):
        return SWITCHES.get(text.lower(), text)
    try:
        return type(default)(text)
    except ValueError:
        return text


def check(shot: ShotMessage) -> None:
    """Refuse what cannot be rendered; needs no weights.

    Raises:
        ShotError: as ``backend.session.check_shot``; of a wrong number of frames it says what helps
            without Blender.
    """
    from backend.engines.registry import spec_of, specs
    from backend.session import check_shot
    from protocol.rules import problems

    frames = len(shot.moved_from_rest)
    wrong = spec_of(shot.engine).frames.refusal(shot.engine, frames)
    if wrong is None or problems(shot):
        check_shot(shot)
        return
    fix = f"{wrong.fix.removesuffix('.')} in Blender and save it again"
    if others := [spec.name for spec in specs() if spec.frames.allows(frames)]:
        fix += f", or render it with --engine {' or '.join(others)}"
    raise ShotError(wrong.code, wrong.sentence, f"{fix}.")


def said_frames(made: int, shown: int) -> str:
    """What was made and what the video holds, which repeats frames where fewer were made."""
    return f"{made} frames" if made == shown else f"{made} frames made, {shown} in the video"
