"""What was fetched into a folder: of which revision, and what each file must be. No network.

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

from backend.weights.table import WeightSet

log = logging.getLogger(__name__)

PLACE = Path(".levitor") / "fetched.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What a file must be; of the two checksums one is empty.

    Attributes:
        size: bytes.
        sha256: of large files, as the hub tells it.
        git: of small ones, the hash by which git names their content.
    """

    size: int
    sha256: str = ""
    git: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was fetched.

    Attributes:
        hub: the repository.
        revision: its commit.
        files: by path from the folder.
    """

    hub: str
    revision: str
    files: Mapping[str, File] = field(default_factory=dict[str, File])


def read_record(folder: Path) -> Record | None:
    """What a folder says of itself; nothing where it was not fetched, or where that is damaged."""
    try:
        found: Any = json.loads((folder / PLACE).read_text("utf-8"))
        files = {str(path): File(**file) for path, file in found["files"].items()}
        return Record(hub=str(found["hub"]), revision=str(found["revision"]), files=files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        log.warning("%s cannot be read and is passed over", folder / PLACE, exc_info=True)
        return None


def write_record(folder: Path, record: Record) -> None:
    """Leave a record in a folder, whole or not at all."""
    place = folder / PLACE
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(record), indent=1, sort_keys=True), "utf-8")
    temporary.replace(place)


def wrong_files(folder: Path, files: Mapping[str, File]) -> dict[str, str]:
    """What is wrong with each file that is not as it must be, in words; every byte is read."""
    found: dict[str, str] = {}
    for path, file in files.items():
        if trouble := _trouble(folder / path, file):
            found[path] = trouble
    return found


def known_files(weights: WeightSet, folder: Path) -> dict[str, File]:
    """What the files of a folder must be: by its record, else by what the table knows of them."""
    record = read_record(folder)
    if record is not None:
        return dict(record.files)
    return {
        path: File(size=size, sha256=sha256)
        for path, (size, sha256) in weights.sums.items()
        if (folder / path).is_file()
    }


def _trouble(path: Path, file: File) -> str:
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
