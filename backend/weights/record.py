"""The record of a download: repository, revision, and size and checksum of each file. No network.

The record lies in the folder itself, ``.levitor/fetched.json``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backend.files.atomic import write_atomically
from backend.weights.table import WeightSet

log = logging.getLogger(__name__)

RECORD_PATH = Path(".levitor") / "fetched.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Expected size and checksum of a file; one of the two checksums is empty.

    Attributes:
        size: bytes.
        sha256: of large files, by the hub.
        git: of small files, the hash of their git blob.
    """

    size: int
    sha256: str = ""
    git: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A download.

    Attributes:
        hub: the repository.
        revision: its commit.
        files: by path from the folder.
    """

    hub: str
    revision: str
    files: Mapping[str, File] = field(default_factory=dict[str, File])


def read_record(folder: Path) -> Record | None:
    """The record of a folder; None if there is none or it is damaged."""
    try:
        found: Any = json.loads((folder / RECORD_PATH).read_text("utf-8"))
        files = {str(path): File(**file) for path, file in found["files"].items()}
        return Record(hub=str(found["hub"]), revision=str(found["revision"]), files=files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        log.warning("%s cannot be read and is ignored", folder / RECORD_PATH, exc_info=True)
        return None


def write_record(folder: Path, record: Record) -> None:
    """Write the record of a folder atomically."""
    text = json.dumps(asdict(record), indent=1, sort_keys=True)
    write_atomically(folder / RECORD_PATH, text.encode())


def wrong_files(folder: Path, files: Mapping[str, File]) -> dict[str, str]:
    """Each file that differs from its record, with the reason in words; reads every byte."""
    found: dict[str, str] = {}
    for path, file in files.items():
        if difference := _difference(folder / path, file):
            found[path] = difference
    return found


def known_files(weights: WeightSet, folder: Path) -> dict[str, File]:
    """Expected files of a folder, by its record, else by the table."""
    record = read_record(folder)
    if record is not None:
        return dict(record.files)
    return {
        path: File(size=size, sha256=sha256)
        for path, (size, sha256) in weights.sums.items()
        if (folder / path).is_file()
    }


def _difference(path: Path, file: File) -> str:
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"it has {size} bytes and should have {file.size}"
        with path.open("rb") as opened:
            if file.sha256:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
                if sha256 != file.sha256:
                    return (
                        f"its SHA-256 begins with {sha256[:12]} and should with {file.sha256[:12]}"
                    )
            elif file.git:
                content = b"blob %d\0" % size + opened.read()
                git = hashlib.sha1(content, usedforsecurity=False).hexdigest()
                if git != file.git:
                    return f"its content is {git[:12]} to git and should be {file.git[:12]}"
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return ""
