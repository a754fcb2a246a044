"""A worker process: runs one job at a time for the server, with torch and the models.

Started by the supervisor as ``python -m backend.server.worker``, with the endpoint of the server's
second socket and a random token in the environment. It uses the messages of the wire protocol: a
request whose id is the job's comes in; progress, then a result or a state go out; a cancel may come
in at any time and is polled at every step. Each message out carries the token in its first frame. A
worker that is ready sends ``Hello`` with its role and device. One whose device fails sends a
``Refusal`` before the state of its job, and exits: only a new process gets a new CUDA context.

The handlers module has ``Session(resources)``, which is made once, and
``run(session, message, *, job, blobs, on_step)``; ``on_step`` may raise ``Cancelled``. Of a session
the worker uses ``device_label``, ``warm_up()`` and ``is_usable()``: see ``backend.session``.
"""

from __future__ import annotations

import argparse
import errno
import gc
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

from .blobs import BlobStore, disk_error
from .errors import internal_error

ENDPOINT = "LEVITOR_WORKER_ENDPOINT"
TOKEN = "LEVITOR_WORKER_TOKEN"
EXIT_DEVICE_FAILED = 75  # EX_TEMPFAIL

log = logging.getLogger(__name__)


class ServerConnection:
    """The worker's DEALER socket to the server."""

    def __init__(self, endpoint: str, token: str) -> None:
        self._token = token.encode()
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.connect(endpoint)

    def send(self, message: Any) -> None:
        """Send a message to the server."""
        self._socket.send_multipart([self._token, *protocol.encode(message)])

    def close(self) -> None:
        """Close the socket; waits up to a second for sent messages to leave."""
        self._socket.close(linger=1000)
        zmq.Context.instance().term()

    def receive(self) -> protocol.Envelope:
        """Wait for the server's next message."""
        return protocol.decode(self._socket.recv_multipart())

    def is_cancelled(self, job: str) -> bool:
        """Whether the server has cancelled ``job``; never waits."""
        found = False
        while self._socket.poll(0):
            message = self.receive().message
            found |= isinstance(message, messages.Cancel) and message.job == job
        return found


def run_job(
    connection: ServerConnection,
    handlers: ModuleType,
    session: Any,
    blobs: BlobStore,
    job: str,
    message: Any,
) -> bool:
    """Run one job and send its result or its final state; never raises.

    A result is sent once its blobs are synced to the disk. That of a click is sent before: syncing
    its ten small files takes longer than the network, and a click is easily made again.

    Returns:
        Whether this process can run another job.
    """

    def on_step(phase: str, done: int, total: int, picture: Any = None) -> None:
        connection.send(
            messages.Progress(job=job, seq=0, phase=phase, done=done, total=total, picture=picture)
        )
        if connection.is_cancelled(job):
            raise Cancelled

    publish_early = isinstance(message, messages.SegmentRequest)
    try:
        result = handlers.run(session, message, job=job, blobs=blobs, on_step=on_step)
        if not publish_early:
            blobs.sync()
        connection.send(result)
    except Exception as error:  # noqa: BLE001 - _report logs what is not expected, once
        broken = is_broken_device(error) or not session.is_usable()
        if broken:
            connection.send(
                messages.Refusal(code="device", sentence="The device can be used no more.")
            )
        connection.send(_failure_state(job, error, broken))
        if broken:
            return False
    try:
        blobs.sync()
    except ShotError as error:
        log.warning("the files of job %s may be lost in a power failure: %s", job, error)
    return True


def _failure_state(job: str, error: Exception, broken: bool) -> messages.State:
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
            _out_of_memory_sentence(str(error)),
            "Use a smaller photo or fewer frames, or close other programs.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = disk_error(error, 0)
        return failed(full.code, full.sentence, full.fix)
    unforeseen = internal_error(error, f"running job {job}")
    return failed(unforeseen.code, unforeseen.sentence, unforeseen.fix)


def _out_of_memory_sentence(said: str) -> str:
    """The sentence for an allocation that failed, with the bytes that its error names."""
    if found := re.search(r"(\d+) bytes", said):
        size = int(found[1]) / 1e9
        return f"The memory was not enough for this job: {size:.1f} GB more were needed at once."
    return f"The memory was not enough for this job{f': {said:.200}' if said else '.'}"


def _exit_with_server() -> None:
    """Exit when the server is gone, however it ended: its end of the stdin pipe closes then."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)  # the main thread may be deep in a computation that no exception reaches

    threading.Thread(target=wait, daemon=True).start()


def _without_collections(handlers: str) -> ModuleType:
    """Import the handlers and leave them, as they stay until the end, out of every collection.

    Torch alone makes 170 000 objects, and those in the middle of its import take a fifth of it.
    """
    gc.disable()
    try:
        module = importlib.import_module(handlers)
        gc.freeze()
    finally:
        gc.enable()
    return module


def main(arguments: Sequence[str] | None = None) -> int:
    """Run jobs until the server exits."""
    parser = argparse.ArgumentParser(prog="backend.server.worker")
    parser.add_argument("--role", required=True)
    parser.add_argument("--blobs", required=True, type=Path)
    parser.add_argument("--handlers", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory", default="auto")
    parser.add_argument("--weights", action="append", default=[])
    options = parser.parse_args(arguments)
    _exit_with_server()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {options.role}: %(message)s")
    connection = ServerConnection(os.environ.pop(ENDPOINT), os.environ.pop(TOKEN))
    blobs = BlobStore(options.blobs, deferred_sync=True)
    handlers = _without_collections(options.handlers)
    try:
        weights = Search.here(options.weights).require
        session = handlers.Session(
            Resources(
                device=options.device,
                memory=options.memory,
                weights=weights,
                cache=options.blobs.parent / "perception",
            )
        )
    except ShotError as error:  # the device or weights changed after the server checked them
        log.error("%s", error)
        return 1
    session.warm_up()
    connection.send(messages.Hello(client=options.role, product=session.device_label))
    while True:
        envelope = connection.receive()
        if type(envelope.message) not in messages.JOB_REQUESTS:
            continue
        if not run_job(connection, handlers, session, blobs, envelope.id, envelope.message):
            connection.close()
            os._exit(EXIT_DEVICE_FAILED)  # CUDA's own clean-up may hang now


if __name__ == "__main__":
    sys.exit(main())
