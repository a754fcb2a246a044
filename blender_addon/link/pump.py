"""The timer that polls the connection, and what is done with each result that arrives.

No thread: Blender documents that long-lived Python threads crash it. The timer calls :func:`pump`,
which reads the socket without waiting and, unless Blender is saving, loading, undoing or rendering,
hands finished results to the functions that place them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import bpy

from .. import prefs
from ..core import endpoints, jobs
from ..scene import blender_state, options
from .wire import ShotError, messages

if TYPE_CHECKING:
    from .client import Client

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.1
ACTIVE_SECONDS = 0.02
TROUBLE_SECONDS = 1.0
"""How soon the timer calls again; active is while a task is under way."""

PlaceResult = Callable[[Any, Mapping[str, bytes]], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultHandler:
    """What to do with the result of a task; holds names, never references to Blender's data.

    Attributes:
        place: puts result and blobs into the file, or raises :class:`ShotError` having changed
            nothing. It returns what the artist should know all the same, if anything.
        subject: what an error would be about besides the kind: it goes when that is done.
        any_file: whether the result is of use after another file was opened.
        loads: how many files had been opened when it was sent.
    """

    kind: str
    label: str
    place: PlaceResult
    subject: str
    any_file: bool = False
    loads: int = field(default_factory=blender_state.loads)


class Link:
    """Owns the client, the table of jobs and the results that wait to be placed."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.jobs = jobs.JobTable()
        self.names: dict[str, str] = {}
        """The backend's job of each task under way that was accepted."""
        self.takes: dict[str, Any] = {}
        """Takes of this session by job, oldest first."""
        self._handlers: dict[str, ResultHandler] = {}
        self._arrived: list[jobs.TaskFinished] = []
        self._outcomes: dict[str, ShotError | None] = {}

    # What panels and operators ask

    @property
    def status(self) -> Any:
        """The client's status; None before the first connection."""
        return self.client.status if self.client is not None else None

    @property
    def connected(self) -> bool:
        """Whether a backend answers."""
        return self.client is not None and self.client.status.phase == "connected"

    @property
    def welcome(self) -> messages.Welcome | None:
        """What the backend said about itself."""
        return self.client.welcome if self.client is not None else None

    @property
    def limits(self) -> messages.Limits:
        """What the backend takes."""
        return self.welcome.limits if self.welcome is not None else messages.Limits()

    def engines(self) -> tuple[messages.EngineInfo, ...]:
        """The backend's engines; none before it answered."""
        return self.welcome.engines if self.welcome is not None else ()

    def rows(self, kind: str) -> list[jobs.JobRow]:
        """The rows of one kind of task that are of interest in this file, oldest first."""
        return self.jobs.shown(kind, blender_state.loads())

    @property
    def waiting(self) -> bool:
        """Whether a task is under way or a result waits to be placed."""
        return bool(self._handlers)

    @property
    def held(self) -> bool:
        """Whether a result is here that may not be placed now."""
        return bool(self._arrived)

    def holds(self, kind: str) -> bool:
        """Whether a result of ``kind`` is here that may not be placed now."""
        handlers = [self._handlers.get(event.task) for event in self._arrived]
        return any(handler is not None and handler.kind == kind for handler in handlers)

    # Connecting

    def connect(self, endpoint: str) -> None:
        """Begin to connect; nothing happens where that connection is up or coming up already.

        A lost one is tried again at once, and keeps its tasks. One to another address ends.

        Raises:
            ShotError: the address is none, it leaves this computer without permission, or pyzmq
                is missing.
        """
        if sentence := endpoints.problem(endpoint):
            raise ShotError("endpoint", sentence)
        if not endpoints.is_loopback(endpoint) and not bpy.app.online_access:
            raise ShotError(
                "offline",
                f"{endpoint} is another computer, and Blender may not use the network.",
                "Switch on Preferences > System > Network > Allow Online Access.",
            )
        if self.client is not None:
            status = self.client.status
            if status.endpoint == endpoint and status.phase in ("connecting", "connected"):
                return
            if status.endpoint == endpoint and status.phase == "lost":
                self.client.reconnect()
                return
            self.disconnect()
        try:
            from .client import Client
        except ImportError as error:
            log.exception("pyzmq cannot be imported")
            raise ShotError(
                "no_zmq",
                f"The extension's network library is missing ({error}).",
                "Install the LeviTor zip made for this Blender.",
            ) from error
        self.client = Client(endpoint, prefs.client_id())

    def disconnect(self) -> None:
        """End the connection; tasks under way fail with a sentence, what has arrived is placed."""
        if self.client is None:
            return
        for event in self.client.poll():
            self._take(event)
        self.client.close()
        self.client = None
        arrived = {event.task for event in self._arrived}
        for task in [task for task in self._handlers if task not in arrived]:
            self._fail(
                task, ShotError("disconnected", "The connection was ended.", "Connect again.")
            )

    # Tasks

    def check(self, kind: type[Any]) -> None:
        """Raise :class:`ShotError` where the backend is known to be too old for ``kind``."""
        if self.client is not None and (error := self.client.lacks(kind)) is not None:
            raise error

    def start(self, message: Any, blobs: Mapping[str, bytes], handler: ResultHandler) -> str:
        """Send ``message`` with its blobs; ``handler`` places it once the result is here."""
        if self.client is None:
            self.connect(prefs.get().endpoint)
        assert self.client is not None
        task = self.client.start(message, blobs)
        row = jobs.JobRow(
            task=task, kind=handler.kind, label=handler.label, subject=handler.subject
        )
        self.jobs.add(replace(row, opened=handler.loads, file=blender_state.file_name()))
        self._handlers[task] = handler
        return task

    def cancel(self, task: str) -> None:
        """Ask for the end of ``task``; its row tells when it has ended.

        A result that waits to be placed is dropped at once.
        """
        kept = [event for event in self._arrived if event.task != task]
        if len(kept) < len(self._arrived):
            self._arrived = kept
            self._take(jobs.TaskCancelled(task=task))
        elif self.client is not None:
            self.client.cancel(task)

    def pending(self, kind: str) -> list[str]:
        """Tasks of ``kind`` that have no outcome yet, oldest first."""
        return [task for task, handler in self._handlers.items() if handler.kind == kind]

    def under_way(self) -> list[str]:
        """Tasks that have no outcome yet, oldest first."""
        return list(self._handlers)

    def wait(self, task: str, seconds: float) -> str:
        """Pump until ``task`` is placed; returns what was said about it then, mostly nothing.

        Raises:
            ShotError: it failed, was cancelled, or is not done after ``seconds``.
        """
        pump_until(lambda: task in self._outcomes, seconds)
        if task not in self._outcomes:
            arrived = any(event.task == task for event in self._arrived)
            if arrived and (hindrance := blender_state.hindrance()) is not None:
                reason, fix = hindrance
                raise ShotError("held", f"The result is here, but {reason}.", fix)
            raise ShotError(
                "time",
                f"There is no result after {seconds:g} seconds.",
                "It will be placed when it arrives; cancel it if it is not wanted.",
            )
        if (error := self._outcomes[task]) is not None:
            raise error
        job = self.jobs.get(task)
        return job.sentence if job is not None else ""

    # The timer's work

    def step(self) -> bool:
        """Read what has arrived and place what can be placed; whether anything changed."""
        events = self.client.poll() if self.client is not None else []
        for event in events:
            self._take(event)
        placed = False
        while self._arrived and blender_state.hindrance() is None:
            self._place(self._arrived.pop(0))
            placed = True
        return self._keep_options() or placed or bool(events)

    def _keep_options(self) -> bool:
        """Give every scene the fields of the engines' options; whether one had others."""
        welcome = self.welcome
        if welcome is None or blender_state.hindrance() is not None:
            return False
        return options.sync_all(welcome.engines)

    def _take(self, event: Any) -> None:
        if isinstance(event, jobs.TaskFinished):
            self._arrived.append(event)  # its row is done when it is placed, not before
            return
        self.jobs.take(event, here={one.task for one in self._arrived})
        match event:
            case jobs.TaskAccepted(task=task, job=job):
                self.names[task] = job
            case jobs.TaskFailed(task=task, code=code, sentence=sentence, fix=fix):
                self._settle(task, ShotError(code, sentence, fix))
            case jobs.TaskCancelled(task=task):
                self._settle(
                    task,
                    ShotError("cancelled", "The job was cancelled.", "Ask again if it is wanted."),
                )
            case _:
                pass

    def _place(self, event: jobs.TaskFinished) -> None:
        handler = self._handlers.get(event.task)
        if handler is None:
            return
        try:
            if handler.loads != blender_state.loads() and not handler.any_file:
                raise ShotError(
                    "other_file",
                    "Another file was opened before this was done.",
                    "Open the file it was asked for in, and ask again.",
                )
            note = handler.place(event.result, event.blobs)
        except ShotError as error:
            self._fail(event.task, error)
        except Exception as error:
            log.exception("placing the result of %s failed", handler.label)
            self._fail(
                event.task,
                ShotError(
                    "bug",
                    f"Blender refused the result: {error}.",
                    "Ask again; Blender's console says more.",
                ),
            )
        else:
            self.jobs.take(replace(event, note=note or ""))
            self._settle(event.task, None)

    def _fail(self, task: str, error: ShotError) -> None:
        self.jobs.take(
            jobs.TaskFailed(task=task, code=error.code, sentence=error.sentence, fix=error.fix)
        )
        self._settle(task, error)

    def _settle(self, task: str, outcome: ShotError | None) -> None:
        handler = self._handlers.pop(task, None)
        if handler and handler.any_file and (outcome is None or outcome.code != "cancelled"):
            self.jobs.brought(task, blender_state.loads())
        self.names.pop(task, None)
        self._outcomes[task] = outcome
        for old in [old for old in self._outcomes if self.jobs.get(old) is None]:
            del self._outcomes[old]


