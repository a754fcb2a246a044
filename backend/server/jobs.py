"""Jobs as immutable values: states, their transitions, and the order of the queue.

Pure: no socket, file or clock. :class:`JobManager` replaces one value by the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from protocol import readable

State = Literal[
    "queued", "running", "cancel_requested", "cancelled", "done", "failed", "interrupted"
]
Role = Literal["interactive", "render"]

ROLES: tuple[Role, ...] = ("interactive", "render")
FINAL: frozenset[State] = frozenset({"cancelled", "done", "failed", "interrupted"})

# Final states have no transitions: a retry is a new request.
TRANSITIONS: dict[State, frozenset[State]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"done", "failed", "cancel_requested", "interrupted"}),
    "cancel_requested": frozenset({"cancelled", "done", "failed"}),
    "cancelled": frozenset(),
    "done": frozenset(),
    "failed": frozenset(),
    "interrupted": frozenset(),
}

# Short jobs that a user waits for never queue behind a render. Every submit goes to the render
# worker, even a draft: a click must not wait for a draft either.
ROLE_OF_KIND: dict[str, Role] = {
    "lift": "interactive",
    "segment": "interactive",
    "submit": "render",
    "preview": "interactive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted request.

    Attributes:
        number: order of acceptance, over all jobs of a store.
        client: id of the client that sent it; only that client may see or cancel the job.
        request: the client's id of the request; (``client``, ``request``) is unique.
        kind: wire name of the request.
        created: seconds since 1970.
        seq: sequence number of the last message published about this job.
        code: error code of a failed job; ``sentence`` and ``fix`` are for the user.
    """

    id: str
    number: int
    client: str
    request: str
    kind: str
    created: float
    state: State = "queued"
    seq: int = 0
    code: str = ""
    sentence: str = ""
    fix: str = ""

    @property
    def role(self) -> Role:
        """The role of the worker that runs it."""
        return ROLE_OF_KIND[self.kind]

    @property
    def final(self) -> bool:
        """Whether its state can no longer change."""
        return self.state in FINAL

    def with_state(self, state: State, code: str = "", sentence: str = "", fix: str = "") -> Job:
        """The job in its next state, with the next ``seq`` and texts that SQLite can store.

        Raises:
            ValueError: ``TRANSITIONS`` does not allow it.
        """
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"job {self.id} cannot go from {self.state} to {state}")
        return replace(
            self,
            state=state,
            seq=self.seq + 1,
            code=readable(code),
            sentence=readable(sentence),
            fix=readable(fix),
        )

    def with_next_seq(self) -> Job:
        """The job after a message that changed no state (progress)."""
        return replace(self, seq=self.seq + 1)

    def after_cancel_request(self) -> Job:
        """The job after its client cancelled it; a second cancel changes nothing."""
        match self.state:
            case "queued":
                return self.with_state("cancelled")
            case "running":
                return self.with_state("cancel_requested")
            case _:
                return self

    def after_stop(self, state: State, code: str = "", sentence: str = "", fix: str = "") -> Job:
        """The job after its worker stopped working on it.

        A failure while a cancel is pending counts as cancelled. A result that was finished before
        the cancel stays a result.
        """
        if state == "cancelled" and self.state == "running":
            return self.with_state("cancel_requested").with_state("cancelled")
        if state == "failed" and self.state == "cancel_requested":
            return self.with_state("cancelled")
        return self.with_state(state, code, sentence, fix)

    def after_restart(self) -> Job:
        """The job after a restart of the server: queued jobs stay queued, running ones do not."""
        match self.state:
            case "running":
                return self.with_state(
                    "interrupted",
                    "interrupted",
                    "The server ended while it worked on this job.",
                    "Send it again.",
                )
            case "cancel_requested":
                return self.with_state("cancelled")
            case _:
                return self


def next_job(role: Role, jobs: Iterable[Job]) -> Job | None:
    """The oldest queued job for a worker of ``role``."""
    waiting = [job for job in jobs if job.state == "queued" and job.role == role]
    return min(waiting, key=lambda job: job.number, default=None)


def queue_position(job: Job, jobs: Iterable[Job]) -> int:
    """How many queued jobs of the same role are ahead of ``job``; 0 is next."""
    return sum(
        other.state == "queued" and other.role == job.role and other.number < job.number
        for other in jobs
    )


def eta_seconds(elapsed: float, done: int, total: int) -> float | None:
    """Seconds until ``total`` at the mean rate so far; None before the first step."""
    if done <= 0 or total <= 0:
        return None
    return elapsed / done * max(total - done, 0)
