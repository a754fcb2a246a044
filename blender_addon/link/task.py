"""State of a task under way, as the client keeps it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.jobs import TaskState
from .transfer import Download, Upload

Stage = Literal["upload", "request", "follow", "download"]


@dataclass(slots=True)
class Task:
    """A lift, a segment, a submit or a preview on its way through four stages.

    Attributes:
        blobs: what the message refers to, by hash.
        started: monotonic time of the start.
        request: id of the request, the same whenever it is sent, so that the server runs it once.
        asked: monotonic time of the last request or answer; 0 before the first.
        resent: the request was sent again, so its pushes may have been missed.
        uploads: how often an upload was begun.
        seq: the last push counted.
        state: the server's last word.
        told: what was last told of it; ``None`` where it has to be told anew.
        cancelling: the artist wants it stopped.
        over: its end was told while nobody answered; only the server has yet to hear of it.
    """

    key: str
    message: Any
    blobs: dict[str, bytes]
    started: float
    request: str = field(default_factory=lambda: uuid.uuid4().hex)
    stage: Stage = "upload"
    job: str = ""
    asked: float = 0.0
    resent: bool = False
    uploads: int = 0
    seq: int = 0
    state: str = ""
    told: TaskState | None = None
    cancelling: bool = False
    over: bool = False
    upload: Upload | None = None
    download: Download | None = None
    result: Any = None
