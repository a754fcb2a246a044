"""The job store: every accepted request, its reply and its result, in one SQLite file.

A job is on the disk before its ``Accepted`` is sent, and survives the server's process.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from protocol.errors import ShotError

from .blobs import disk_error
from .jobs import FINAL, Job
from .lock import acquire

FORMAT = 1
LOCK_SECONDS = 0.2  # another program that locks the file must not block the loop longer
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


STORE_ERRORS = (sqlite3.Error, OSError)
"""What a :class:`Store` raises when its disk is full, broken or gone."""


class StoreTooNewError(Exception):
    """The state folder was written by a newer server."""


class Store:
    """The jobs of one state folder, which is locked for this process until :meth:`close`.

    Raises:
        StateInUseError: another server has the folder.
        StoreTooNewError: the folder's format is newer than this code.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = acquire(folder / "lock")
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
        """Insert a new job with its packed request and reply; returns it with its number."""
        cursor = self._db.execute(
            "INSERT INTO jobs (id, client, request, kind, created, state, seq, code, sentence,"
            " fix, message, reply) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (job.id, job.client, job.request, job.kind, job.created, job.state, job.seq,
             job.code, job.sentence, job.fix, message, reply),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        return replace(job, number=cursor.lastrowid)

    def save(self, job: Job, result: bytes | None = None) -> None:
        """Update a job's state, and its packed result in the same statement if given."""
        self._db.execute(
            "UPDATE jobs SET state = ?, seq = ?, code = ?, sentence = ?, fix = ?,"
            " result = coalesce(?, result) WHERE id = ?",
            (job.state, job.seq, job.code, job.sentence, job.fix, result, job.id),
        )

    def job(self, job: str) -> Job | None:
        """The job with id ``job``."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job,)).fetchone()
        return None if row is None else _job(row)

    def stored_reply(self, client: str, request: str) -> bytes | None:
        """The packed reply to an earlier request of the same id; None if it is new."""
        row = self._db.execute(
            "SELECT reply FROM jobs WHERE client = ? AND request = ?", (client, request)
        ).fetchone()
        return None if row is None else row[0]

    def message(self, job: str) -> bytes:
        """The packed request of a job that exists."""
        data = self._bytes("message", job)
        assert data is not None
        return data

    def result(self, job: str) -> bytes | None:
        """The packed result of a job; None before it is done."""
        return self._bytes("result", job)

    def unfinished(self) -> list[Job]:
        """Every job that is not in a final state, oldest first."""
        marks = ", ".join("?" * len(FINAL))
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE state NOT IN ({marks}) ORDER BY number",
            tuple(FINAL),
        )
        return [_job(row) for row in rows]

    def delete_finished_before(self, created: float) -> int:
        """Delete finished jobs accepted before that time; returns how many."""
        marks = ", ".join("?" * len(FINAL))
        cursor = self._db.execute(
            f"DELETE FROM jobs WHERE created < ? AND state IN ({marks})", (created, *FINAL)
        )
        return cursor.rowcount

    def close(self) -> None:
        """Close the file and release the folder's lock."""
        self._db.close()
        self._lock.close()

    def _bytes(self, column: str, job: str) -> bytes | None:
        row = self._db.execute(f"SELECT {column} FROM jobs WHERE id = ?", (job,)).fetchone()
        return None if row is None else row[0]


def store_error(error: Exception) -> ShotError:
    """The user-facing error for one of ``STORE_ERRORS``."""
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
