"""The job manager: accepts, starts, cancels and finishes jobs. Knows no sockets.

States are committed to the store before they are published, so that what a client was told
survives the process. While the store cannot be written, jobs still finish, their results are
spooled, and the queue is paused; the commit is retried with back-off up to ``retry_seconds``.
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

from . import jobs, packing, supervisor
from .blobs import BlobStore
from .errors import internal_error
from .jobs import ROLES, Job
from .settings import ServerSettings
from .spool import ResultSpool
from .store import STORE_ERRORS, Store, store_error
from .validate import validation_error

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.25  # mostly another program locked the store for a moment
# Minimum interval between progress messages: a panel draws no faster.
PROGRESS_SECONDS = 0.05

Publish = Callable[[str, Any], None]


class JobManager:
    """Holds the jobs that are not in a final state; the others are in the store.

    Args:
        publish: sends a message to a client; called with the client id and the message.
    """

    def __init__(
        self,
        settings: ServerSettings,
        store: Store,
        blobs: BlobStore,
        workers: supervisor.Supervisor,
        publish: Publish,
    ) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._workers = workers
        self._publish = publish
        self._active: dict[str, Job] = {}
        self._uncommitted: dict[str, Job] = {}  # jobs whose newest state is not in the store yet
        self._spool = ResultSpool(settings.blobs / "results")
        self._paused_by: ShotError | None = None  # why the queue is paused
        self._retry_at = 0.0
        self._retry_delay = 0.0
        # job: (phase, its start, last publish)
        self._phase_times: dict[str, tuple[str, float, float]] = {}
        self._last_steps: dict[str, supervisor.JobProgress] = {}  # of each running job

    def recover(self) -> None:
        """Load the unfinished jobs of an earlier server; those that ran become interrupted."""
        for job in self._store.unfinished():
            packed = self._spool.load(job.id) if job.state == "running" else None
            if packed is not None:
                self._active[job.id] = job
                self._finish(job, packed)
                continue
            found = job.after_restart()
            if found is not job:
                self._commit(found)
                log.info("job %s is %s: the server ended while it ran", job.id, found.state)
            else:
                self._active[job.id] = found

    def accept(self, client: str, request: str, message: Any) -> Any:
        """Reply to a job request: ``Accepted`` and the job is queued, or ``Error``.

        A duplicate request gets the stored reply and queues nothing. An ``Error`` is not stored, so
        the same request may be sent again once its cause is fixed.
        """
        if not request:
            return messages.Error(
                code="header",
                sentence="A job's request needs an id.",
                fix="Update the extension in Blender.",
            )
        if (reply := self._store.stored_reply(client, request)) is not None:
            return packing.unpack(reply)
        queued = sum(job.state == "queued" for job in self._active.values())
        if queued >= self._settings.limits.queue:
            return messages.Error(
                code="queue_full",
                sentence=f"{queued} jobs are waiting, the server takes no more.",
                fix="Wait for one to finish, or cancel one.",
            )
        settings = self._settings
        error = validation_error(
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
            number=1 << 62,  # last in the queue, until the store numbers it
            client=client,
            request=request,
            kind=messages.NAMES[type(message)],
            created=time.time(),
        )
        accepted = messages.Accepted(
            job=job.id, place=jobs.queue_position(job, self._active.values())
        )
        try:
            job = self._store.add(job, packing.pack(message), packing.pack(accepted))
        except STORE_ERRORS as error:
            self._pause_queue(error)
            why = store_error(error)
            return messages.Error(
                code=why.code, sentence=why.sentence, fix=f"{why.fix} Then send it again."
            )
        self._active[job.id] = job
        return accepted

    def state(self, client: str, job: str) -> messages.State:
        """The state of a job; ``unknown`` if there is none or it belongs to another client."""
        found = self._find(client, job)
        if found is None:
            return _unknown_job(job)
        paused_by = self._paused_by if found.state == "queued" else None
        return self._state_message(found, paused_by)

    def cancel(self, client: str, job: str) -> messages.State:
        """Cancel a job and return its state; one that runs is stopped by its worker."""
        found = self._find(client, job)
        if found is None:
            return _unknown_job(job)
        changed = found.after_cancel_request()
        if self._spool.discard(job):  # the worker finished; only the commit was pending
            changed = found.after_stop("cancelled")
        if changed is not found:
            self._commit(changed)
            if changed.state == "cancel_requested":
                self._workers.cancel(job)
        return self._state_message(changed)

    def result(self, client: str, job: str) -> Any:
        """The result of a finished job, or an ``Error`` that says why there is none."""
        found = self._find(client, job)
        if found is None:
            return messages.Error(
                code="unknown_job",
                sentence="The server does not know this job.",
                fix="Send it again.",
            )
        if job in self._spool.pending:
            return messages.Error(code=found.code, sentence=found.sentence, fix=found.fix)
        result = self._store.result(job)
        if result is None:
            return messages.Error(
                code="no_result",
                sentence=f"The job is {found.state} and has no result.",
                fix="Wait for it to be done, or send it again.",
            )
        return packing.unpack(result)

    def dispatch(self) -> None:
        """Assign the next queued job to each idle worker, unless the queue is paused."""
        if self._paused_by is not None and not self._try_resume():
            return
        for role in ROLES:
            job = jobs.next_job(role, self._active.values())
            if job is None:
                continue
            if not self._workers.is_idle(role):
                self._workers.ensure_started(role)
                continue
            try:
                self._start(role, job)
            except STORE_ERRORS as error:  # it stays queued: nothing was published or started
                self._pause_queue(error)
                return
            except Exception as error:  # noqa: BLE001 - _fail_internally logs it
                self._fail_internally(job, error, f"starting job {job.id}")

    def _start(self, role: jobs.Role, job: Job) -> None:
        try:
            message = packing.unpack(self._store.message(job.id))
        except ProtocolError as error:
            self._commit(job.with_state("failed", "version", error.sentence, "Send it again."))
            return
        running = job.with_state("running")
        self._store.save(running)
        self._publish_state(running)
        self._workers.assign(role, job.id, message)

    def _fail_internally(self, job: Job, error: Exception, doing: str) -> None:
        """End a job as failed after an error inside the server, so that it does not stay active."""
        why = internal_error(error, doing)
        self._spool.discard(job.id)
        active = self._active.get(job.id)
        if active is not None:
            self._commit(active.after_stop("failed", why.code, why.sentence, why.fix))

    def handle_event(self, event: supervisor.WorkerEvent) -> None:
        """Update a job after an event from its worker."""
        if isinstance(event, supervisor.WorkerUnavailable):
            self._fail_queued_jobs(event)
            return
        job = self._active.get(event.job)
        if job is None:
            return
        try:
            match event:
                case supervisor.JobProgress():
                    self._publish_progress(job, event)
                case supervisor.JobFinished(result=result):
                    self._finish(job, packing.pack(result))
                case supervisor.JobStopped():
                    self._commit(job.after_stop(event.state, event.code, event.sentence, event.fix))
        except Exception as error:
            if isinstance(event, supervisor.JobProgress):  # only this progress is lost
                raise
            self._fail_internally(job, error, f"ending job {job.id}")

    def interrupt_running(self) -> None:
        """Mark every running job as interrupted, before the server exits."""
        with contextlib.suppress(*STORE_ERRORS):
            self._commit_pending()
        for job in list(self._active.values()):
            found = job.after_restart()
            if found is not job and job.id not in self._spool.pending:
                self._commit(found)

    def delete_expired(self) -> None:
        """Delete finished jobs and unused blobs that are older than the retention time."""
        seconds = self._settings.retention_seconds
        files = self._blobs.delete_unused(seconds)  # first: it frees space for the store's writes
        deleted = self._store.delete_finished_before(time.time() - seconds)
        if deleted or files:
            log.info("deleted %d old jobs and %d unused files", deleted, files)

    def _find(self, client: str, job: str) -> Job | None:
        found = self._active.get(job) or self._uncommitted.get(job) or self._store.job(job)
        return found if found is not None and found.client == client else None

    def _finish(self, job: Job, packed: bytes) -> None:
        """Commit and publish a result; if the store fails, spool it and publish why it waits."""
        try:
            self._commit_result(job, packed)
        except STORE_ERRORS as error:
            self._pause_queue(error)
            if job.state == "cancel_requested":
                self._commit(job.after_stop("cancelled"))
                return
            why, on_disk = store_error(error), self._spool.put(job.id, packed)
            self._publish_state(
                replace(
                    job.with_next_seq(),
                    code=why.code,
                    sentence=f"The result is ready and waits for the disk. {why.sentence}",
                    fix=f"{why.fix} Then it comes by itself"
                    + ("." if on_disk else ", unless the server is ended before."),
                )
            )

    def _commit_result(self, job: Job, packed: bytes) -> None:
        """Store a result, then publish it; raises one of ``STORE_ERRORS`` before publishing."""
        done = job.with_state("done")
        self._store.save(done, packed)
        self._spool.discard(job.id)
        self._publish(job.client, packing.unpack(packed))
        self._publish_state(done)

    def _commit(self, job: Job) -> None:
        """Store and publish a state; if the store fails, it is stored when the queue resumes."""
        try:
            self._store.save(job)
        except STORE_ERRORS as error:
            self._uncommitted[job.id] = job
            self._pause_queue(error)
        else:
            self._uncommitted.pop(job.id, None)
        self._publish_state(job)

    def _pause_queue(self, error: Exception) -> None:
        retry = self._settings.retry_seconds
        if self._paused_by is None:
            log.error("the queue is paused until the store can be written: %s", error)
            self._retry_delay = min(FIRST_RETRY_SECONDS, retry)
        else:
            self._retry_delay = min(2 * self._retry_delay, retry)
        self._paused_by = store_error(error)
        self._retry_at = time.monotonic() + self._retry_delay

    def _try_resume(self) -> bool:
        """Commit what is pending once the retry delay is over; whether the queue runs again."""
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._commit_pending()
        except STORE_ERRORS as error:
            self._pause_queue(error)
            return False
        log.info("the store can be written again; the queue is resumed")
        self._paused_by = None
        return True

    def _commit_pending(self) -> None:
        """Store pending states and results; raises one of ``STORE_ERRORS`` if it still fails."""
        for job in list(self._uncommitted.values()):
            self._store.save(job)
            del self._uncommitted[job.id]
        for name, packed in list(self._spool.pending.items()):
            self._commit_result(self._active[name], packed)

    def _publish_state(self, job: Job) -> None:
        """Make ``job`` the current state and send it to its client."""
        if job.final:
            self._active.pop(job.id, None)
            self._phase_times.pop(job.id, None)
            self._last_steps.pop(job.id, None)
        else:
            self._active[job.id] = job
        self._publish(job.client, self._state_message(job))

    def _publish_progress(self, job: Job, step: supervisor.JobProgress) -> None:
        now = time.monotonic()
        phase, phase_start, published = self._phase_times.get(job.id, ("", now, 0.0))
        if phase != step.phase:
            phase_start = now
        due = phase != step.phase or step.done >= step.total or now - published >= PROGRESS_SECONDS
        self._phase_times[job.id] = (step.phase, phase_start, now if due else published)
        if step.picture is None and job.id in self._last_steps:  # from a step that was not due
            step = replace(step, picture=self._last_steps[job.id].picture)
        self._last_steps[job.id] = replace(step, picture=None) if due else step
        if not due:
            return
        job = self._active[job.id] = job.with_next_seq()
        message = messages.Progress(
            job=job.id,
            seq=job.seq,
            phase=step.phase,
            done=step.done,
            total=step.total,
            eta_seconds=jobs.eta_seconds(now - phase_start, step.done, step.total),
            picture=step.picture,
        )
        self._publish(job.client, message)

    def _state_message(self, job: Job, paused_by: ShotError | None = None) -> messages.State:
        """The message for a job; of a queued one it may say why the queue is paused."""
        step = self._last_steps.get(job.id)
        return messages.State(
            job=job.id,
            seq=job.seq,
            state=job.state,
            phase="" if step is None else step.phase,
            done=0 if step is None else step.done,
            total=0 if step is None else step.total,
            place=jobs.queue_position(job, self._active.values()) if job.state == "queued" else 0,
            code=job.code if paused_by is None else paused_by.code,
            sentence=job.sentence if paused_by is None else paused_by.sentence,
            fix=job.fix if paused_by is None else paused_by.fix,
        )

    def _fail_queued_jobs(self, event: supervisor.WorkerUnavailable) -> None:
        for job in list(self._active.values()):
            if job.state == "queued" and job.role == event.role:
                self._commit(
                    job.with_state(
                        "failed",
                        "worker_died",
                        f"The server's {event.role} process does not start.",
                        "Look into the server's log, then try again.",
                    )
                )


def _unknown_job(job: str) -> messages.State:
    return messages.State(
        job=job,
        seq=0,
        state="unknown",
        code="unknown_job",
        sentence="The server does not know this job.",
        fix="Send it again.",
    )
