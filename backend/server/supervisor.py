"""The supervisor: starts, feeds, stops and replaces the worker processes.

Nothing here blocks on a worker. What a worker does, or fails to do in time, becomes an event.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

import backend
import protocol
from backend.engines.base import QUIET_PHASES
from protocol import messages

from .jobs import ROLES, Role, State
from .settings import HOST, ServerSettings
from .worker import ENDPOINT, EXIT_DEVICE_FAILED, TOKEN

log = logging.getLogger(__name__)

# After so many exits in a row without a finished job, a worker is restarted only for a new job.
MAX_CONSECUTIVE_EXITS = 3
STOP_SECONDS = 1.0
# A worker that exits since its device failed has sent why; a busy system may bring that late.
LAST_MESSAGE_SECONDS = 10.0
MAX_MESSAGES_PER_CALL = 100  # so that a flood on this socket does not starve the clients


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """A worker made a step of its job."""

    job: str
    phase: str
    done: int
    total: int
    picture: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished:
    """A job has a result, whose blobs are in the blob store."""

    job: str
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStopped:
    """A job ended without a result."""

    job: str
    state: State
    code: str = ""
    sentence: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerUnavailable:
    """Workers of a role exit as soon as they start."""

    role: Role


WorkerEvent = JobProgress | JobFinished | JobStopped | WorkerUnavailable


@dataclass(slots=True, kw_only=True)
class _Worker:
    role: Role
    process: subprocess.Popen[bytes]
    token: bytes
    address: bytes = b""
    ready: bool = False
    job: str = ""
    active_at: float = field(
        default_factory=time.monotonic
    )  # process start, job start or last step
    cancel_deadline: float | None = None
    device_failed: bool = False  # it said so; it is replaced after its job
    phase: str = ""  # of its job; see QUIET_PHASES
    exited_at: float | None = None


class Supervisor:
    """Owns one worker process per role."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], settings: ServerSettings) -> None:
        self._settings = settings
        self._workers: dict[Role, _Worker] = {}
        self._exits: dict[Role, int] = dict.fromkeys(ROLES, 0)
        self._events: list[WorkerEvent] = []
        self._terminating: list[subprocess.Popen[bytes]] = []  # killed, but not reaped yet
        self.device = settings.device  # the setting, until a worker says what it uses
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.MAXMSGSIZE, settings.limits.frame_bytes)
        self._endpoint = f"tcp://{HOST}:{self.socket.bind_to_random_port(f'tcp://{HOST}')}"

    def start(self) -> None:
        """Start the worker of each role."""
        for role in ROLES:
            self._spawn(role)

    def is_idle(self, role: Role) -> bool:
        """Whether the worker of ``role`` is ready and has no job."""
        worker = self._workers.get(role)
        return worker is not None and worker.ready and not worker.job

    def ensure_started(self, role: Role) -> None:
        """Start the worker of ``role`` again if it was given up."""
        if role not in self._workers:
            self._spawn(role)

    def assign(self, role: Role, job: str, message: Any) -> None:
        """Send a job to the idle worker of ``role``."""
        worker = self._workers[role]
        frames = protocol.encode(message, id=job)
        worker.job, worker.phase, worker.active_at = job, "", time.monotonic()
        self._send(worker, frames)

    def cancel(self, job: str) -> None:
        """Ask the worker of ``job`` to stop; it is killed if it does not in time."""
        for worker in self._workers.values():
            if worker.job == job and worker.cancel_deadline is None:
                worker.cancel_deadline = time.monotonic() + self._settings.cancel_seconds
                self._send(worker, protocol.encode(messages.Cancel(job=job)))

    def poll_events(self) -> list[WorkerEvent]:
        """Events since the last call; also replaces workers that hang or have exited."""
        for _ in range(MAX_MESSAGES_PER_CALL):
            if not self.socket.poll(0):
                break
            address, *frames = self.socket.recv_multipart()
            self._handle_message(address, frames)
        for worker in list(self._workers.values()):
            self._check_worker(worker)
        self._terminating = [process for process in self._terminating if process.poll() is None]
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """Terminate every worker, and kill those that do not exit in time."""
        for worker in self._workers.values():
            worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._kill(worker)
            _close_pipe(worker.process)
        for process in self._terminating:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        self._workers.clear()
        self.socket.close(linger=0)

    def _spawn(self, role: Role) -> None:
        token = secrets.token_hex(32)
        root = str(Path(backend.__file__).parents[1])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            ENDPOINT: self._endpoint,
            TOKEN: token,
        }
        try:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "backend.server.worker"),
                    *("--role", role),
                    *("--blobs", str(self._settings.blobs)),
                    *("--handlers", self._settings.handlers),
                    *("--device", self._settings.device),
                    *("--memory", self._settings.memory),
                    *(f"--weights={option}" for option in self._settings.weights),
                ],
                env=environment,
                stdin=subprocess.PIPE,  # never written to; it closes when the server exits
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C goes to the server, which stops its workers
            )
        except OSError as error:  # out of memory, processes or files
            log.error("the %s worker cannot be started: %s", role, error)
            self._restart_or_give_up(role, ready=False)
            return
        self._workers[role] = _Worker(role=role, process=process, token=token.encode())

    def _send(self, worker: _Worker, frames: list[bytes | memoryview]) -> None:
        try:
            self.socket.send_multipart([worker.address, *frames], zmq.NOBLOCK)
        except Exception as error:  # noqa: BLE001 - it exited; see _check_worker
            log.info("the %s worker cannot be reached: %s", worker.role, error)
            worker.process.kill()

    def _handle_message(self, address: bytes, frames: list[bytes]) -> None:
        worker = next((w for w in self._workers.values() if _has_token(w, frames)), None)
        if worker is None:
            return  # not one of ours, or replaced meanwhile
        worker.address = address
        try:
            message = protocol.decode(frames[1:]).message
        except Exception:  # its job then fails as worker_died
            log.exception("the %s worker sent a message that cannot be decoded", worker.role)
            worker.process.kill()
            return
        if isinstance(message, messages.Hello):
            worker.ready, self.device = True, message.product
            return
        if isinstance(message, messages.Refusal):
            worker.device_failed = True
            return
        job = getattr(message, "job", "")
        if not job or job != worker.job:
            return
        worker.active_at = time.monotonic()
        match message:
            case messages.Progress(phase=phase, done=done, total=total, picture=picture):
                worker.phase = phase
                self._events.append(
                    JobProgress(job=job, phase=phase, done=done, total=total, picture=picture)
                )
            case messages.State(state="cancelled" | "failed" as state):
                self._release(worker)
                self._events.append(
                    JobStopped(
                        job=job,
                        state=state,
                        code=message.code,
                        sentence=message.sentence,
                        fix=message.fix,
                    )
                )
            case _ if type(message) in messages.RESULTS:
                self._release(worker)
                self._events.append(JobFinished(job=job, result=message))
            case _:
                log.error("the %s worker sent an unexpected message", worker.role)

    def _release(self, worker: _Worker) -> None:
        worker.job, worker.cancel_deadline = "", None
        self._exits[worker.role] = 0
        if worker.device_failed:
            log.warning("the device of the %s worker failed; it is replaced", worker.role)
            self._discard(worker)
            self._spawn(worker.role)

    def _check_worker(self, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.process.poll() is not None:
            worker.exited_at = worker.exited_at or now
            said_why = worker.process.returncode == EXIT_DEVICE_FAILED and worker.job
            if not said_why or now - worker.exited_at > LAST_MESSAGE_SECONDS:
                self._handle_exit(worker)
        elif worker.cancel_deadline is not None and now > worker.cancel_deadline:
            log.warning("the %s worker did not stop in time and is replaced", worker.role)
            self._discard(worker)
            self._events.append(JobStopped(job=worker.job, state="cancelled"))
            self._spawn(worker.role)
        elif worker.job and now - worker.active_at > (limit := self._step_timeout(worker)):
            log.warning("the %s worker made no step and is replaced", worker.role)
            self._discard(worker)
            self._events.append(
                JobStopped(
                    job=worker.job,
                    state="failed",
                    code="stalled",
                    sentence=f"No step was made for {limit:g} s"
                    + (f" ({worker.phase})." if worker.phase else "."),
                    fix="Try again with a smaller photo or fewer frames; where a step takes that"
                    " long, start the server with a larger --stall-seconds.",
                )
            )
            self._spawn(worker.role)
        elif not worker.ready and now - worker.active_at > self._settings.start_seconds:
            log.warning("the %s worker did not get ready and is killed", worker.role)
            worker.process.kill()

    def _step_timeout(self, worker: _Worker) -> float:
        stall, quiet = self._settings.stall_seconds, self._settings.quiet_seconds
        return max(stall, quiet) if worker.phase in QUIET_PHASES else stall

    def _handle_exit(self, worker: _Worker) -> None:
        code = worker.process.returncode
        log.warning("the %s worker exited by itself (%s)", worker.role, _exit_reason(code))
        _close_pipe(worker.process)
        del self._workers[worker.role]
        if worker.job:
            self._events.append(
                JobStopped(
                    job=worker.job,
                    state="failed",
                    code="worker_died",
                    sentence=f"The process that worked on this job ended ({_exit_reason(code)}).",
                    fix="Try again; if it happens again, use a smaller photo or fewer frames.",
                )
            )
        self._restart_or_give_up(worker.role, ready=worker.ready)

    def _restart_or_give_up(self, role: Role, *, ready: bool) -> None:
        self._exits[role] += 1
        if self._exits[role] < MAX_CONSECUTIVE_EXITS:
            self._spawn(role)
        elif not ready:
            self._events.append(WorkerUnavailable(role=role))

    def _discard(self, worker: _Worker) -> None:
        self._kill(worker)
        _close_pipe(worker.process)
        del self._workers[worker.role]

    def _kill(self, worker: _Worker) -> None:
        # Not waited for: a process inside a system call exits only when that returns.
        worker.process.kill()
        self._terminating.append(worker.process)


def _has_token(worker: _Worker, frames: list[bytes]) -> bool:
    return len(frames) > 1 and hmac.compare_digest(worker.token, frames[0])


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _exit_reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
