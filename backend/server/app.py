"""The server's loop: one ROUTER socket that answers every request at once. Never imports torch.

The loop does nothing long itself. Jobs run in worker processes; what they report comes in over a
second socket. A thread waits for the disk where a file is to be safe on it. So a worker that hangs,
runs out of memory or is killed never silences the server, and neither does a slow disk.
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
from protocol import ProtocolError, ShotError, VersionError, messages

from .background import Background
from .blobs import Blobs
from .desk import Desk
from .internal import internal
from .settings import HOST, ServerSettings
from .store import TROUBLE, Store
from .supervisor import Supervisor
from .uploads import Uploads

log = logging.getLogger(__name__)

POLL_MILLISECONDS = 50
# Then the workers get their turn, however fast a client sends, and however large its headers are.
REQUESTS_IN_A_ROW = 100
REQUESTS_SECONDS = 0.02
# Messages kept for a client that does not read, before more are left out: with chunks of 1 MiB each
# they may be this server's memory. A client that lost some asks again after a silence.
UNREAD_MESSAGES = 64
PEER_SECONDS = 600.0  # a peer that was silent for so long has to say hello again
CLEAN_SECONDS = 3600.0
TROUBLE_SECONDS = 10.0
UPDATE = "Update the LeviTor extension in Blender."  # what only a wrong client can cause
_CLIENT = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


class PortTakenError(Exception):
    """The port that the server should listen on is in use."""


@dataclass(slots=True)
class _Peer:
    client: str
    heard: float


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
            self._blobs = Blobs(settings.blobs)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._background = Background()
        self._uploads = Uploads(
            self._blobs, settings.limits.blob_bytes, later=self._background.later
        )
        self._awaited: dict[str, list[tuple[bytes, str]]] = {}  # blob: peers and their requests
        self._workers = Supervisor(self._context, settings)
        self._desk = Desk(settings, self._store, self._blobs, self._workers, self._push)
        self._peers: dict[bytes, _Peer] = {}
        self._stopping = False
        self._troubles: dict[str, str] = {}  # what the loop was doing: the error it met last
        self._next_clean = 0.0
        self._next_dispatch = 0.0

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve until :meth:`stop` is called; ``ready`` is told the endpoint once it is open."""
        connection = self._settings.state / "connection.json"
        try:
            self._desk.take_over()
            try:
                _write_private(connection, {"endpoint": self.endpoint, "pid": os.getpid()})
            except OSError as error:  # a help for people; a full disk must not cost the server
                log.warning("%s cannot be written: %s", connection, error)
            self._workers.start()
            ready(self.endpoint)
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._workers.socket, zmq.POLLIN)
            poller.register(self._background.socket, zmq.POLLIN)
            while not self._stopping:
                self._turn(poller)
        finally:
            self._close(connection)

    def stop(self) -> None:
        """Make :meth:`run` return soon; may be called from a signal handler."""
        self._stopping = True

    def _bind(self) -> str:
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, UNREAD_MESSAGES)
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

    def _turn(self, poller: zmq.Poller) -> None:
        self._safely("waiting", lambda: poller.poll(POLL_MILLISECONDS))
        self._safely("answering", self._take_requests)
        self._safely("hearing the workers", self._take_reports)
        self._safely("storing files", self._take_uploads)
        self._safely("starting jobs", self._dispatch)
        self._safely("cleaning up", self._clean)

    def _safely(self, doing: str, work: Callable[[], Any]) -> None:
        """Do a part of the loop's work; whatever it raises, the loop and its other parts go on.

        An error that comes back at every turn is logged once, and does not take all of a core.
        """
        try:
            work()
        except Exception as error:
            if self._troubles.get(doing) != repr(error):
                log.exception("the loop goes on after an error while %s", doing)
            self._troubles[doing] = repr(error)
            time.sleep(POLL_MILLISECONDS / 1000)
        else:
            self._troubles.pop(doing, None)

    def _take_requests(self) -> None:
        until = time.monotonic() + REQUESTS_SECONDS
        for _ in range(REQUESTS_IN_A_ROW):
            try:
                peer, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._answer(peer, frames)
            if time.monotonic() > until:
                break

    def _take_reports(self) -> None:
        for event in self._workers.events():
            try:
                self._desk.happened(event)
            except Exception:  # one job's trouble must not stop the others
                log.exception("a worker's report could not be taken in")

    def _take_uploads(self) -> None:
        self._background.tend()
        for name, error in self._uploads.done():
            for peer, request in self._awaited.pop(name, []):
                received = self._uploads.received(name)
                reply = self._blob_status(name, received) if error is None else _refused(error)
                self._send(peer, protocol.encode(reply, re=request))

    def _dispatch(self) -> None:
        now = time.monotonic()
        if now >= self._next_dispatch:
            self._next_dispatch = now + TROUBLE_SECONDS  # stays where it raises
            self._desk.dispatch()
            self._next_dispatch = now

    def _clean(self) -> None:
        now = time.monotonic()
        if now < self._next_clean:
            return
        self._next_clean = now + CLEAN_SECONDS
        self._peers = {
            name: peer for name, peer in self._peers.items() if now - peer.heard < PEER_SECONDS
        }
        try:
            self._desk.clean()
        except TROUBLE as error:  # old jobs and files lie on for another round
            log.warning("what is old cannot be removed: %s", error)

    def _answer(self, peer: bytes, frames: list[bytes]) -> None:
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
            reply = messages.Error(code=error.code, sentence=error.sentence, fix=UPDATE)
        except ShotError as error:
            reply = _refused(error)
        except Exception as error:  # noqa: BLE001 - internal logs it
            reply = _refused(internal(error, "answering a request"))
        if reply is None:  # it comes when the disk is done
            return
        try:
            answer = protocol.encode(reply, re=request)
        except Exception as error:  # noqa: BLE001 - internal logs it
            answer = protocol.encode(
                _refused(internal(error, f"writing a {type(reply).__name__}")), re=request
            )
        self._send(peer, answer)

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
        known = self._peers[peer]
        known.heard = time.monotonic()
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
                return self._desk.state(known.client, job)
            case messages.Fetch(job=job):
                return self._desk.result(known.client, job)
            case messages.Cancel(job=job):
                return self._desk.cancel(known.client, job)
            case _ if type(message) in messages.JOB_REQUESTS:
                return self._desk.accept(known.client, envelope.id, message)
            case _:
                name = messages.NAMES[type(message)]
                return messages.Error(
                    code="type", sentence=f"A {name} is not a request.", fix=UPDATE
                )
        if received is None:
            self._awaited.setdefault(name, []).append((peer, envelope.id))
            return None
        return self._blob_status(name, received)

    def _welcome(self, peer: bytes, version: tuple[int, int], hello: messages.Hello) -> Any:
        if version[0] != protocol.VERSION[0]:
            return _wrong_version(protocol.VERSION, version)
        if not _CLIENT.fullmatch(hello.client):
            return messages.Refusal(
                code="client",
                sentence="A client's name is 1 to 80 letters, digits, or any of _ . : -",
                fix=UPDATE,
            )
        self._peers[peer] = _Peer(hello.client, time.monotonic())
        settings = self._settings
        return messages.Welcome(
            product="levitor",
            limits=settings.limits,
            engines=tuple(self._engine(info) for info in settings.engines),
            perception=self._perception(),
            device=self._workers.device,
            heartbeat_seconds=settings.heartbeat_seconds,
            retention_seconds=settings.retention_seconds,
        )

    def _engine(self, info: messages.EngineInfo) -> messages.EngineInfo:
        try:
            lacks = self._settings.lacks(info.name)
        except Exception as error:  # noqa: BLE001 - a hello is answered whatever the disk says
            lacks = internal(error, f"looking for the weights of {info.name}")
        if lacks is None:
            return info
        # Short enough for a panel; a submit is answered with the whole way to mend it
        return replace(info, missing=f"{lacks.sentence} `levitor doctor` says what to fetch.")

    def _perception(self) -> tuple[messages.PerceptionInfo, ...]:
        try:
            return self._settings.perception()
        except Exception as error:  # noqa: BLE001 - internal logs it
            told = internal(error, "looking for the weights of depth and segments")
            return (messages.PerceptionInfo(task="depth", name="unknown", note=str(told)),)

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
                fix=UPDATE,
            )
        length = min(wanted.length, self._settings.limits.chunk_bytes)
        data = self._blobs.read(wanted.sha256, wanted.offset, length)
        return messages.BlobData(
            sha256=wanted.sha256,
            offset=wanted.offset,
            size=size,
            data=np.frombuffer(data, np.uint8),
        )

    def _push(self, client: str, message: Any) -> None:
        """Tell a client, wherever it is connected. Never raises: clients ask for the truth."""
        try:
            frames = protocol.encode(message)
        except Exception:
            log.exception("a %s cannot be written and is not pushed", type(message).__name__)
            return
        for name, peer in self._peers.items():
            if peer.client == client:
                self._send(name, frames)

    def _send(self, peer: bytes, frames: list[bytes | memoryview]) -> None:
        # A ROUTER leaves out what a peer that is gone or too slow cannot take. That may be a
        # state or an answer, which is why clients ask for it after a silence.
        try:
            self._socket.send_multipart([peer, *frames], zmq.NOBLOCK)
        except Exception:
            log.exception("a message could not be sent")

    def _close(self, connection: Path) -> None:
        self._safely("telling that the server ends", self._desk.interrupt)
        self._safely("removing a file", lambda: connection.unlink(missing_ok=True))
        self._safely("ending the workers", self._workers.stop)
        self._safely("closing the thread", self._background.close)
        self._safely("closing the job store", self._store.close)
        # Long enough for the last states to leave, short enough for nobody to wait.
        self._socket.close(linger=200)
        self._context.term()


def _refused(error: ShotError) -> messages.Error:
    return messages.Error(code=error.code, sentence=error.sentence, fix=error.fix)


def _wrong_version(ours: tuple[int, int], theirs: tuple[int, int]) -> messages.Refusal:
    mine, other = (".".join(map(str, version)) for version in (ours, theirs))
    older = "the LeviTor extension in Blender" if theirs < ours else "the LeviTor server"
    return messages.Refusal(
        code="version",
        sentence=f"The server speaks protocol {mine}, the extension {other}.",
        fix=f"Update {older}.",
    )


def _write_private(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(value, file)
    temporary.replace(path)