_owner = Link()
_trouble = ""
"""The error that the last call of the timer ended with; empty when it went well."""


def link() -> Link:
    """The one link of this Blender."""
    return _owner


_followers: list[Callable[[], None]] = []
_failed: dict[Callable[[], None], str] = {}


def follow(follower: Callable[[], None]) -> None:
    """Let the timer call ``follower``; never from within an operator that waits."""
    _failed.pop(follower, None)
    _followers.append(follower)


def unfollow(follower: Callable[[], None]) -> None:
    """Let it call ``follower`` no more; one that failed it does not call anyway."""
    _failed.pop(follower, None)
    if follower in _followers:
        _followers.remove(follower)


def failure(follower: Callable[[], None]) -> str:
    """What ``follower`` failed with, after which it is not called again; empty where it did not."""
    return _failed.get(follower, "")


def beat() -> float:
    """The timer's callback: :func:`pump`, then the followers; never raises."""
    pause = pump()
    for follower in list(_followers):
        try:
            follower()
        except Exception as error:
            log.exception("%s failed and is not called again", follower)
            unfollow(follower)
            _failed[follower] = str(error) or type(error).__name__
    return ACTIVE_SECONDS if _owner.waiting else pause


def pump() -> float:
    """Read and place what has come; returns how soon to do so again, and never raises.

    An error that comes back at every call is logged once.
    """
    global _trouble
    try:
        if _owner.step():
            from ..scene import viewport

            viewport.redraw_sidebar()
    except Exception as error:
        if repr(error) != _trouble:
            log.exception("the pump failed")
        _trouble = repr(error)
        return TROUBLE_SECONDS
    _trouble = ""
    return ACTIVE_SECONDS if _owner.waiting else IDLE_SECONDS


def pump_until(done: Callable[[], bool], seconds: float) -> bool:
    """Pump until ``done()``; False when that did not come within ``seconds``."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        pump()
        time.sleep(0.002)
    return True


def start() -> None:
    """Begin the timer and watch for moments at which nothing may be placed."""
    blender_state.start()
    bpy.app.timers.register(beat, first_interval=IDLE_SECONDS, persistent=True)


def stop() -> None:
    """End the timer, the handlers and the connection, whatever the connection says to that."""
    global _owner
    if bpy.app.timers.is_registered(beat):
        bpy.app.timers.unregister(beat)
    blender_state.stop()
    ended, _owner = _owner, Link()
    ended.disconnect()
