"""What a server may be told when it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from protocol.errors import ShotError
from protocol.messages import EngineInfo, Limits, PerceptionInfo

HOST = "127.0.0.1"
PORT = 5599
STALL_SECONDS = 600.0


def _nothing(engine: str) -> ShotError | None:
    return None


def _nobody() -> tuple[PerceptionInfo, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server runs; every duration in seconds.

    Attributes:
        state: folder of the job store, the blobs and the connection file.
        port: 0 picks a free one.
        cancel_seconds: how long a worker may take to stop before it is ended.
        stall_seconds: how long a running job may go without a step.
        quiet_seconds: the same while it loads or compiles, when no steps come; never less than
            ``stall_seconds``.
        start_seconds: how long a worker may take to get ready.
        retry_seconds: how long the queue rests after the disk took nothing more.
        retention_seconds: how long finished jobs and unused blobs are kept.
        handlers: module that does the work inside a worker (see ``worker.py``).
        device: what the workers are told to compute on (see ``backend.device``).
        memory: how much of it they may take (see ``backend.resources``).
        weights: ``NAME=PATH`` options, as they were given.
        lacks: what an engine lacks now; asked anew each time, since weights may be fetched while
            the server runs.
        perception: what makes depth and segments now.
    """

    state: Path
    port: int = PORT
    engines: tuple[EngineInfo, ...] = ()
    limits: Limits = field(default_factory=Limits)
    heartbeat_seconds: float = 1.0
    cancel_seconds: float = 5.0
    stall_seconds: float = STALL_SECONDS
    quiet_seconds: float = 3600.0
    start_seconds: float = 180.0
    retry_seconds: float = 10.0
    retention_seconds: float = 7 * 86400.0
    handlers: str = "backend.server.handlers"
    device: str = "auto"
    memory: str = "auto"
    weights: tuple[str, ...] = ()
    lacks: Callable[[str], ShotError | None] = _nothing
    perception: Callable[[], tuple[PerceptionInfo, ...]] = _nobody

    @property
    def blobs(self) -> Path:
        """Folder of the blobs."""
        return self.state / "blobs"
