"""Prepared clips in tar files, as WebDataset reads them, and the manifest that lists them.

A sample is the files of a tar whose names begin alike: ``KEY.json`` (where the clip is from),
``KEY.points.npy`` (its control points), and what else was asked for.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.files.atomic import write_atomically
from protocol.errors import ShotError

Array = npt.NDArray[Any]
VERSION = 2
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One tar file.

    Attributes:
        name: of the file, beside the manifest.
        clips: in it.
        sha256: of the file.
        failures: why clips that belong here are missing, a sentence each.
        notes: what was left out or guessed, a sentence each.
        videos: how many clips of each video are in it, in their order.
    """

    name: str
    clips: int
    sha256: str
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    videos: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a folder of prepared clips holds, and what it was made of.

    Attributes:
        source: the dataset's folder.
        format: of the dataset.
        options: all that decides what is in a sample.
        depth_model: what made the depth, with the fingerprint of its weights.
        clips_per_shard: all but the last shard have so many, less what failed.
        total: clips of the dataset, failed ones included.
        shards: those that are done, by name.
        problems: of the dataset, seen before any clip was read.
        version: of this layout.
    """

    source: str
    format: str
    options: Mapping[str, Any]
    depth_model: str
    clips_per_shard: int
    total: int
    shards: Mapping[str, Shard] = field(default_factory=dict[str, Shard])
    problems: tuple[str, ...] = ()
    version: int = VERSION

    def write(self, folder: Path) -> None:
        """Put it into the folder, whole or not at all."""
        write_atomically(folder / MANIFEST, json.dumps(asdict(self), indent=1).encode())

    def differences(self, other: Manifest) -> list[str]:
        """What decides the samples and is another in ``other``, a phrase each."""
        pairs = [
            ("source", self.source, other.source),
            ("format", self.format, other.format),
            ("depth model", self.depth_model, other.depth_model),
            ("clips a shard", self.clips_per_shard, other.clips_per_shard),
            ("clips in all", self.total, other.total),
        ]
        names = sorted({*self.options, *other.options})
        pairs += [(name, self.options.get(name), other.options.get(name)) for name in names]
        return [f"{name}: {was} is now {now}" for name, was, now in pairs if was != now]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises:
        ShotError: it cannot be read, or another version of this program wrote it.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    again = "Prepare into another folder, or remove this one."
    try:
        said = json.loads(path.read_bytes())
        if said["version"] != VERSION:
            raise ShotError(
                "manifest",
                f"{path} has version {said['version']}, this program reads {VERSION}.",
                again,
            )
        shards = {
            name: Shard(**{**one, "failures": tuple(one["failures"]), "notes": tuple(one["notes"])})
            for name, one in said["shards"].items()
        }
        return Manifest(**{**said, "shards": shards, "problems": tuple(said["problems"])})
    except (ValueError, KeyError, TypeError) as error:
        raise ShotError(
            "manifest", f"{path} is no manifest ({type(error).__name__}: {error!s:.200}).", again
        ) from error


def write_shard(path: Path, samples: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Write samples as a tar file, whole or not at all; the same samples give the same bytes.

    Args:
        path: the file.
        samples: (key, values by ending): arrays for ``.npy``, bytes for what is encoded already,
            anything JSON takes for ``.json``.

    Returns:
        The file's sha256.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, values in samples:
            for ending, value in values.items():
                data = _encoded(value)
                entry = tarfile.TarInfo(f"{key}.{ending}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    data = buffer.getvalue()
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def read_shard(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Samples of a tar file, in their order: (key, values by ending).

    Raises:
        ShotError: the file is missing, damaged or cut short.
    """
    with _reading(path):
        _check_end(path)
        with tarfile.open(path, mode="r:") as tar:
            key, values = "", dict[str, Any]()
            for entry in tar:
                name, _, ending = entry.name.partition(".")
                if name != key and values:
                    yield key, values
                    values = {}
                data = tar.extractfile(entry)
                if data is None:
                    continue
                key, values[ending] = name, _decoded(ending, data.read())
            if values:
                yield key, values


def sample_spans(path: Path) -> list[tuple[int, int]]:
    """Where each sample of a tar file begins and ends, in bytes, in their order.

    Raises:
        ShotError: as in :func:`read_shard`.
    """
    spans = list[tuple[int, int]]()
    with _reading(path):
        _check_end(path)
        with tarfile.open(path, mode="r:") as tar:
            key = ""
            for entry in tar:
                name = entry.name.partition(".")[0]
                stop = entry.offset_data + -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if name != key or not spans:
                    spans.append((entry.offset, stop))
                key, spans[-1] = name, (spans[-1][0], stop)
    return spans


def read_sample(path: Path, span: tuple[int, int]) -> dict[str, Any]:
    """One sample's values by ending.

    Raises:
        ShotError: as in :func:`read_shard`.
    """
    start, stop = span
    with _reading(path):
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(stop - start)
        if len(data) != stop - start:
            raise ValueError(f"it is cut short at {start + len(data)} bytes")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            parts = {entry.name.partition(".")[2]: tar.extractfile(entry) for entry in tar}
            return {end: _decoded(end, part.read()) for end, part in parts.items() if part}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tarfile.TarError, ValueError, EOFError) as error:
        raise ShotError(
            "shard",
            f"{path} cannot be read to its end ({error!s:.200}).",
            "Run levitor prepare again: it makes anew what is damaged.",
        ) from error


def _check_end(path: Path) -> None:
    """Python's reader takes a file that is cut inside a header for one that ends there."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 2 * tarfile.BLOCKSIZE))
        if size % tarfile.RECORDSIZE or any(file.read()):
            raise ValueError(f"it is cut short at {size} bytes")


def digest(path: Path) -> str:
    """A file's sha256; empty where it is not there."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        return buffer.getvalue()
    return json.dumps(value).encode()


def _decoded(ending: str, data: bytes) -> Any:
    if ending.endswith("npy"):
        return np.load(io.BytesIO(data), allow_pickle=False)
    return json.loads(data) if ending.endswith("json") else data
