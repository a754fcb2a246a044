"""A worker process: takes one job at a time from the server's loop and does the heavy work.

Started by the loop as ``python -m backend.server.worker``, with the address of the loop's second
socket and a random token in the environment. It speaks the wire's own messages: a request whose id
is the job comes in; progress, then a result or a state go out; a cancel may come in at any time and
is looked for at every step. Each message out carries the token in a frame of its own. A worker that
is ready says hello: its role, and what it computes on. One whose device can be used no more says so
with a refusal before it tells how its job went, and ends: only a new process gets a new context.

The handlers module holds ``start(resources)``, which says in words what it computes on,
``warm_up()``, ``run(message, *, job, blobs, on_step)`` and ``fit()``, whether this process can do
another job. ``on_step`` may raise ``Cancelled``.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import zmq

import protocol
from backend.cancelled import Cancelled
from backend.resources import Resources, is_broken_device, is_out_of_memory
from backend.weights.search import Search
from protocol import ShotError, messages

from .blobs import Blobs, disk_error
from .internal import internal

ENDPOINT = "LEVITOR_WORKER_ENDPOINT"
TOKEN = "LEVITOR_WORKER_TOKEN"
DEVICE_LOST = 75  # the exit code of "try again later"

log = logging.getLogger(__name__)


class Line:
    """The worker's end of the socket to the loop."""

    def __init__(self, endpoint: str, token: str) -> None:
        self._token = token.encode()
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.connect(endpoint)

    def send(self, message: Any) -> None:
        """Tell the loop."""
        self._socket.send_multipart([self._token, *protocol.encode(message)])

    def close(self) -> None:
        """Wait for what was sent to leave, a second at most."""
        self._socket.close(linger=1000)
        zmq.Context.instance().term()

    def receive(self) -> protocol.Envelope:
        """Wait for the loop's next message."""
        return protocol.decode(self._socket.recv_multipart())

    def cancelled(self, job: str) -> bool:
        """Whether the loop asked for ``job`` to stop; never waits."""
        found = False
        while self._socket.poll(0):
            message = self.receive().message
            found |= isinstance(message, messages.Cancel) and message.job == job
        return found


def run_job(line: Line, handlers: ModuleType, blobs: Blobs, job: str, message: Any) -> bool:
    """Do one job and tell the loop how it went; nothing it raises gets out.

    A result is told once it is on the disk. That of a click is told before: its ten small files
    take the disk longer than the network takes, and a click is soon made again.

    Returns:
        Whether this process can do another job.
    """

    def on_step(phase: str, done: int, total: int, picture: Any = None) -> None:
        line.send(
            messages.Progress(job=job, seq=0, phase=phase, done=done, total=total, picture=picture)
        )
        if line.cancelled(job):
            raise Cancelled

    hasty = isinstance(message, messages.SegmentRequest)
    try:
        result = handlers.run(message, job=job, blobs=blobs, on_step=on_step)
        if not hasty:
            blobs.settle()
        line.send(result)
    except Exception as error:  # noqa: BLE001 - _report logs what is not expected, once
        broken = is_broken_device(error) or not handlers.fit()
        if broken:
            line.send(messages.Refusal(code="device", sentence="The device can be used no more."))
        line.send(_report(job, error, broken))
        if broken:
            return False
    try:
        blobs.settle()
    except ShotError as error:
        log.warning("the files of job %s may not outlast a power cut: %s", job, error)
    return True


def _report(job: str, error: Exception, broken: bool) -> messages.State:
    def failed(code: str, sentence: str, fix: str) -> messages.State:
        return messages.State(job=job, seq=0, state="failed", code=code, sentence=sentence, fix=fix)

    if isinstance(error, Cancelled):
        return messages.State(job=job, seq=0, state="cancelled")
    if isinstance(error, ShotError):
        return failed(error.code, error.sentence, error.fix)
    if broken:
        log.error("the device failed in job %s", job, exc_info=error)
        said = (str(error).splitlines() or [""])[0]
        return failed(
            "device",
            f"The device failed in the middle of this job ({said:.200}); its process is replaced.",
            "Try again; if it happens again, use a smaller photo or fewer frames, or update the"
            " driver of the graphics card.",
        )
    if is_out_of_memory(error):
        log.warning("job %s ran out of memory: %s", job, error)
        return failed(
            "out_of_memory",
            _what_memory(str(error)),
            "Use a smaller photo or fewer frames, or close other programs.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = disk_error(error, 0)
        return failed(full.code, full.sentence, full.fix)
    unforeseen = internal(error, f"doing job {job}")
    return failed(unforeseen.code, unforeseen.sentence, unforeseen.fix)


def _what_memory(said: str) -> str:
    """The sentence for an allocation that failed; libraries say the bytes amid much else."""
    if found := re.search(r"(\d+) bytes", said):
        size = int(found[1]) / 1e9
        return f"The memory was not enough for this job: {size:.1f} GB more were needed at once."
    return f"The memory was not enough for this job{f': {said:.200}' if said else '.'}"


def _end_with_parent() -> None:
    """End this process when the loop is gone, however it went: the pipe it holds then closes."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)  # the main thread may be deep in a computation that no exception reaches

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve jobs until the loop ends."""
    parser = argparse.ArgumentParser(prog="backend.server.worker")
    parser.add_argument("--role", required=True)
    parser.add_argument("--blobs", required=True, type=Path)
    parser.add_argument("--handlers", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory", default="auto")
    parser.add_argument("--weights", action="append", default=[])
    options = parser.parse_args(arguments)
    _end_with_parent()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {options.role}: %(message)s")
    line = Line(os.environ.pop(ENDPOINT), os.environ.pop(TOKEN))
    blobs = Blobs(options.blobs, settles=True)
    handlers = importlib.import_module(options.handlers)
    try:
        weights = Search.here(options.weights).require
        device = handlers.start(
            Resources(
                device=options.device,
                memory=options.memory,
                weights=weights,
                cache=options.blobs.parent / "perception",
            )
        )
    except ShotError as error:  # it was right when the server started
        log.error("%s", error)
        return 1
    handlers.warm_up()
    line.send(messages.Hello(client=options.role, product=device))
    while True:
        envelope = line.receive()
        if type(envelope.message) not in messages.JOB_REQUESTS:
            continue
        if not run_job(line, handlers, blobs, envelope.id, envelope.message):
            line.close()
            os._exit(DEVICE_LOST)  # CUDA's own end may hang now


if __name__ == "__main__":
    sys.exit(main())
