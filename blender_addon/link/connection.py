"""The socket to one backend: greeting, heartbeats, loss and return. Never waits, has no thread."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

import zmq

from ..core.jobs import Phase, Status, StatusChanged
from .wire import VERSION, ProtocolError, VersionError, decode, encode, messages

log = logging.getLogger(__name__)

MESSAGES_A_CALL = 64
BYTES_A_CALL = 16 << 20  # hashing more than this would be felt in Blender's window
LARGEST_FRAME = 64 << 20


class Connection:
    """Kept up until :meth:`close`; :meth:`receive` and :meth:`tend` are called again and again.

    Attributes:
        welcome: what the server last said about itself.
        version: of the protocol it said so in.
        since: monotonic time at which the present phase began.
        changes: status changes that nobody has taken yet.
    """

    def __init__(
        self, endpoint: str, client_id: str, product: str, heartbeat: float, liveness: float
    ) -> None:
        self.status = Status(phase="connecting", endpoint=endpoint)
        self.welcome: messages.Welcome | None = None
        self.version = VERSION
        self.since = time.monotonic()
        self.changes: list[StatusChanged] = []
        self._hello = messages.Hello(client=client_id, product=product)
        self._heartbeat = heartbeat
        self._liveness = liveness
        # Up to an interval has passed in silence before a ping asks
        self._patience = max(heartbeat, liveness - heartbeat)
        self._pause = liveness  # until the next socket, while nobody answers
        self._opened = 0.0
        self._greeted = 0.0
        self._sent = 0.0
        self._asked: float | None = None  # first thing sent since the server was last heard
        self._ping = ""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._open()

    @property
    def connected(self) -> bool:
        """Whether the server has answered, and still does."""
        return self.status.phase == "connected"

    def send(self, message: Any, request: str) -> None:
        """Put a request on the socket; where it does not fit, it is left to the sender's retry.

        Raises:
            ProtocolError: the server would not take it; nothing was sent.
        """
        if self._socket is None:
            return
        frames = encode(message, id=request)
        limit = self.welcome.limits.frame_bytes if self.welcome else LARGEST_FRAME
        if (longest := max(map(len, frames))) > limit:
            raise ProtocolError(
                "too_large",
                f"The request has a part of {longest} bytes, the server takes up to {limit}.",
            )
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return
        self._sent = time.monotonic()
        if self._asked is None:
            self._asked = self._sent

    def receive(self) -> list[tuple[Any, str]]:
        """Messages that have come, each with the request it answers; a burst is cut in parts."""
        out: list[tuple[Any, str]] = []
        taken = 0
        while self._socket is not None and len(out) < MESSAGES_A_CALL and taken < BYTES_A_CALL:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            taken += sum(map(len, frames)) + 1024
            self._asked = None
            try:
                envelope = decode(frames)
            except VersionError as error:
                self._other_version(error)
            except ProtocolError as error:
                log.warning("the server sent what cannot be read: %s", error.sentence)
            else:
                if isinstance(envelope.message, messages.Welcome):
                    self.version = envelope.version
                self._notice(envelope.message, envelope.re)
                out.append((envelope.message, envelope.re))
        return out

    def tend(self) -> None:
        """Send what is due by the clock, and notice silence."""
        now = time.monotonic()
        if self._socket is None:
            return
        if self.connected:
            if self._asked is not None and now - self._asked > self._patience:
                self.lost()
                self._pause = self._liveness
                self._open()
            elif now - self._sent > self._heartbeat:
                self._ping = uuid.uuid4().hex
                self.send(messages.Ping(), self._ping)
        elif self.status.phase != "refused" and now - self._opened > self._pause:
            # A fresh socket each time: the old one may hang on a connection that is half dead.
            self.lost()
            self._pause = min(2 * self._pause, 8 * self._liveness)
            self._open()

    def retry(self) -> None:
        """Greet the server on a fresh socket now; no matter how long the pause would have been."""
        self._pause = self._liveness
        self._say("connecting")
        self._open()

    def lost(self) -> None:
        """Say that nobody answers."""
        self._say(
            "lost",
            f"No backend answers at {self.status.endpoint}.",
            "Start it with `levitor serve`, or correct the address.",
        )

    def close(self) -> None:
        """Let go of the socket at once, whatever was on its way."""
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None
        self._context.destroy(linger=0)

    def _open(self) -> None:
        if self._socket is not None:
            self._socket.close(linger=0)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_FRAME)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._opened = time.monotonic()
        try:
            self._socket.connect(self.status.endpoint)
        except zmq.ZMQError:
            self._say(
                "refused",
                f"'{self.status.endpoint}' is not an address of a backend.",
                "Write it like tcp://127.0.0.1:5599.",
            )
            return
        self._greet()

    def _greet(self) -> None:
        self._greeted = time.monotonic()
        self.send(self._hello, uuid.uuid4().hex)

    def _notice(self, message: Any, request: str) -> None:
        match message:
            case messages.Welcome():
                self.welcome = message
                self._say("connected")
            case messages.Refusal():
                self._say("refused", message.sentence, message.fix)
            case messages.Pong() if request == self._ping and self.connected:
                self._say("connected", trip=time.monotonic() - self._sent)
            case messages.Error(code="hello_first"):
                # The server is a new one, or it has forgotten this connection. Several requests may
                # have been answered so; one hello is enough for all of them.
                if time.monotonic() - self._greeted > self._heartbeat:
                    self._greet()
            case _:
                pass

    def _say(
        self, phase: Phase, reason: str = "", fix: str = "", trip: float | None = None
    ) -> None:
        if phase != self.status.phase:
            self.since = time.monotonic()
        status = Status(
            phase=phase,
            endpoint=self.status.endpoint,
            reason=reason,
            fix=fix,
            round_trip_seconds=trip,
        )
        if status != self.status:
            self.status = status
            self.changes.append(StatusChanged(status=status))

    def _other_version(self, error: VersionError) -> None:
        ours, theirs = (".".join(map(str, one)) for one in (error.ours, error.theirs))
        older = "the LeviTor server" if error.theirs < error.ours else "the LeviTor extension"
        self._say(
            "refused",
            f"The server speaks protocol {theirs}, the extension {ours}.",
            f"Update {older}.",
        )
