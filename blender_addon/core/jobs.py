"""The job table: the connection's status, and a row for every task sent to the backend.

The client turns whatever comes over the wire into these events; rows are values that events change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy.typing as npt

Array = npt.NDArray[Any]
Phase = Literal["connecting", "connected", "lost", "refused"]

# States of a row. The first three are this side's: waiting for a server, sending, receiving.
FINAL = frozenset({"cancelled", "done", "failed", "interrupted", "unknown"})
KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the link stands.

    Attributes:
        reason: one sentence where it is not connected.
        fix: what to do about it.
        round_trip_seconds: of the last heartbeat.
    """

    phase: Phase
    endpoint: str
    reason: str = ""
    fix: str = ""
    round_trip_seconds: float | None = None

    @property
    def sentence(self) -> str:
        """Reason and fix as one text."""
        return f"{self.reason} {self.fix}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    """The link stands differently."""

    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAccepted:
    """The server made the task a job; ``place`` 0 is next."""

    task: str
    job: str
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress:
    """Step ``done`` of ``total`` of a phase; ``upload`` and ``download`` count bytes."""

    task: str
    phase: str
    done: int
    total: int
    eta_seconds: float | None = None
    picture: Array | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """The server's word on the job's state.

    Attributes:
        sentence: what holds it up, where something does; ``fix`` says what to do about it.
    """

    task: str
    state: str
    sentence: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFinished:
    """The end: the result message and every blob it refers to, by hash.

    Attributes:
        note: what the artist should know although all went well; empty where there is nothing.
    """

    task: str
    result: Any
    blobs: Mapping[str, bytes]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """The end: nothing came of it, and what to do."""

    task: str
    code: str
    sentence: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelled:
    """The end: it was stopped."""

    task: str


Event = (
    StatusChanged
    | TaskAccepted
    | TaskProgress
    | TaskState
    | TaskFinished
    | TaskFailed
    | TaskCancelled
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One row: a lift, a pick, a render or a preview.

    Attributes:
        task: the client's name for it.
        kind: ``lift``, ``segment``, ``submit`` or ``preview``.
        label: what the artist reads.
        subject: what an error of this row is about besides its kind: the photo that was to be
            lifted, the lift that was clicked on, the lift and the engine that was to render it.
        opened: how many files had been opened when it was asked for, or when it ended if what came
            of it is of use in any file.
        file: name of the file it was asked for in.
        job: the server's name for it, once it has one.
        state: ``waiting`` before the server took it, then one of the server's states; ``done`` only
            when the result is here.
        lost: the server that has it does not answer, so nothing here is known to be true still.
        eta: seconds left, where known.
        picture: uint8 (h, w, 3), the last rough look at the take in the making.
        sentence: what went wrong, what holds it up, or a note on what went well.
        fix: what to do about it.
    """

    task: str
    kind: str
    label: str
    subject: str = ""
    opened: int = 0
    file: str = ""
    job: str = ""
    state: str = "waiting"
    phase: str = ""
    done: int = 0
    total: int = 0
    eta: float | None = None
    sentence: str = ""
    fix: str = ""
    lost: bool = False
    picture: Array | None = field(default=None, compare=False)

    @property
    def activity(self) -> str:
        """What is being done, in a word or two."""
        return "lost" if self.lost else (self.phase or self.state).replace("_", " ")

    @property
    def text(self) -> str:
        """Sentence and fix as one text."""
        return f"{self.sentence} {self.fix}".strip()

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL

    @property
    def quiet(self) -> bool:
        """Whether it is a click that left nothing to say: its mask is seen."""
        return self.kind == "segment" and self.state in ("done", "cancelled") and not self.sentence

    @property
    def factor(self) -> float:
        """Progress of the phase, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def after(self, event: Event) -> JobRow:
        """The row once ``event`` has happened; other tasks' events change nothing."""
        if isinstance(event, StatusChanged) or event.task != self.task or self.final:
            return self
        if self.lost:  # whatever came, the server is back
            return replace(self, lost=False, sentence="", fix="").after(event)
        match event:
            case TaskAccepted(job=job):
                return replace(self, job=job, state="queued", phase="", done=0, total=0)
            case TaskProgress():
                return replace(
                    self,
                    phase=event.phase,
                    done=event.done,
                    total=event.total,
                    eta=event.eta_seconds,
                    picture=self.picture if event.picture is None else event.picture,
                )
            case TaskState(state="done"):
                return self  # the server's part; the result is still on its way
            case TaskState(state=state, sentence=sentence, fix=fix):
                if state in FINAL:
                    return self
                return replace(self, state=state, sentence=sentence, fix=fix)
            case TaskFinished(note=note):
                return replace(self, state="done", eta=None, sentence=note)
            case TaskFailed(sentence=sentence, fix=fix):
                return replace(self, state="failed", eta=None, sentence=sentence, fix=fix)
            case TaskCancelled():
                return replace(self, state="cancelled", eta=None)

    def mended_by(self, other: JobRow) -> bool:
        """Whether this one failed at what ``other``, of the same kind, has now done."""
        alike = (self.kind, self.subject, self.opened) == (other.kind, other.subject, other.opened)
        return alike and self.state in ("failed", "interrupted")

    def unheard(self, reason: str) -> JobRow:
        """The row while nobody answers, and ``reason`` says so; one at its end stays."""
        if self.final:
            return self
        fix = "When it is back, it is asked what became of this."
        return replace(self, lost=True, eta=None, sentence=reason, fix=fix)


