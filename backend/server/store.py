"""The job store: every accepted request, its reply and its result, in one SQLite file.

What a reply promises is on the disk before the reply leaves. Loops end and start; the file stays.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from protocol.errors import ShotError

from .blobs import disk_error
from .jobs import FINAL, Job
from .lock import hold

FORMAT = 1
LOCK_SECONDS = 0.2  # who looks into the file from outside must not hold up the loop for longer
_COLUMNS = "id, number, client, request, kind, created, state, seq, code, sentence, fix"
_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    request TEXT NOT NULL,
    kind TEXT NOT NULL,
    created REAL NOT NULL,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL,
    code TEXT NOT NULL,
    sentence TEXT NOT NULL,
    fix TEXT NOT NULL,
    message BLOB NOT NULL,
    reply BLOB NOT NULL,
    result BLOB,
    UNIQUE (client, request)
);
CREATE INDEX jobs_by_state ON jobs (state);
"""


TROUBLE = (sqlite3.Error, OSError)
"""What a store raises when its disk is full, broken or gone."""


class StoreTooNewError(Exception):
    """The state folder was written by a newer server."""


class Store:
    """The jobs of one state folder; it is this process's alone until :meth:`close`.

    Raises:
        StateInUseError: another server has the folder.
        StoreTooNewError: the folder's format is newer than this code.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = hold(folder / "lock")
        try:
            self._db = sqlite3.connect(
                folder / "jobs.sqlite", isolation_level=None, timeout=LOCK_SECONDS
            )
            self._prepare()
        except BaseException:
            self._lock.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found > FORMAT:
            self._db.close()
            raise StoreTooNewError(
                f"The state folder has format {found}, this server knows up to {FORMAT}."
            )
        if found == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")

    def add(self, job: Job, message: bytes, reply: bytes) -> Job:
        """Keep a new job with what was asked and answered; returns it with its number."""
        cursor = self._db.execute(
            "INSERT INTO jobs (id, client, request, kind, created, state, seq, code, sentence,"
            " fix, message, reply) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (job.id, job.client, job.request, job.kind, job.created, job.state, job.seq,
             job.code, job.sentence, job.fix, message, reply),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        return replace(job, number=cursor.lastrowid)

    def save(self, job: Job, result: bytes | None = None) -> None:
        """Write a job's state, and its result in the same step where there is one."""
        self._db.execute(
            "UPDATE jobs SET state = ?, seq = ?, code = ?, sentence = ?, fix = ?,"
            " result = coalesce(?, result) WHERE id = ?",
            (job.state, job.seq, job.code, job.sentence, job.fix, result, job.id),
        )

    def job(self, job: str) -> Job | None:
        """The job called ``job``."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job,)).fetchone()
        return None if row is None else _job(row)

    def reply_to(self, client: str, request: str) -> bytes | None:
        """The reply that this request got when it came first; None where it is new."""
        row = self._db.execute(
            "SELECT reply FROM jobs WHERE client = ? AND request = ?", (client, request)
        ).fetchone()
        return None if row is None else row[0]

    def message(self, job: str) -> bytes:
        """The request of a job that exists."""
        data = self._bytes("message", job)
        assert data is not None
        return data

    def result(self, job: str) -> bytes | None:
        """The result of a job, None before it is done."""
        return self._bytes("result", job)

    def unfinished(self) -> list[Job]:
        """Every job that something may still happen to, oldest first."""
        marks = ", ".join("?" * len(FINAL))
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE state NOT IN ({marks}) ORDER BY number",
            tuple(FINAL),
        )
        return [_job(row) for row in rows]

    def forget_before(self, created: float) -> int:
        """Remove finished jobs accepted before that time; returns how many."""
        marks = ", ".join("?" * len(FINAL))
        cursor = self._db.execute(
            f"DELETE FROM jobs WHERE created < ? AND state IN ({marks})", (created, *FINAL)
        )
        return cursor.rowcount

    def close(self) -> None:
        """Let go of the folder."""
        self._db.close()
        self._lock.close()

    def _bytes(self, column: str, job: str) -> bytes | None:
        row = self._db.execute(f"SELECT {column} FROM jobs WHERE id = ?", (job,)).fetchone()
        return None if row is None else row[0]


def trouble(error: Exception) -> ShotError:
    """What the artist is told when the store raised one of ``TROUBLE``."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return ShotError(
            "disk_full",
            "The server's disk has no room left for its jobs.",
            "Free space on the server, or give its --state another disk.",
        )
    if isinstance(error, OSError):
        return disk_error(error, 0)
    return ShotError(
        "disk",
        f"The server cannot write its job store: {error}.",
        "Check its --state folder, and whether another program holds it.",
    )


def _job(row: tuple) -> Job:
    return Job(**dict(zip(_COLUMNS.split(", "), row, strict=True)))
