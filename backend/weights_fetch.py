"""Getting weights from the model hub: the one place of this project that downloads.

What was fetched in part stays, and the next try goes on from there.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from backend.weights import Search, missing_files
from backend.weights_table import Weights, human
from protocol.errors import ShotError

log = logging.getLogger(__name__)

_ON = ("1", "on", "yes", "true")


def check_room(weights: Weights, folder: Path) -> None:
    """Refuse what the disk has no room for.

    Raises:
        ShotError: less is free than is still to come.
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


def fetch(weights: Weights, folder: Path, search: Search, *, again: bool = False) -> Path:
    """Fetch what is needed of a repository into ``folder``, with progress on the terminal.

    What is there stays and is gone on with, unless all is wanted ``again``.

    Raises:
        ShotError: there is no connection, the hub says no, or what it has is not all.
    """
    if offline(search.environ):
        raise _failed(weights, "HF_HUB_OFFLINE says that this computer is offline", search)
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    log.info("fetching %s into %s", weights.hub, folder)
    try:
        snapshot_download(
            weights.hub,
            local_dir=folder,
            allow_patterns=weights.patterns,
            force_download=again,
        )
    except hub.GatedRepoError as error:
        raise ShotError(
            "weights",
            f"The hub wants the licence of '{weights.name}' accepted first, at {weights.page}.",
            "Accept it there, run `hf auth login` once, then fetch again.",
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
        if not type(error).__module__.startswith("httpx"):  # the hub's own way to the network
            raise
        log.debug("the download ended", exc_info=True)
        broke = f"the connection broke off ({_line(error)}); fetching again goes on from there"
        raise _failed(weights, broke, search) from error
    if missing := missing_files(weights, folder):
        raise _failed(weights, f"the hub has no {missing[0]} in {weights.hub}", search)
    return folder


def offline(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the hub's library is told to stay offline."""
    return any(
        environ.get(name, "").lower() in _ON for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _failed(weights: Weights, why: str, search: Search) -> ShotError:
    sentence = f"'{weights.name}' could not be fetched: {why}."
    return ShotError("weights", sentence, search.by_hand(weights))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
