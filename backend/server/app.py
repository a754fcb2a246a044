"""The server's event loop: one ROUTER socket that replies to every request at once. No torch.

The loop never blocks for long. Jobs run in worker processes, whose events arrive on a second
socket; fsync runs in a thread. So a worker that hangs, runs out of memory or is killed cannot stop
the server from replying, and neither can a slow disk.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zmq

import protocol
from backend.files.atomic import PRIVATE, write_atomically
from protocol import ProtocolError, ShotError, VersionError, messages

from .blobs import BlobStore
from .disk_thread import DiskThread
from .errors import internal_error
from .job_manager import JobManager
from .settings import HOST, ServerSettings
from .store import STORE_ERRORS, Store
from .supervisor import Supervisor
from .uploads import Uploads

log = logging.getLogger(__name__)

POLL_MILLISECONDS = 50
# Limits on the requests handled per turn, so that a client that sends fast or sends large headers
# does not starve the workers.
MAX_REQUESTS_PER_TURN = 100
MAX_REQUEST_SECONDS_PER_TURN = 0.02
# ZMQ_SNDHWM per peer. A full queue of 1 MiB chunks must fit in memory; messages beyond it are
# dropped, and a client that lost some asks again after a timeout.
SEND_HIGH_WATER_MARK = 64
PEER_TIMEOUT_SECONDS = 600.0  # after this silence a peer has to send a new hello
CLEANUP_SECONDS = 3600.0
ERROR_RETRY_SECONDS = 10.0
UPDATE_EXTENSION = (
    "Update the LeviTor extension in Blender."  # the fix for what only a faulty client can cause
)
_CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


class PortTakenError(Exception):
    """The port that the server should listen on is in use."""


@dataclass(slots=True)
class _Peer:
    client: str
    last_message_at: float


class Server:
    """A job server on the loopback interface; :meth:`run` returns after :meth:`stop`.

    Raises:
        PortTakenError: something listens on the port already; no file was touched.
        StateInUseError: another server has the state folder.
        StoreTooNewError: the state folder was written by a newer server.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            self.endpoint = self._bind()
            self._store = Store(settings.state)
            self._blobs = BlobStore(settings.blobs)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._disk = DiskThread()
        self._uploads = Uploads(
            self._blobs, settings.limits.blob_bytes, schedule=self._disk.schedule
        )
        self._upload_waiters: dict[str, list[tuple[bytes, str]]] = {}  # blob: (peer, request id)
        self._workers = Supervisor(self._context, settings)
        self._jobs = JobManager(settings, self._store, self._blobs, self._workers, self._publish)
        self._peers: dict[bytes, _Peer] = {}
        self._stopping = False
        self._last_errors: dict[str, str] = {}  # stage of the loop: repr of its last error
        self._next_cleanup = 0.0
        self._next_dispatch = 0.0

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve until :meth:`stop` is called; ``ready`` gets the endpoint once it is bound."""
        connection = self._settings.state / "connection.json"
        try:
            self._jobs.recover()
            try:
                told = {"endpoint": self.endpoint, "pid": os.getpid()}
                write_atomically(connection, json.dumps(told).encode(), mode=PRIVATE, sync=False)
            except OSError as error:  # only for inspection; the server runs without it
                log.warning("%s cannot be written: %s", connection, error)
            self._workers.start()
            ready(self.endpoint)
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._workers.socket, zmq.POLLIN)
            poller.register(self._disk.socket, zmq.POLLIN)
            while not self._stopping:
                self._run_once(poller)
        finally:
            self._close(connection)

    def stop(self) -> None:
        """Make :meth:`run` return soon; may be called from a signal handler."""
        self._stopping = True

    def _bind(self) -> str:
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER_MARK)
        self._socket.setsockopt(zmq.MAXMSGSIZE, self._settings.limits.frame_bytes)
        port = self._settings.port
        try:
            if port:
                self._socket.bind(f"tcp://{HOST}:{port}")
            else:
                port = self._socket.bind_to_random_port(f"tcp://{HOST}")
        except zmq.ZMQError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise PortTakenError(str(port)) from error
        return f"tcp://{HOST}:{port}"

    def _run_once(self, poller: zmq.Poller) -> None:
        self._guarded("waiting for messages", lambda: poller.poll(POLL_MILLISECONDS))
        self._guarded("handling requests", self._receive_requests)
        self._guarded("handling worker events", self._receive_worker_events)
        self._guarded("replying to uploads", self._reply_to_uploads)
        self._guarded("starting jobs", self._dispatch)
        self._guarded("deleting expired jobs and blobs", self._delete_expired)

    def _guarded(self, doing: str, call: Callable[[], Any]) -> None:
        """Call one stage of the loop and log what it raises, so that the other stages still run.

        An error that repeats every turn is logged once; the sleep keeps it from using a whole core.
        """
        try:
            call()
        except Exception as error:
            if self._last_errors.get(doing) != repr(error):
                log.exception("the loop goes on after an error while %s", doing)
            self._last_errors[doing] = repr(error)
            time.sleep(POLL_MILLISECONDS / 1000)
        else:
            self._last_errors.pop(doing, None)

    def _receive_requests(self) -> None:
        until = time.monotonic() + MAX_REQUEST_SECONDS_PER_TURN
        for _ in range(MAX_REQUESTS_PER_TURN):
            try:
                peer, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._handle_request(peer, frames)
            if time.monotonic() > until:
                break

    def _receive_worker_events(self) -> None:
        for event in self._workers.poll_events():
            try:
                self._jobs.handle_event(event)
            except Exception:  # an error in one job must not stop the others
                log.exception("an event of a worker could not be handled")

    def _reply_to_uploads(self) -> None:
        self._disk.run_callbacks()
        for name, error in self._uploads.completed():
            for peer, request in self._upload_waiters.pop(name, []):
                received = self._uploads.received(name)
                reply = (
                    self._blob_status(name, received) if error is None else _error_message(error)
                )
                self._send(peer, protocol.encode(reply, re=request))

    def _dispatch(self) -> None:
        now = time.monotonic()
        if now >= self._next_dispatch:
            self._next_dispatch = now + ERROR_RETRY_SECONDS  # kept if dispatch raises
            self._jobs.dispatch()
            self._next_dispatch = now

    def _delete_expired(self) -> None:
        now = time.monotonic()
        if now < self._next_cleanup:
            return
        self._next_cleanup = now + CLEANUP_SECONDS
        self._peers = {
            name: peer
            for name, peer in self._peers.items()
            if now - peer.last_message_at < PEER_TIMEOUT_SECONDS
        }
        try:
            self._jobs.delete_expired()
        except STORE_ERRORS as error:  # they are tried again at the next clean-up
            log.warning("expired jobs and files cannot be deleted: %s", error)

    def _handle_request(self, peer: bytes, frames: list[bytes]) -> None:
        request = ""
        try:
            envelope = protocol.decode(frames)
            request = envelope.id
            reply = self._reply(peer, envelope)
        except VersionError as error:
            request = error.request
            reply = _wrong_version(error.ours, error.theirs)
        except ProtocolError as error:
            log.debug("refused frames: %s", error.sentence)
            request = request or error.request
            reply = messages.Error(code=error.code, sentence=error.sentence, fix=UPDATE_EXTENSION)
        except ShotError as error:
            reply = _error_message(error)
        except Exception as error:  # noqa: BLE001 - internal_error logs it
            reply = _error_message(internal_error(error, "handling a request"))
        if reply is None:  # sent by _reply_to_uploads when the file is stored
            return
        try:
            reply_frames = protocol.encode(reply, re=request)
        except Exception as error:  # noqa: BLE001 - internal_error logs it
            reply_frames = protocol.encode(
                _error_message(internal_error(error, f"writing a {type(reply).__name__}")),
                re=request,
            )
        self._send(peer, reply_frames)

    def _reply(self, peer: bytes, envelope: protocol.Envelope) -> Any:
        message = envelope.message
        if isinstance(message, messages.Hello):
            return self._welcome(peer, envelope.version, message)
        if peer not in self._peers:
            return messages.Error(
                code="hello_first",
                sentence="The first request of a connection is a hello.",
                fix="Connect again.",
            )
        connection = self._peers[peer]
        connection.last_message_at = time.monotonic()
        match message:
            case messages.Ping():
                return messages.Pong()
            case messages.BlobOffer(sha256=name, size=size):
                received = self._uploads.offer(name, size)
            case messages.BlobPut(sha256=name, offset=offset, data=data):
                received = self._uploads.add(name, offset, data.data)
            case messages.BlobGet():
                return self._blob_data(message)
            case messages.GetState(job=job):
                return self._jobs.state(connection.client, job)
            case messages.Fetch(job=job):
                return self._jobs.result(connection.client, job)
            case messages.Cancel(job=job):
                return self._jobs.cancel(connection.client, job)
            case _ if type(message) in messages.JOB_REQUESTS:
                return self._jobs.accept(connection.client, envelope.id, message)
            case _:
                name = messages.NAMES[type(message)]
                return messages.Error(
                    code="type", sentence=f"A {name} is not a request.", fix=UPDATE_EXTENSION
                )
        if received is None:
            self._upload_waiters.setdefault(name, []).append((peer, envelope.id))
            return None
        return self._blob_status(name, received)

    def _welcome(self, peer: bytes, version: tuple[int, int], hello: messages.Hello) -> Any:
        if version[0] != protocol.VERSION[0]:
            return _wrong_version(protocol.VERSION, version)
        if not _CLIENT_ID.fullmatch(hello.client):
            return messages.Refusal(
                code="client",
                sentence="A client's name is 1 to 80 letters, digits, or any of _ . : -",
                fix=UPDATE_EXTENSION,
            )
        self._peers[peer] = _Peer(hello.client, time.monotonic())
        settings = self._settings
        return messages.Welcome(
            product="levitor",
            limits=settings.limits,
            engines=tuple(self._engine_info(info) for info in settings.engines),
            perception=self._perception_info(),
            device=self._workers.device,
            heartbeat_seconds=settings.heartbeat_seconds,
            retention_seconds=settings.retention_seconds,
        )

    def _engine_info(self, info: messages.EngineInfo) -> messages.EngineInfo:
        try:
            lacks = self._settings.lacks(info.name, {})
        except Exception as error:  # noqa: BLE001 - internal_error logs it; hello still gets a reply
            lacks = internal_error(error, f"looking for the weights of {info.name}")
        if lacks is None:
            return info
        # One line for the panel; the reply to a submit gives the whole fix
        return replace(info, missing=f"{lacks.sentence} `levitor doctor` says what to fetch.")

    def _perception_info(self) -> tuple[messages.PerceptionInfo, ...]:
        try:
            return self._settings.perception()
        except Exception as error:  # noqa: BLE001 - internal_error logs it
            unforeseen = internal_error(error, "looking for the weights of depth and segments")
            return (messages.PerceptionInfo(task="depth", name="unknown", note=str(unforeseen)),)

    def _blob_status(self, name: str, received: int) -> messages.BlobStatus:
        complete = self._blobs.size(name) is not None
        return messages.BlobStatus(sha256=name, received=received, complete=complete)

    def _blob_data(self, wanted: messages.BlobGet) -> Any:
        size = self._blobs.size(wanted.sha256)
        if size is None:
            return messages.Error(
                code="unknown_blob",
                sentence=f"The server does not hold the data {wanted.sha256[:12]}.",
                fix="Make it again.",
            )
        if not 0 <= wanted.offset <= size or wanted.length < 0:
            return messages.Error(
                code="field",
                sentence=f"The data has {size} bytes; {wanted.length} from {wanted.offset} on"
                " were asked for.",
                fix=UPDATE_EXTENSION,
            )
        length = min(wanted.length, self._settings.limits.chunk_bytes)
        data = self._blobs.read(wanted.sha256, wanted.offset, length)
        return messages.BlobData(
            sha256=wanted.sha256,
            offset=wanted.offset,
            size=size,
            data=np.frombuffer(data, np.uint8),
        )

    def _publish(self, client: str, message: Any) -> None:
        """Send a message to every peer of a client. Never raises: clients poll get_state anyway."""
        try:
            frames = protocol.encode(message)
        except Exception:
            log.exception("a %s cannot be encoded and is not published", type(message).__name__)
            return
        for name, peer in self._peers.items():
            if peer.client == client:
                self._send(name, frames)

    def _send(self, peer: bytes, frames: list[bytes | memoryview]) -> None:
        # A ROUTER drops messages to a peer that is gone or has reached its high-water mark. A
        # dropped state or reply is asked for again by the client after a timeout.
        try:
            self._socket.send_multipart([peer, *frames], zmq.NOBLOCK)
        except Exception:
            log.exception("a message could not be sent")

    def _close(self, connection: Path) -> None:
        self._guarded("publishing the interrupted jobs", self._jobs.interrupt_running)
        self._guarded("removing the connection file", lambda: connection.unlink(missing_ok=True))
        self._guarded("stopping the workers", self._workers.stop)
        self._guarded("closing the disk thread", self._disk.close)
        self._guarded("closing the job store", self._store.close)
        # Lets the last states leave without delaying the exit noticeably.
        self._socket.close(linger=200)
        self._context.term()


def _error_message(error: ShotError) -> messages.Error:
    return messages.Error(code=error.code, sentence=error.sentence, fix=error.fix)


def _wrong_version(ours: tuple[int, int], theirs: tuple[int, int]) -> messages.Refusal:
    mine, other = (".".join(map(str, version)) for version in (ours, theirs))
    older = "the LeviTor extension in Blender" if theirs < ours else "the LeviTor server"
    return messages.Refusal(
        code="version",
        sentence=f"The server speaks protocol {mine}, the extension {other}.",
        fix=f"Update {older}.",
    )
