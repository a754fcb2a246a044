"""Checkpoints on disk: each is a folder that appears whole or not at all.

``OUT/checkpoint-N/`` holds what ``TrainableModel.save`` writes, in the engine's layout, and beside
it ``state.json`` (this module's: what lies in the folder, and how far the run was), ``config.json``
and what ``state_files`` writes. It is written under another name, synced to disk and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from backend.files.atomic import PUBLIC, sync_folder
from protocol.errors import ShotError

log = logging.getLogger(__name__)

VERSION = 1
STATE, CONFIG = "state.json", "config.json"
NAME = re.compile(r"checkpoint-(\d+)")
UNFINISHED = ".part"
"""Ending of a folder that is being written, or was when the process was killed."""
BROKEN = ".broken"
"""Ending of one that could not be read when the run went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint.

    Attributes:
        folder: its place.
        step: after which it was written.
        config: the run's options, flat.
        progress: the fields of ``progress.Progress``.
        processes: of the run that wrote it.
    """

    folder: Path
    step: int
    config: Mapping[str, Any]
    progress: Mapping[str, Any]
    processes: int


class OtherVersionError(ShotError):
    """Another version of this program wrote a checkpoint."""


class NotWrittenError(Exception):
    """A checkpoint could not be written; what was there before is untouched."""


def write(
    out: Path,
    step: int,
    fill: Callable[[Path], None],
    config: Mapping[str, Any],
    progress: Mapping[str, Any],
    processes: int,
) -> Path:
    """Make ``OUT/checkpoint-STEP``, whole or not at all.

    Args:
        out: the run's folder.
        step: that the run has made.
        fill: writes files into the folder it is given.
        config: the run's options, flat.
        progress: as in :class:`Checkpoint`.
        processes: likewise.

    Raises:
        NotWrittenError: the disk is full, or does not take it for another reason.
    """
    place = out / f"checkpoint-{step}"
    part = out / (place.name + UNFINISHED)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fill(part)
        (part / CONFIG).write_text(json.dumps(config, indent=1))
        files = [path for path in sorted(part.rglob("*")) if path.is_file()]
        state = {
            "version": VERSION,
            "step": step,
            "progress": dict(progress),
            "processes": processes,
            "files": {path.relative_to(part).as_posix(): path.stat().st_size for path in files},
        }
        (part / STATE).write_text(json.dumps(state, indent=1, allow_nan=False))
        for path in (*files, part / STATE):
            path.chmod(PUBLIC)  # safetensors makes its files for this user alone
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        for folder in {path.parent for path in files} | {part}:
            sync_folder(folder)
        part.replace(place)
        sync_folder(out)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise NotWrittenError(_why(error)) from error
    return place


def _why(error: OSError | SafetensorError) -> str:
    full = (errno.ENOSPC, errno.EDQUOT)
    if getattr(error, "errno", None) in full or "os error 28" in str(error):
        return "the disk is full"
    return getattr(error, "strerror", None) or str(error)


def read(folder: Path) -> Checkpoint:
    """What a checkpoint says of itself.

    Raises:
        OtherVersionError: another version of this program wrote it.
        ShotError: it is not complete.
    """
    try:
        state = json.loads((folder / STATE).read_bytes())
        config = json.loads((folder / CONFIG).read_bytes())
        if state["version"] != VERSION:
            raise OtherVersionError(
                "checkpoint",
                f"{folder} has version {state['version']}, this program reads {VERSION}.",
                "Train on with the program that wrote it.",
            )
        for name, size in state["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise ValueError(f"{name} is missing or cut short")
        return Checkpoint(
            folder=folder,
            step=state["step"],
            config=config,
            progress=state["progress"],
            processes=state["processes"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = getattr(error, "strerror", None) or error
        raise ShotError(
            "checkpoint",
            f"{folder} is not a complete checkpoint ({what}).",
            "Name one before it, or --resume auto, which finds the last that is whole.",
        ) from error


def steps(out: Path) -> list[int]:
    """Steps that have a folder, complete or not, in rising order."""
    if not out.is_dir():
        return []
    named = (NAME.fullmatch(path.name) for path in out.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in named if match)


def complete(out: Path) -> list[Checkpoint]:
    """All that are whole, in the order of their steps; others are named in the log."""
    found: list[Checkpoint] = []
    for step in steps(out):
        try:
            found.append(read(out / f"checkpoint-{step}"))
        except ShotError as problem:
            log.warning("%s It is left out.", problem.sentence)
    return found


def best(found: list[Checkpoint]) -> Checkpoint | None:
    """The one with the lowest moving average of the loss, the later one of equals."""
    rated = [one for one in found if one.progress.get("average_loss") is not None]
    return min(rated, key=lambda one: (one.progress["average_loss"], -one.step), default=None)


def prune(out: Path, keep: int) -> None:
    """Remove all but the last ``keep`` and the best one."""
    found = complete(out)
    spared = {one.step for one in found[-keep:]}
    if (good := best(found)) is not None:
        spared.add(good.step)
    for one in found:
        if one.step not in spared:
            remove(one.folder)


def remove(folder: Path) -> None:
    """Remove a checkpoint so that no half of it is ever taken for one."""
    with contextlib.suppress(OSError):
        gone = folder.with_name(folder.name + UNFINISHED)
        shutil.rmtree(gone, ignore_errors=True)
        folder.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)


def set_aside(folder: Path) -> None:
    """Rename a checkpoint that could not be read, and say so: perhaps it can be mended."""
    place, number = folder.with_name(folder.name + BROKEN), 1
    while place.exists():
        number += 1
        place = folder.with_name(f"{folder.name}{BROKEN}-{number}")
    folder.replace(place)
    log.warning("%s cannot be read; it is now %s.", folder, place.name)


def remove_unfinished(out: Path) -> None:
    """Remove what a killed process was writing, and say so."""
    for path in sorted(out.glob(f"checkpoint-*{UNFINISHED}")):
        log.warning("%s was being written when the run ended; it is removed.", path)
        shutil.rmtree(path, ignore_errors=True)
