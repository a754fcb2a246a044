"""The jobs in hand: accepting, starting, stopping and reporting them. Knows no sockets.

The store is written before anything is said, so that what a client was told survives the process.
Where it cannot be written, jobs still end, their results are kept, and the queue rests until the
store has caught up; that is tried again soon at first, then every ``retry_seconds``.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol import ProtocolError, ShotError, messages

from . import frames, jobs
from .blobs import Blobs
from .internal import internal
from .jobs import ROLES, Job
from .settings import ServerSettings
from .spool import Spool
from .store import TROUBLE, Store, trouble
from .supervisor import Event, Finished, GaveUp, Stepped, Stopped, Supervisor
from .validate import refusal

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.25  # mostly another program had the store for a moment
# Faster progress than a panel draws would only fill the socket.
PROGRESS_SECONDS = 0.05

Push = Callable[[str, Any], None]


class Desk:
    """Owner of the jobs that something may still happen to; the others are in the store.

    Args:
        push: called with a client id and a message for it.
    """

    def __init__(
        self, settings: ServerSettings, store: Store, blobs: Blobs, workers: Supervisor, push: Push
    ) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._workers = workers
        self._push = push
        self._live: dict[str, Job] = {}
        self._unsaved: dict[str, Job] = {}  # the store has an older state of these
        self._spool = Spool(settings.blobs / "results")
        self._rests: ShotError | None = None  # why no job is started
        self._rests_until = 0.0
        self._pause = 0.0
        self._pace: dict[str, tuple[str, float, float]] = {}  # job: phase, its start, last push
        self._steps: dict[str, Stepped] = {}  # the last step of each running job

    def take_over(self) -> None:
        """Pick up what an earlier server left behind."""
        for job in self._store.unfinished():
            packed = self._spool.found(job.id) if job.state == "running" else None
            if packed is not None:
                self._live[job.id] = job
                self._finish(job, packed)
                continue
            found = job.found_at_start()
            if found is not job:
                self._keep(found)
                log.info("job %s is %s: the server ended while it ran", job.id, found.state)
            else:
                self._live[job.id] = found

    def accept(self, client: str, request: str, message: Any) -> Any:
        """The reply to a job's request: accepted, or an error and nothing started.

        A request that came before gets the reply it got before. A refusal is not kept: it started
        nothing, so the same request may be asked again once its cause is mended.
        """
        if not request:
            return messages.Error(
                code="header",
                sentence="A job's request needs an id.",
                fix="Update the extension in Blender.",
            )
        if (reply := self._store.reply_to(client, request)) is not None:
            return frames.unpack(reply)
        queued = sum(job.state == "queued" for job in self._live.values())
        if queued >= self._settings.limits.queue:
            return messages.Error(
                code="queue_full",
                sentence=f"{queued} jobs are waiting, the server takes no more.",
                fix="Wait for one to finish, or cancel one.",
            )
        settings = self._settings
        error = refusal(
            message,
            engines=settings.engines,
            limits=settings.limits,
            blobs=self._blobs,
            lacks=settings.lacks,
        )
        if error is not None:
            return error
        job = Job(
            id=secrets.token_hex(8),
            number=1 << 62,  # behind all others, until the store numbers it
            client=client,
            request=request,
            kind=messages.NAMES[type(message)],
            created=time.time(),
        )
        accepted = messages.Accepted(job=job.id, place=jobs.place_of(job, self._live.values()))
        try:
            job = self._store.add(job, frames.pack(message), frames.pack(accepted))
        except TROUBLE as error:
            self._rest(error)
            why = trouble(error)
            return messages.Error(
                code=why.code, sentence=why.sentence, fix=f"{why.fix} Then send it again."
            )
        self._live[job.id] = job
        return accepted

    def state(self, client: str, job: str) -> messages.State:
        """The truth about a job; ``unknown`` where there is none that this client may see."""
        found = self._find(client, job)
        if found is None:
            return _unknown(job)
        rests = self._rests if found.state == "queued" else None
        return self._state(found, rests)

    def cancel(self, client: str, job: str) -> messages.State:
        """Ask a job to stop, and say where it stands."""
        found = self._find(client, job)
        if found is None:
            return _unknown(job)
        asked = found.cancel_asked()
        if self._spool.drop(job):  # no worker has it any more
            asked = found.stopped("cancelled")
        if asked is not found:
            self._keep(asked)
            if asked.state == "cancel_requested":
                self._workers.cancel(job)
        return self._state(asked)

    def result(self, client: str, job: str) -> Any:
        """A finished job's result, or an error that says why there is none."""
        found = self._find(client, job)
        if found is None:
            return messages.Error(
                code="unknown_job",
                sentence="The server does not know this job.",
                fix="Send it again.",
            )
        if job in self._spool.waiting:
            return messages.Error(code=found.code, sentence=found.sentence, fix=found.fix)
        result = self._store.result(job)
        if result is None:
            return messages.Error(
                code="no_result",
                sentence=f"The job is {found.state} and has no result.",
                fix="Wait for it to be done, or send it again.",
            )
        return frames.unpack(result)

    def dispatch(self) -> None:
        """Give each free worker its next job, unless the store takes nothing."""
        if self._rests is not None and not self._wakes():
            return
        for role in ROLES:
            job = jobs.next_for(role, self._live.values())
            if job is None:
                continue
            if not self._workers.free(role):
                self._workers.want(role)
                continue
            try:
                self._begin(role, job)
            except TROUBLE as error:  # it goes on waiting: nothing was said or started yet
                self._rest(error)
                return
            except Exception as error:  # noqa: BLE001 - _broken logs it; the next job is tried
                self._broken(job, error, f"starting job {job.id}")

    def _begin(self, role: jobs.Role, job: Job) -> None:
        try:
            message = frames.unpack(self._store.message(job.id))
        except ProtocolError as error:
            self._keep(job.moved("failed", "version", error.sentence, "Send it again."))
            return
        running = job.moved("running")
        self._store.save(running)
        self._told(running)
        self._workers.give(role, job.id, message)

    def _broken(self, job: Job, error: Exception, doing: str) -> None:
        """End a job over which the server itself stumbled, so that it does not stay for ever."""
        why = internal(error, doing)
        self._spool.drop(job.id)
        live = self._live.get(job.id)
        if live is not None:
            self._keep(live.stopped("failed", why.code, why.sentence, why.fix))

    def happened(self, event: Event) -> None:
        """Take in what a worker did."""
        if isinstance(event, GaveUp):
            self._fail_queued(event)
            return
        job = self._live.get(event.job)
        if job is None:
            return
        try:
            match event:
                case Stepped():
                    self._progress(job, event)
                case Finished(result=result):
                    self._finish(job, frames.pack(result))
                case Stopped():
                    self._keep(job.stopped(event.state, event.code, event.sentence, event.fix))
        except Exception as error:
            if isinstance(event, Stepped):  # the next one comes
                raise
            self._broken(job, error, f"ending job {job.id}")

    def interrupt(self) -> None:
        """The server is told to end: say so of every job that runs."""
        with contextlib.suppress(*TROUBLE):
            self._catch_up()
        for job in list(self._live.values()):
            found = job.found_at_start()
            if found is not job and job.id not in self._spool.waiting:
                self._keep(found)

    def clean(self) -> None:
        """Forget finished jobs and unused blobs that are older than the retention time."""
        seconds = self._settings.retention_seconds
        files = self._blobs.clean(seconds)  # first: it makes room for what the store writes
        gone = self._store.forget_before(time.time() - seconds)
        if gone or files:
            log.info("cleaned up %d old jobs and %d files", gone, files)

    def _find(self, client: str, job: str) -> Job | None:
        found = self._live.get(job) or self._unsaved.get(job) or self._store.job(job)
        return found if found is not None and found.client == client else None

    def _finish(self, job: Job, packed: bytes) -> None:
        """Store a result, then hand it over; where that cannot be, keep it and say why it waits."""
        try:
            self._hand_over(job, packed)
        except TROUBLE as error:
            self._rest(error)
            if job.state == "cancel_requested":
                self._keep(job.stopped("cancelled"))
                return
            why, lasts = trouble(error), self._spool.put(job.id, packed)
            self._told(
                replace(
                    job.pushed(),
                    code=why.code,
                    sentence=f"The result is ready and waits for the disk. {why.sentence}",
                    fix=f"{why.fix} Then it comes by itself"
                    + ("." if lasts else ", unless the server is ended before."),
                )
            )

    def _hand_over(self, job: Job, packed: bytes) -> None:
        """Store a result and tell its client; raises one of ``TROUBLE``, and nothing was told."""
        done = job.moved("done")
        self._store.save(done, packed)
        self._spool.drop(job.id)
        self._push(job.client, frames.unpack(packed))
        self._told(done)

    def _keep(self, job: Job) -> None:
        """Take over a state, write it as soon as that is possible, and say it."""
        try:
            self._store.save(job)
        except TROUBLE as error:
            self._unsaved[job.id] = job
            self._rest(error)
        else:
            self._unsaved.pop(job.id, None)
        self._told(job)

    def _rest(self, error: Exception) -> None:
        retry = self._settings.retry_seconds
        if self._rests is None:
            log.error("no job is started until the store can be written: %s", error)
            self._pause = min(FIRST_RETRY_SECONDS, retry)
        else:
            self._pause = min(2 * self._pause, retry)
        self._rests = trouble(error)
        self._rests_until = time.monotonic() + self._pause

    def _wakes(self) -> bool:
        """Whether the store is whole again; tried from time to time."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            self._catch_up()
        except TROUBLE as error:
            self._rest(error)
            return False
        log.info("the store can be written again")
        self._rests = None
        return True

    def _catch_up(self) -> None:
        """Write what the store lacks; raises one of ``TROUBLE`` where that cannot be yet."""
        for job in list(self._unsaved.values()):
            self._store.save(job)
            del self._unsaved[job.id]
        for name, packed in list(self._spool.waiting.items()):
            self._hand_over(self._live[name], packed)

    def _told(self, job: Job) -> None:
        """Push a state that is in the store, or that will be."""
        if job.final:
            self._live.pop(job.id, None)
            self._pace.pop(job.id, None)
            self._steps.pop(job.id, None)
        else:
            self._live[job.id] = job
        self._push(job.client, self._state(job))

    def _progress(self, job: Job, step: Stepped) -> None:
        now = time.monotonic()
        phase, began, pushed = self._pace.get(job.id, ("", now, 0.0))
        if phase != step.phase:
            began = now
        due = phase != step.phase or step.done >= step.total or now - pushed >= PROGRESS_SECONDS
        self._pace[job.id] = (step.phase, began, now if due else pushed)
        if step.picture is None and job.id in self._steps:  # one that was not due yet
            step = replace(step, picture=self._steps[job.id].picture)
        self._steps[job.id] = replace(step, picture=None) if due else step
        if not due:
            return
        job = self._live[job.id] = job.pushed()
        message = messages.Progress(
            job=job.id,
            seq=job.seq,
            phase=step.phase,
            done=step.done,
            total=step.total,
            eta_seconds=jobs.seconds_left(now - began, step.done, step.total),
            picture=step.picture,
        )
        self._push(job.client, message)

    def _state(self, job: Job, rests: ShotError | None = None) -> messages.State:
        """The message for a job; of a queued one it may say why the queue rests."""
        step = self._steps.get(job.id)
        return messages.State(
            job=job.id,
            seq=job.seq,
            state=job.state,
            phase="" if step is None else step.phase,
            done=0 if step is None else step.done,
            total=0 if step is None else step.total,
            place=jobs.place_of(job, self._live.values()) if job.state == "queued" else 0,
            code=job.code if rests is None else rests.code,
            sentence=job.sentence if rests is None else rests.sentence,
            fix=job.fix if rests is None else rests.fix,
        )

    def _fail_queued(self, event: GaveUp) -> None:
        for job in list(self._live.values()):
            if job.state == "queued" and job.role == event.role:
                self._keep(
                    job.moved(
                        "failed",
                        "worker_died",
                        f"The server's {event.role} process does not start.",
                        "Look into the server's log, then try again.",
                    )
                )


def _unknown(job: str) -> messages.State:
    return messages.State(
        job=job,
        seq=0,
        state="unknown",
        code="unknown_job",
        sentence="The server does not know this job.",
        fix="Send it again.",
    )
