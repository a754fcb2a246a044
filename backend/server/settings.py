"""The settings of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protocol.errors import ShotError
from protocol.messages import EngineInfo, Limits, PerceptionInfo, Scalar

HOST = "127.0.0.1"
PORT = 5599
STALL_SECONDS = 600.0


def _no_lack(engine: str, options: Mapping[str, Scalar]) -> ShotError | None:
    return None


def _no_perception() -> tuple[PerceptionInfo, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server runs; every duration in seconds.

    Attributes:
        state: folder of the job store, the blobs and the connection file.
        port: 0 picks a free one.
        cancel_seconds: how long a worker may take to stop before it is killed.
        stall_seconds: how long a running job may go without a step.
        quiet_seconds: the same in phases without steps (loading, compiling); never less than
            ``stall_seconds``.
        start_seconds: how long a worker may take to get ready.
        retry_seconds: longest delay before a failed write of the store is retried.
        retention_seconds: how long finished jobs and unused blobs are kept.
        handlers: module whose functions run a job inside a worker (see ``worker.py``).
        device: the device of the workers (see ``backend.device``).
        memory: how much of its memory they may use (see ``backend.resources``).
        weights: ``NAME=PATH`` options of the command line.
        lacks: the error for missing weights of an engine with some options, None if it can run;
            called each time, since weights may be fetched while the server runs.
        perception: the available depth and segmentation models; called each time.
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
    lacks: Callable[[str, Mapping[str, Scalar]], ShotError | None] = _no_lack
    perception: Callable[[], tuple[PerceptionInfo, ...]] = _no_perception

    @property
    def blobs(self) -> Path:
        """Folder of the blobs."""
        return self.state / "blobs"
