"""The extension's end of the socket: a state machine that :meth:`Client.poll` drives.

No Blender and no thread in here, and nothing waits: a timer calls ``poll`` and gets events. The
server's answers are the truth; pushes only make it faster, so after every reconnect, gap or long
silence the client asks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from ..core.jobs import (
    Event,
    Status,
    TaskAccepted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskProgress,
    TaskState,
)
from .connection import Connection
from .task import Task
from .transfer import Download, TransferError, Upload, references
from .wire import ProtocolError, ShotError, messages

FIXES = {
    "interrupted": "Send it again.",
    "missing_blobs": "Lift the photo again.",
    "too_large": "Use fewer frames or fewer instances.",
}


class Client:
    """A connection to one backend and the tasks on it, until :meth:`close`.

    Args:
        endpoint: ``tcp://HOST:PORT``.
        client_id: names this user's jobs; the same id finds them again after a restart.
        heartbeat_seconds: pause after which a ping is sent.
        missed_heartbeats: unanswered for so many of those, the server counts as lost.
        wait_seconds: how long a task waits for a server before it fails.
        retry_seconds: how long an unanswered request waits before it is sent again.
        ask_seconds: silence of a job after which its state is asked for.
    """

    def __init__(
        self,
        endpoint: str,
        client_id: str,
        *,
        product: str = "levitor",
        heartbeat_seconds: float = 1.0,
        missed_heartbeats: int = 3,
        wait_seconds: float = 10.0,
        retry_seconds: float = 10.0,
        ask_seconds: float = 5.0,
    ) -> None:
        liveness = heartbeat_seconds * missed_heartbeats
        self._link = Connection(endpoint, client_id, product, heartbeat_seconds, liveness)
        self._wait = wait_seconds
        self._retry = retry_seconds
        self._ask = ask_seconds
        self._events: list[Event] = []
        self._tasks: dict[str, Task] = {}
        self._pending: dict[str, Task] = {}  # by request id

    @property
    def status(self) -> Status:
        """How the connection stands."""
        return self._link.status

    @property
    def welcome(self) -> messages.Welcome | None:
        """What the server said about itself; None before it did."""
        return self._link.welcome

    def lacks(self, kind: type[Any]) -> ShotError | None:
        """Why the server cannot know requests of ``kind``: it is too old; None where it can."""
        needed, (major, minor) = messages.MINORS[kind], self._link.version
        if minor >= needed:
            return None
        return ShotError(
            "old_server",
            f"The backend speaks protocol {major}.{minor}; a {messages.NAMES[kind]} "
            f"needs {major}.{needed} or newer.",
            "Update the LeviTor backend.",
        )

    def start(self, message: Any, blobs: Mapping[str, bytes]) -> str:
        """Begin a lift, a segment, a submit or a preview; returns its key at once.

        Args:
            blobs: the bytes the message refers to, by hash. One that the server has already may be
                left out.
        """
        key = uuid.uuid4().hex
        task = self._tasks[key] = Task(key, message, dict(blobs), time.monotonic())
        if self._link.connected:
            self._resume(task)
        return key

    def cancel(self, task: str) -> None:
        """Stop a task, by its job's id once it has one; harmless when it is over.

        While nobody answers it ends here at once, and the server hears of it when it is back.
        """
        found = self._tasks.get(task)
        if found is None or found.cancelling:
            return
        found.cancelling = True
        if found.stage in ("upload", "download"):  # the server is not working on it
            self._end(found, TaskCancelled(task=task))
        elif not self._link.connected:
            self._leave(found)
        elif found.job:
            self._request(messages.Cancel(job=found.job), found)

    def reconnect(self) -> None:
        """Look for the server now instead of at the next try; tasks stay what they are."""
        self._link.retry()

    def poll(self) -> list[Event]:
        """Take in what has come, keep the link alive; returns what happened. Never waits."""
        for message, request in self._link.receive():
            self._take(message, request)
        self._link.tend()
        now = time.monotonic()
        for task in list(self._tasks.values()):
            self._look_after(task, now)
        events = [*self._link.changes, *self._events]
        self._link.changes.clear()
        self._events.clear()
        return events

    def close(self) -> None:
        """Let go of the socket at once; jobs go on at the server."""
        self._tasks.clear()
        self._link.close()

    def _look_after(self, task: Task, now: float) -> None:
        if self._link.connected:
            if now - task.asked > (self._ask if task.stage == "follow" else self._retry):
                self._resume(task)
            return
        if task.cancelling:
            self._leave(task)
        if not task.job or self.status.phase == "refused":
            waited = now - max(task.started, self._link.since if task.asked else 0.0)
            if self.status.phase == "refused" or waited > self._wait:
                if self.status.phase == "connecting":
                    self._link.lost()
                if task.cancelling:
                    self._end(task, TaskCancelled(task=task.key))
                else:
                    self._fail(task, "no_server", self.status.reason, self.status.fix)

    # What comes in

    def _take(self, message: Any, request: str) -> None:
        if isinstance(message, messages.Welcome):
            self._pending.clear()
            for task in list(self._tasks.values()):
                task.told = None  # whoever shows it was told that the server is lost
                self._resume(task)
        if not self._link.connected or getattr(message, "code", "") == "hello_first":
            return
        task = self._pending.pop(request, None) if request else self._of_job(message)
        if task is None or task.key not in self._tasks:
            return
        task.asked = time.monotonic()
        try:
            self._take_for(task, message, pushed=not request)
        except TransferError as error:
            self._fail(task, error.code, error.sentence, error.fix)

    def _of_job(self, message: Any) -> Task | None:
        job = getattr(message, "job", "")
        return next((t for t in self._tasks.values() if job and t.job == job), None)

    def _take_for(self, task: Task, message: Any, *, pushed: bool) -> None:
        match message:
            case messages.BlobStatus() if task.stage == "upload" and task.upload:
                self._ask_all(task, task.upload.answered(message))
                self._progress(task, "upload", task.upload)
                if task.upload.complete:
                    self._submit(task)
            case messages.BlobData() if task.stage == "download" and task.download:
                self._ask_all(task, task.download.answered(message))
                self._progress(task, "download", task.download)
                self._finish_if_complete(task)
            case messages.Accepted() if task.stage == "request":
                task.stage, task.job = "follow", message.job
                self._tell(task, TaskAccepted(task=task.key, job=message.job, place=message.place))
                if task.cancelling:
                    self._request(messages.Cancel(job=task.job), task)
                elif task.resent:
                    self._request(messages.GetState(job=task.job), task)
            case messages.Progress() if task.stage == "follow":
                self._count(task, message.seq)
                self._tell(
                    task,
                    TaskProgress(
                        task=task.key,
                        phase=message.phase,
                        done=message.done,
                        total=message.total,
                        eta_seconds=message.eta_seconds,
                        picture=message.picture,
                    ),
                )
            case messages.State() if task.stage == "follow" and message.job == task.job:
                if pushed:
                    self._count(task, message.seq)
                task.seq = message.seq
                self._state(task, message)
            case messages.Error():
                self._error(task, message)
            case _ if type(message) in messages.RESULTS and task.stage == "follow":
                self._result(task, message)

    def _count(self, task: Task, seq: int) -> None:
        """Ask for the truth where pushes are missing."""
        if seq > task.seq + 1:
            self._request(messages.GetState(job=task.job), task)
        task.seq = max(task.seq, seq)

    def _state(self, task: Task, state: messages.State) -> None:
        told = TaskState(task=task.key, state=state.state, sentence=state.sentence, fix=state.fix)
        if task.told != told:
            task.state, task.told = state.state, told
            self._tell(task, told)
        match state.state:
            case "done":
                self._request(messages.Fetch(job=task.job), task)
            case "cancelled":
                self._end(task, TaskCancelled(task=task.key))
            case "failed" | "interrupted" | "unknown":
                fix = state.fix or FIXES.get(state.state, "")
                self._fail(task, state.code or state.state, state.sentence, fix)

    def _result(self, task: Task, result: Any) -> None:
        if task.cancelling:
            self._end(task, TaskCancelled(task=task.key))
            return
        assert self.welcome is not None
        task.stage, task.result = "download", result
        task.download = Download(references(result), task.blobs, self.welcome.limits)
        if task.state != "done":
            task.state, task.told = "done", TaskState(task=task.key, state="done")
            self._tell(task, task.told)
        self._ask_all(task, task.download.begin())
        self._finish_if_complete(task)

    def _finish_if_complete(self, task: Task) -> None:
        if task.download is not None and task.download.complete:
            blobs = task.download.blobs
            self._end(task, TaskFinished(task=task.key, result=task.result, blobs=blobs))

    def _error(self, task: Task, error: messages.Error) -> None:
        if error.code == "missing_blobs" and task.stage == "request":
            here = {name: task.blobs[name] for name in error.missing if name in task.blobs}
            if len(here) == len(error.missing) and task.uploads < 3:
                self._upload(task, here)
                return
            self._fail(task, error.code, error.sentence, FIXES[error.code])
        elif error.code == "wrong_hash" and task.stage == "upload" and task.uploads < 3:
            self._upload(task, task.blobs)
        else:
            self._fail(task, error.code, error.sentence, error.fix)

    # What goes out

    def _request(self, message: Any, task: Task, request: str = "") -> None:
        request = request or uuid.uuid4().hex
        self._pending[request] = task
        task.asked = time.monotonic()
        try:
            self._link.send(message, request)
        except ProtocolError as error:
            self._fail(task, error.code, error.sentence, FIXES.get(error.code, ""))

    def _resume(self, task: Task) -> None:
        """Go on where the task stands; also after a reconnect, and when an answer is overdue."""
        self._pending = {name: one for name, one in self._pending.items() if one is not task}
        if (old := self.lacks(type(task.message))) is not None:
            self._fail(task, old.code, old.sentence, old.fix)
            return
        try:
            match task.stage:
                case "upload" if task.upload is None:
                    self._upload(task, task.blobs)
                case "upload" if task.upload is not None:
                    self._ask_all(task, task.upload.begin())
                case "request":
                    task.resent = True
                    self._submit(task)
                case "follow" if task.cancelling:
                    self._request(messages.Cancel(job=task.job), task)
                case "follow":
                    self._request(messages.GetState(job=task.job), task)
                case "download" if task.download is not None:
                    self._ask_all(task, task.download.begin())
        except TransferError as error:
            self._fail(task, error.code, error.sentence, error.fix)

    def _upload(self, task: Task, blobs: Mapping[str, bytes]) -> None:
        assert self.welcome is not None
        task.stage, task.upload = "upload", Upload(blobs, self.welcome.limits)
        task.uploads += 1
        self._ask_all(task, task.upload.begin())
        if task.upload.complete:
            self._submit(task)

    def _submit(self, task: Task) -> None:
        task.stage = "request"
        self._request(task.message, task, task.request)

    def _ask_all(self, task: Task, requests: list[Any]) -> None:
        for one in requests:
            self._request(one, task)

    def _progress(self, task: Task, phase: str, way: Upload | Download) -> None:
        self._tell(task, TaskProgress(task=task.key, phase=phase, done=way.done, total=way.total))

    def _fail(self, task: Task, code: str, sentence: str, fix: str) -> None:
        self._end(task, TaskFailed(task=task.key, code=code, sentence=sentence, fix=fix))

    def _end(self, task: Task, event: Event) -> None:
        if self._tasks.pop(task.key, None) is not None:
            self._tell(task, event)

    def _leave(self, task: Task) -> None:
        """Tell the end of a task that the server may be working on, and keep it to be stopped."""
        self._tell(task, TaskCancelled(task=task.key))
        task.over = True

    def _tell(self, task: Task, event: Event) -> None:
        if not task.over:
            self._events.append(event)