@dataclass(slots=True)
class JobTable:
    """Owner of the rows, oldest first: the open ones, and the last :data:`KEPT` that ended."""

    rows: dict[str, JobRow] = field(default_factory=dict[str, JobRow])

    def add(self, job: JobRow) -> None:
        """A row for a task that was started."""
        self.rows[job.task] = job

    def take(self, event: Event, here: Collection[str] = ()) -> None:
        """Let an event change its row or, where the server is lost, every open one.

        What ended well takes away the errors that are mended by it. The oldest of too many that
        ended are forgotten, clicks first.

        Args:
            here: tasks whose results are here and wait to be placed: no server is needed for them.
        """
        if isinstance(event, StatusChanged):
            if event.status.phase == "lost":
                for task in self.rows.keys() - set(here):
                    self.rows[task] = self.rows[task].unheard(event.status.reason)
            return
        if event.task not in self.rows:
            return
        self.rows[event.task] = self.rows[event.task].after(event)
        own = self.rows[event.task]
        if own.state == "done":
            for task in [task for task, job in self.rows.items() if job.mended_by(own)]:
                self.forget(task)
        ended = [task for task, job in self.rows.items() if job.final and task != event.task]
        ended.sort(key=lambda task: not self.rows[task].quiet)
        room = KEPT - own.final
        for task in ended[: max(0, len(ended) - room)]:
            self.forget(task)

    def get(self, task: str) -> JobRow | None:
        """The row of a task."""
        return self.rows.get(task)

    def shown(self, kind: str, opened: int) -> list[JobRow]:
        """The rows of one kind that are of interest in the file that is open, oldest first.

        Those are what is under way, for whichever file, and what ended for this one.

        Args:
            kind: of the tasks.
            opened: how many files have been opened.
        """
        rows = [job for job in self.rows.values() if job.kind == kind and not job.quiet]
        return [job for job in rows if not job.final or job.opened == opened]

    def brought(self, task: str, opened: int) -> None:
        """What came of a task is of use whichever file is open: its row belongs to this one."""
        if task in self.rows:
            self.rows[task] = replace(self.rows[task], opened=opened)

    def forget(self, task: str) -> None:
        """Remove a row that is at its end; one that is not stays."""
        if (job := self.rows.get(task)) is not None and job.final:
            del self.rows[task]

    @property
    def open(self) -> list[JobRow]:
        """Rows that something may still happen to."""
        return [job for job in self.rows.values() if not job.final]

    def __iter__(self) -> Iterator[JobRow]:
        return iter(self.rows.values())

    def __len__(self) -> int:
        return len(self.rows)
