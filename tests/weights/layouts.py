"""Folders that look like weights from outside: the right names, a few bytes each."""

from __future__ import annotations

from pathlib import Path

from backend.weights.table import WeightSet, weights_of


def fill(folder: Path, name: str, *, leave_out: str = "", alternative: int = 0) -> Path:
    """Make the files of the weights called ``name``, of each group the one at ``alternative``."""
    for group in weights_of(name).needs:
        file = group[min(alternative, len(group) - 1)]
        if group[0] != leave_out:
            write(folder / file)
    return folder


def write(file: Path, content: bytes = b"numbers") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def in_hub_cache(cache: Path, weights: WeightSet, commit: str = "c0ffee") -> Path:
    """Fill a snapshot as the hub's library does; returns its folder."""
    folder = cache / f"models--{weights.hub.replace('/', '--')}"
    write(folder / "refs" / "main", commit.encode())
    return fill(folder / "snapshots" / commit, weights.name)
