"""Downloads weights from the Hugging Face hub; no other module downloads.

A partial download is kept and resumed by the next try.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from backend.weights.record import File, Record, read_record, write_record, wrong_files
from backend.weights.search import Search, missing_files
from backend.weights.table import WeightSet, human
from protocol.errors import ShotError

log = logging.getLogger(__name__)

_ON = ("1", "on", "yes", "true")


def check_room(weights: WeightSet, folder: Path) -> None:
    """Check the free disk space.

    Raises:
        ShotError: there is too little for the rest of the download.
    """
    there = sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
    free = shutil.disk_usage(_existing(folder)).free
    if free < weights.size - there:
        raise ShotError(
            "disk",
            f"'{weights.name}' needs {human(weights.size - there)}, and {human(free)} are free at"
            f" {folder}.",
            "Make room, or name another folder with --to.",
        )


def fetch(weights: WeightSet, folder: Path, search: Search, *, again: bool = False) -> Path:
    """Download the needed files of a repository into ``folder``, with a progress bar.

    Existing files are kept and partial ones resumed, unless ``again``. The revision is the table's;
    if it has none, that of the folder's record, else the newest, which is then recorded. Every file
    is checked against the hub's size and checksum, and these against the table's.

    Raises:
        ShotError: there is no connection, the hub refuses, files are missing there, or a checksum
            differs.
    """
    if offline(search.environ):
        raise _failed(weights, "HF_HUB_OFFLINE says that this computer is offline", search)
    from huggingface_hub import snapshot_download

    with _asking_the_hub(weights, folder, search):
        record = _record_of(weights, folder)
        _check_against_table(weights, record, search)
        log.info("fetching %s at %s into %s", weights.hub, record.revision, folder)
        write_record(folder, record)  # a resumed download uses the same revision
        snapshot_download(
            weights.hub,
            revision=record.revision,
            local_dir=folder,
            allow_patterns=list(record.files),
            force_download=again,
        )
    if missing := missing_files(weights, folder):
        raise _failed(weights, f"the hub has no {missing[0]} in {weights.hub}", search)
    if wrong := wrong_files(folder, record.files):
        for path in wrong:  # so that it is not loaded, and the next try downloads it
            (folder / path).unlink(missing_ok=True)
        path, trouble = next(iter(wrong.items()))
        more = f", and {len(wrong) - 1} more files are wrong" if len(wrong) > 1 else ""
        raise ShotError(
            "weights",
            f"{path} of '{weights.name}' is not what the hub says that it is: {trouble}{more}.",
            "It was removed; fetch again. If that does not help, something on the way changes it.",
        )
    return folder


def _record_of(weights: WeightSet, folder: Path) -> Record:
    """The files to download, as listed by the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import filter_repo_objects

    hub = HfApi()
    before = read_record(folder)
    revision = weights.revision
    if not revision and before is not None and before.hub == weights.hub:
        revision = before.revision
    if not revision:
        revision = hub.model_info(weights.hub).sha or "main"
    listed = hub.list_repo_tree(weights.hub, revision=revision, recursive=True)
    files = {
        item.path: File(size=item.size, git=item.blob_id)
        if item.lfs is None
        else File(size=item.lfs.size, sha256=item.lfs.sha256)
        for item in listed
        if isinstance(item, RepoFile)
    }
    wanted = filter_repo_objects(files, allow_patterns=weights.patterns)
    return Record(hub=weights.hub, revision=revision, files={path: files[path] for path in wanted})


def _check_against_table(weights: WeightSet, record: Record, search: Search) -> None:
    for path, (size, sha256) in weights.sums.items():
        told = record.files.get(path)
        if told is not None and (told.size, told.sha256) != (size, sha256):
            raise _failed(
                weights,
                f"the hub's {path} has {told.size} bytes and SHA-256 {told.sha256[:12] or 'none'},"
                f" and the released one {size} and {sha256[:12]}",
                search,
            )


@contextlib.contextmanager
def _asking_the_hub(weights: WeightSet, folder: Path, search: Search) -> Iterator[None]:
    """Turns errors of huggingface_hub into a ShotError."""
    from huggingface_hub import errors as hub

    try:
        yield
    except ShotError:
        raise
    except hub.GatedRepoError as error:
        raise ShotError(
            "weights",
            f"The hub wants the licence of '{weights.name}' accepted first, at {weights.page}.",
            "Accept it there, run `hf auth login` once, then fetch again.",
        ) from error
    except hub.RevisionNotFoundError as error:
        why = f"the hub has no longer the revision of {weights.hub} that is wanted"
        if weights.revision:
            raise _failed(weights, f"{why} ({weights.revision[:12]})", search) from error
        raise ShotError(
            "weights",
            f"'{weights.name}' could not be fetched: {why} (the one that was fetched before).",
            f"If you trust the newest, remove {folder} and fetch again.",
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise _failed(weights, f"the hub has no {weights.hub} for you", search) from error
    except hub.HfHubHTTPError as error:
        raise _failed(weights, f"the hub answered: {_line(error)}", search) from error
    except (hub.LocalEntryNotFoundError, hub.IncompleteSnapshotError) as error:
        raise _failed(weights, "the hub cannot be reached from here", search) from error
    except OSError as error:
        raise _failed(weights, error.strerror or _line(error), search) from error
    except Exception as error:
        if not type(error).__module__.startswith("httpx"):  # the HTTP client of huggingface_hub
            raise
        log.debug("the download ended", exc_info=True)
        if type(error).__name__ in ("ConnectError", "ConnectTimeout"):
            raise _failed(weights, "the hub cannot be reached from here", search) from error
        broke = f"the connection broke off ({_line(error)}); fetching again goes on from there"
        raise _failed(weights, broke, search) from error


def offline(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether huggingface_hub is set to offline mode."""
    return any(
        environ.get(name, "").lower() in _ON for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _failed(weights: WeightSet, why: str, search: Search) -> ShotError:
    sentence = f"'{weights.name}' could not be fetched: {why}."
    return ShotError("weights", sentence, search.by_hand(weights))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
