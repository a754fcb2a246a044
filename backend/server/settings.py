"""What a server may be told when it starts."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from protocol.messages import EngineInfo, Limits, PerceptionInfo

HOST = "127.0.0.1"
PORT = 5599


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server runs; every duration in seconds.

    Attributes:
        state: folder of the job store, the blobs and the connection file.
        port: 0 picks a free one.
        cancel_seconds: how long a worker may take to stop before it is ended.
        stall_seconds: how long a running job may go without a step.
        start_seconds: how long a worker may take to get ready.
        retry_seconds: how long the queue rests after the disk took nothing more.
        retention_seconds: how long finished jobs and unused blobs are kept.
        handlers: module that does the work inside a worker (see ``worker.py``).
        device: what the workers compute on, in words.
    """

    state: Path
    port: int = PORT
    engines: tuple[EngineInfo, ...] = ()
    perception: tuple[PerceptionInfo, ...] = ()
    limits: Limits = field(default_factory=Limits)
    heartbeat_seconds: float = 1.0
    cancel_seconds: float = 5.0
    stall_seconds: float = 600.0
    start_seconds: float = 180.0
    retry_seconds: float = 10.0
    retention_seconds: float = 7 * 86400.0
    handlers: str = "backend.server.handlers"
    device: str = "cpu"

    @property
    def blobs(self) -> Path:
        """Folder of the blobs."""
        return self.state / "blobs"


def default_state() -> Path:
    """The folder for this user's data, as the system has it."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "levitor"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "levitor"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "levitor"
