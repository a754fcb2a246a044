"""The worker processes, seen from the loop: starting, feeding, stopping and replacing them.

Nothing here waits for a worker. Whatever a worker does, or fails to do, turns into an event.
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
from .worker import ENDPOINT, TOKEN

log = logging.getLogger(__name__)

# A worker that ended so often with no job done in between is started again only for a new job.
DEATHS_IN_A_ROW = 3
STOP_SECONDS = 1.0
MESSAGES_IN_A_ROW = 100  # then the clients get their turn, however much is sent here


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """A worker made a step."""

    job: str
    phase: str
    done: int
    total: int
    picture: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A worker has a result; its blobs are in the store."""

    job: str
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A job ended without a result."""

    job: str
    state: State
    code: str = ""
    sentence: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp:
    """Workers of a role end as soon as they start."""

    role: Role


Event = Stepped | Finished | Stopped | GaveUp


@dataclass(slots=True, kw_only=True)
class _Worker:
    role: Role
    process: subprocess.Popen[bytes]
    token: bytes
    address: bytes = b""
    ready: bool = False
    job: str = ""
    since: float = field(default_factory=time.monotonic)  # start, or the job's last step
    stop_by: float | None = None
    leaves: bool = False  # it ends with the job it has
    phase: str = ""  # of its job


class Supervisor:
    """One worker process a role."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], settings: ServerSettings) -> None:
        self._settings = settings
        self._workers: dict[Role, _Worker] = {}
        self._deaths: dict[Role, int] = dict.fromkeys(ROLES, 0)
        self._events: list[Event] = []
        self._ending: list[subprocess.Popen[bytes]] = []  # killed, but not gone yet
        self.device = settings.device  # as it was asked for, until a worker says what it uses
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.MAXMSGSIZE, settings.limits.frame_bytes)
        self._endpoint = f"tcp://{HOST}:{self.socket.bind_to_random_port(f'tcp://{HOST}')}"

    def start(self) -> None:
        """Start a worker for each role."""
        for role in ROLES:
            self._spawn(role)

    def free(self, role: Role) -> bool:
        """Whether a worker of ``role`` could take a job now."""
        worker = self._workers.get(role)
        return worker is not None and worker.ready and not worker.job

    def want(self, role: Role) -> None:
        """Start a worker again that was given up, because a job waits for it."""
        if role not in self._workers:
            self._spawn(role)

    def give(self, role: Role, job: str, message: Any) -> None:
        """Hand a job to the free worker of ``role``."""
        worker = self._workers[role]
        frames = protocol.encode(message, id=job)
        worker.job, worker.phase, worker.since = job, "", time.monotonic()
        self._send(worker, frames)

    def cancel(self, job: str) -> None:
        """Ask the worker of ``job`` to stop, and end it if it does not in time."""
        for worker in self._workers.values():
            if worker.job == job and worker.stop_by is None:
                worker.stop_by = time.monotonic() + self._settings.cancel_seconds
                self._send(worker, protocol.encode(messages.Cancel(job=job)))

    def events(self) -> list[Event]:
        """What happened since the last call; also looks after hung and ended workers."""
        for _ in range(MESSAGES_IN_A_ROW):
            if not self.socket.poll(0):
                break
            address, *frames = self.socket.recv_multipart()
            self._take(address, frames)
        for worker in list(self._workers.values()):
            self._check(worker)
        self._ending = [process for process in self._ending if process.poll() is None]
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """End every worker; one that not even a kill ends at once is left to the system."""
        for worker in self._workers.values():
            worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._kill(worker)
            _close_pipe(worker.process)
        for process in self._ending:
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
                stdin=subprocess.PIPE,  # never written to; it closes when the loop ends
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the loop, which ends its own
            )
        except OSError as error:  # no memory, no process or file left: it may be there next time
            log.error("the %s worker cannot be started: %s", role, error)
            self._lost(role, ready=False)
            return
        self._workers[role] = _Worker(role=role, process=process, token=token.encode())

    def _send(self, worker: _Worker, frames: list[bytes | memoryview]) -> None:
        try:
            self.socket.send_multipart([worker.address, *frames], zmq.NOBLOCK)
        except Exception as error:  # noqa: BLE001 - mostly it has just ended: _check sees that next
            log.info("the %s worker cannot be reached: %s", worker.role, error)
            worker.process.kill()

    def _take(self, address: bytes, frames: list[bytes]) -> None:
        worker = next((w for w in self._workers.values() if _holds(w, frames)), None)
        if worker is None:
            return  # a stranger, or a worker that was replaced
        worker.address = address
        try:
            message = protocol.decode(frames[1:]).message
        except Exception:  # its job then ends as one whose worker ended
            log.exception("the %s worker sent what cannot be read", worker.role)
            worker.process.kill()
            return
        if isinstance(message, messages.Hello):
            worker.ready, self.device = True, message.product
            return
        if isinstance(message, messages.Refusal):
            worker.leaves = True
            return
        job = getattr(message, "job", "")
        if not job or job != worker.job:
            return
        worker.since = time.monotonic()
        match message:
            case messages.Progress(phase=phase, done=done, total=total, picture=picture):
                worker.phase = phase
                self._events.append(
                    Stepped(job=job, phase=phase, done=done, total=total, picture=picture)
                )
            case messages.State(state="cancelled" | "failed" as state):
                self._let_go(worker)
                self._events.append(
                    Stopped(
                        job=job,
                        state=state,
                        code=message.code,
                        sentence=message.sentence,
                        fix=message.fix,
                    )
                )
            case _ if type(message) in messages.RESULTS:
                self._let_go(worker)
                self._events.append(Finished(job=job, result=message))
            case _:
                log.error("the %s worker sent an unexpected message", worker.role)

    def _let_go(self, worker: _Worker) -> None:
        worker.job, worker.stop_by = "", None
        self._deaths[worker.role] = 0
        if worker.leaves:  # it is given no job any more, whether it is gone already or hangs
            log.warning("the %s worker lost its device and is replaced", worker.role)
            self._end(worker)
            self._spawn(worker.role)

    def _check(self, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.process.poll() is not None:
            self._died(worker)
        elif worker.stop_by is not None and now > worker.stop_by:
            log.warning("the %s worker did not stop in time and is replaced", worker.role)
            self._end(worker)
            self._events.append(Stopped(job=worker.job, state="cancelled"))
            self._spawn(worker.role)
        elif worker.job and now - worker.since > (limit := self._patience(worker)):
            log.warning("the %s worker made no step and is replaced", worker.role)
            self._end(worker)
            self._events.append(
                Stopped(
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
        elif not worker.ready and now - worker.since > self._settings.start_seconds:
            log.warning("the %s worker did not get ready and is ended", worker.role)
            worker.process.kill()

    def _patience(self, worker: _Worker) -> float:
        stall, quiet = self._settings.stall_seconds, self._settings.quiet_seconds
        return max(stall, quiet) if worker.phase in QUIET_PHASES else stall

    def _died(self, worker: _Worker) -> None:
        code = worker.process.returncode
        log.warning("the %s worker ended by itself (%s)", worker.role, _why(code))
        _close_pipe(worker.process)
        del self._workers[worker.role]
        if worker.job:
            self._events.append(
                Stopped(
                    job=worker.job,
                    state="failed",
                    code="worker_died",
                    sentence=f"The process that worked on this job ended ({_why(code)}).",
                    fix="Try again; if it happens again, use a smaller photo or fewer frames.",
                )
            )
        self._lost(worker.role, ready=worker.ready)

    def _lost(self, role: Role, *, ready: bool) -> None:
        self._deaths[role] += 1
        if self._deaths[role] < DEATHS_IN_A_ROW:
            self._spawn(role)
        elif not ready:
            self._events.append(GaveUp(role=role))

    def _end(self, worker: _Worker) -> None:
        self._kill(worker)
        _close_pipe(worker.process)
        del self._workers[worker.role]

    def _kill(self, worker: _Worker) -> None:
        # Not waited for: a process that hangs inside the system ends when that lets it.
        worker.process.kill()
        self._ending.append(worker.process)


def _holds(worker: _Worker, frames: list[bytes]) -> bool:
    return len(frames) > 1 and hmac.compare_digest(worker.token, frames[0])


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _why(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
