"""What an engine is: a specification anyone may read, and two steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from backend.cancelled import Cancelled
from backend.engines import options as option_rules
from protocol.errors import ShotError
from protocol.frames import ANY_NUMBER, FrameRule, integers_of, rule_of
from protocol.messages import EngineInfo, EngineOption, Scalar, ShotMessage
from protocol.rules import nothing_to_follow

if TYPE_CHECKING:  # a specification is read by the server's loop, which has no torch
    from torch import Tensor

    from backend.contracts import Control, Frames, OnStep, Shot
    from backend.control.preview import Look

LOADING, COMPILING = "loading weights", "compiling"
QUIET_PHASES = frozenset({LOADING, COMPILING})
"""Phases that may take minutes and in which no step comes: a disk may be slow, a compiler is."""

log = logging.getLogger(__name__)

Requirement = Literal["masks", "tracks", "boxes", "draft", "prompt"]
"""What ``encode`` asks of a control by that name, or of its options: a text called ``prompt``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What a client may know of an engine before it runs.

    Attributes:
        name: stable, for programs.
        label: for people.
        help: one sentence.
        frames: how many it makes.
        requires: what ``encode`` asks for, no less and no more.
        weights: names, in the table of weights, of those without which it cannot run; a function
            of all its options where it depends on them.
        stochastic: whether another seed gives other frames.
        measured: whether a server says how well its takes obeyed their shots; a draft is what they
            are measured against.
        options: settings, with ranges.

    Raises:
        ValueError: an attribute is of another type, ``requires`` has a name that is no
            :data:`Requirement`, or an option breaks a rule (see ``options.py``).
    """

    name: str
    label: str
    help: str
    frames: FrameRule = ANY_NUMBER
    requires: frozenset[Requirement] = frozenset()
    weights: tuple[str, ...] | Callable[[Mapping[str, Scalar]], tuple[str, ...]] = ()
    stochastic: bool = True
    measured: bool = True
    options: tuple[EngineOption, ...] = ()

    def __post_init__(self) -> None:
        for attribute, right, words in (
            ("frames", isinstance(self.frames, FrameRule), "a FrameRule"),
            ("requires", _all(frozenset, self.requires, str), "a frozenset of names"),
            (
                "weights",
                callable(self.weights) or _all(tuple, self.weights, str),
                "a tuple of names or a function of the options",
            ),
            ("options", _all(tuple, self.options, EngineOption), "a tuple of EngineOption"),
        ):
            if not right:
                value = getattr(self, attribute)
                raise ValueError(f"engine {self.name!r}: {attribute} is {value!r}, not {words}")
        allowed = get_args(Requirement)
        if strange := sorted(self.requires - set(allowed)):
            raise ValueError(
                f"engine {self.name!r} requires {', '.join(strange)}; "
                f"it may require {', '.join(allowed)}"
            )
        option_rules.check(self.options, self.requires)

    def info(self) -> EngineInfo:
        """The part that travels."""
        usual, least, most = integers_of(self.frames)
        return EngineInfo(
            name=self.name,
            label=self.label,
            help=self.help,
            options=self.options,
            frames=self.frames,
            requires=tuple(sorted(self.requires)),
            num_frames=usual,
            least_frames=least,
            most_frames=most,
        )

    def needs(self, given: Mapping[str, Scalar]) -> tuple[str, ...]:
        """Names of the weights without which it cannot run with these options.

        Raises:
            ShotError: as :meth:`completed`.
        """
        if isinstance(self.weights, tuple):
            return self.weights
        return self.weights(self.completed(given))

    def completed(
        self, given: Mapping[str, Scalar], instances: Collection[int] | None = None
    ) -> dict[str, Scalar]:
        """All options, with defaults where none was given; see :func:`options.completed`."""
        return option_rules.completed(self.name, self.options, given, instances)

    def options_of(self, shot: Shot) -> dict[str, Scalar]:
        """All options of a shot; a server asks the same before a shot gets here.

        Raises:
            ShotError: the engine does not make so many frames, or an option cannot be.
        """
        if (wrong := self.frames.refusal(self.name, shot.motion.num_frames)) is not None:
            raise wrong
        moving = shot.motion.moved_from_rest.shape[1]
        return self.completed(shot.options, {*range(1, moving + 1), *shot.static})


def _all(kind: type, values: Any, of: type) -> bool:
    """Whether ``values`` is a collection of that kind whose members are all of one type."""
    return isinstance(values, kind) and all(isinstance(value, of) for value in values)


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


def check_shot(shot: ShotMessage, engine: EngineInfo) -> None:
    """Refuse a shot that keeps to the rules, but is none for this engine; needs no blobs.

    Raises:
        ShotError: it does not make so many frames, the shot has nothing it could follow, or an
            option cannot be.
    """
    wrong = rule_of(engine).refusal(engine.name, len(shot.camera_from_world)) or nothing_to_follow(
        shot, engine.requires
    )
    if wrong is not None:
        raise wrong
    instances = {item.id for item in shot.instances}
    option_rules.completed(engine.name, engine.options, shot.options, instances)


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
    """An engine with whatever it holds (weights, a device); one a worker.

    It is made with :class:`~backend.resources.Resources`. Its ``__init__`` looks for the weights,
    so that it fails where they are missing, and loads no network: :meth:`sample` does, at its first
    call. A session makes an engine before it releases the one before, and both would rarely fit.
    """

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
