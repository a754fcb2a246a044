"""The life of a job, as values: which states there are, what leads where, who is next.

Nothing here touches a socket, a file or a clock; the owner swaps one value for the next.
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

# What each state may become. Final states lead nowhere: trying again is a new request.
LEADS_TO: dict[State, frozenset[State]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"done", "failed", "cancel_requested", "interrupted"}),
    "cancel_requested": frozenset({"cancelled", "done", "failed"}),
    "cancelled": frozenset(),
    "done": frozenset(),
    "failed": frozenset(),
    "interrupted": frozenset(),
}

# An artist waits for these, so they never stand behind a render. Every shot goes to the render
# worker, the draft's too: a click must not wait for a draft either, and which engine is quick is
# not this file's to know.
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
        client: who asked; only that client may see or cancel the job.
        request: the client's own name for the request; with ``client`` it makes a job unique.
        kind: wire name of the request.
        created: seconds since 1970.
        seq: pushes sent about this job so far.
        code: why it failed, for programs; ``sentence`` and ``fix`` say it to the artist.
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
        """The kind of worker that runs it."""
        return ROLE_OF_KIND[self.kind]

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL

    def moved(self, state: State, code: str = "", sentence: str = "", fix: str = "") -> Job:
        """The job in its next state, one push later; texts as a store can keep them.

        Raises:
            ValueError: the state table has no such step.
        """
        if state not in LEADS_TO[self.state]:
            raise ValueError(f"job {self.id} cannot go from {self.state} to {state}")
        return replace(
            self,
            state=state,
            seq=self.seq + 1,
            code=readable(code),
            sentence=readable(sentence),
            fix=readable(fix),
        )

    def pushed(self) -> Job:
        """The job after a push that changed no state (progress)."""
        return replace(self, seq=self.seq + 1)

    def cancel_asked(self) -> Job:
        """The job once its owner has asked to stop it; asking twice changes nothing."""
        match self.state:
            case "queued":
                return self.moved("cancelled")
            case "running":
                return self.moved("cancel_requested")
            case _:
                return self

    def stopped(self, state: State, code: str = "", sentence: str = "", fix: str = "") -> Job:
        """The job once its worker has let go of it.

        A worker that fails while it is being stopped has stopped, which is what was asked for. A
        result that was ready first stays a result.
        """
        if state == "cancelled" and self.state == "running":
            return self.moved("cancel_requested").moved("cancelled")
        if state == "failed" and self.state == "cancel_requested":
            return self.moved("cancelled")
        return self.moved(state, code, sentence, fix)

    def found_at_start(self) -> Job:
        """The job as a server takes it over from one that ended: queued jobs run on."""
        match self.state:
            case "running":
                return self.moved(
                    "interrupted",
                    "interrupted",
                    "The server ended while it worked on this job.",
                    "Send it again.",
                )
            case "cancel_requested":
                return self.moved("cancelled")
            case _:
                return self


def next_for(role: Role, jobs: Iterable[Job]) -> Job | None:
    """The queued job that a free worker of ``role`` takes: the oldest."""
    waiting = [job for job in jobs if job.state == "queued" and job.role == role]
    return min(waiting, key=lambda job: job.number, default=None)


def place_of(job: Job, jobs: Iterable[Job]) -> int:
    """How many queued jobs go before ``job``; 0 is next."""
    return sum(
        other.state == "queued" and other.role == job.role and other.number < job.number
        for other in jobs
    )


def seconds_left(elapsed: float, done: int, total: int) -> float | None:
    """Time until ``total`` at the pace so far; None before the first step is done."""
    if done <= 0 or total <= 0:
        return None
    return elapsed / done * max(total - done, 0)
