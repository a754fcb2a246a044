"""What an engine is: a specification anyone may read, and two steps."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from backend.cancelled import Cancelled
from protocol.errors import ShotError
from protocol.messages import EngineInfo, EngineOption

if TYPE_CHECKING:  # a specification is read by the server's loop, which has no torch
    from torch import Generator, Tensor
    from torch.nn import Parameter

    from backend.contracts import AnnotatedClip, Control, Frames, OnStep
    from backend.control.preview import Look

LOADING, COMPILING = "loading weights", "compiling"
QUIET_PHASES = frozenset({LOADING, COMPILING})
"""Phases that may take minutes and in which no step comes: a disk may be slow, a compiler is."""

log = logging.getLogger(__name__)

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What a client may know of an engine before it runs.

    Attributes:
        name: stable, for programs.
        label: for people.
        help: one sentence.
        num_frames: frames of a take unless another number is asked for; 0 is one a Blender frame.
        least_frames: the fewest it makes; 0 with a ``num_frames`` allows no other number.
        most_frames: likewise.
        needs: names of the weights without which it cannot run.
        stochastic: whether another seed gives other frames.
        options: settings, with ranges.
    """

    name: str
    label: str
    help: str
    num_frames: int = 0
    needs: tuple[str, ...] = ()
    stochastic: bool = True
    options: tuple[EngineOption, ...] = ()
    least_frames: int = 0
    most_frames: int = 0

    def info(self) -> EngineInfo:
        """The part that travels."""
        return EngineInfo(
            name=self.name,
            label=self.label,
            help=self.help,
            num_frames=self.num_frames,
            options=self.options,
            least_frames=self.least_frames,
            most_frames=self.most_frames,
        )

    def completed(self, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """All options, with defaults where none was given.

        Raises:
            ShotError: an option is unknown, of the wrong type or out of range.
        """
        return completed(self, given)


Described = TypeVar("Described", EngineSpec, EngineInfo)


def find(name: str, engines: Sequence[Described]) -> Described:
    """The engine called ``name``; the server's loop and its workers ask the same way.

    Raises:
        ShotError: there is none.
    """
    for engine in engines:
        if engine.name == name:
            return engine
    raise ShotError(
        "engine",
        f"There is no engine '{name:.40}' here.",
        f"Choose one of: {', '.join(engine.name for engine in engines) or 'none'}.",
    )


def completed(engine: EngineSpec | EngineInfo, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """All options of ``engine``, with defaults where none was given.

    Raises:
        ShotError: an option is unknown, of the wrong type or out of range.
    """
    known = {option.name: option for option in engine.options}
    if strange := sorted(set(given) - set(known)):
        raise ShotError(
            "option",
            f"Engine '{engine.name}' has no option '{strange[0]:.40}'.",
            f"Its options are: {', '.join(known) or 'none'}.",
        )
    return {name: _checked(option, given.get(name)) for name, option in known.items()}


def _checked(option: EngineOption, value: Scalar | None) -> Scalar:
    if value is None:
        return option.default
    kind = type(option.default)
    if kind is float and type(value) is int:
        value = float(value)
    shown = f"{value:g}" if type(value) is float else f"{value!r:.60}"
    what = f"Option '{option.name}' is {shown}"
    if type(value) is not kind:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
        raise ShotError("option", f"{what}, which is not {words}.", f"Give it {words}.")
    if option.choices and value not in option.choices:
        choices = ", ".join(option.choices)
        raise ShotError("option", f"{what}, allowed {choices}.", f"Choose one of: {choices}.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = -math.inf if option.low is None else option.low
        high = math.inf if option.high is None else option.high
        if not low <= value <= high:  # also where it is not a number
            raise ShotError(
                "option", f"{what}, allowed {low:g} to {high:g}.", f"Choose {low:g} to {high:g}."
            )
    return value


def whole_notes(make: Callable[[], tuple[str, ...]], what: str) -> tuple[str, ...]:
    """Notes on a take that is to be made; a bug in them does not cost the take.

    Args:
        make: gives the notes.
        what: they are about, for the log.
    """
    try:
        return make()
    except Cancelled:
        raise
    except Exception as error:
        log.exception("the notes on %s failed", what)
        return (
            "What may make this take worse than expected could not be found out "
            f"({type(error).__name__}: {error!s:.200}); the take itself is whole. "
            "The server's log says more; please report it.",
        )


class Signals(Protocol):
    """What an engine is told; functions of a module beside its spec. Pure: no weights, no device.

    So a control can be looked at, tested and trained on where an engine's weights are not.
    """

    def encode(self, control: Control, options: Mapping[str, Scalar]) -> Any:
        """The engine's signal.

        Raises:
            ShotError: the engine cannot be told that.
        """
        ...

    def show(self, control: Control, signal: Any, look: Look) -> Frames:
        """The signal as pictures, drawn in the engine's own frame."""
        ...

    def notes(self, control: Control, options: Mapping[str, Scalar]) -> tuple[str, ...]:
        """Sentences for the artist on what may make this take worse than she expects."""
        ...

    def shown(
        self, control: Control, options: Mapping[str, Scalar]
    ) -> tuple[float, float, float, float]:
        """The part of the photo that the frames show: top, left, height, width in its pixels."""
        ...


class Engine(Protocol):
    """An engine with whatever it holds (weights, a device); one a worker."""

    spec: EngineSpec

    def sample(
        self,
        image: Tensor,
        signal: Any,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """Frames ``(F, 3, H, W)`` float32 in [0, 1].

        Same arguments, same machine: same frames. ``on_step`` is called after every step and may
        raise ``Cancelled``, which leaves the engine fit for the next call.
        """
        ...

    def release(self) -> None:
        """Let go of all memory that is held between shots; the next one takes it again."""
        ...


class Trainable(Protocol):
    """An engine that can be trained, on clips that go through the same ``encode`` as shots."""

    def loss(self, clip: AnnotatedClip, signal: Any, generator: Generator) -> Tensor:
        """The loss of one clip, a scalar with gradients; all randomness from ``generator``."""
        ...

    def parameters(self) -> Iterable[Parameter]:
        """What is trained."""
        ...
