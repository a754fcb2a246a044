"""Networks and the files that they are read from, which somebody may replace meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

from torch import nn

from protocol.errors import ShotError

log = logging.getLogger(__name__)

Made = TypeVar("Made")

SUFFIXES = frozenset({".json", ".safetensors", ".bin", ".pth", ".pt"})
"""Files that a network is made of; what else lies beside them changes no answer."""
HEAD = 1 << 16
MAX_HEADER = 1 << 24
BLOCKS, BLOCK = 16, 1 << 12
"""How many places in a file are looked at besides its head, and how many bytes at each."""
TRIES = 3


def fingerprint(*places: Path) -> str:
    """A hash that changes when the weights at ``places`` do.

    Of each file its name, size and time of change count, its head (of a ``.safetensors`` file all
    that tells what it holds) and a few blocks of what follows: whoever puts other weights there
    changes one of these, also where names, sizes and even times stay. Names above a place do not
    count, so a folder may be moved.

    Args:
        places: files, or folders of which the files directly in them count.
    """
    digest = hashlib.sha256()
    for number, place in enumerate(places):
        for file in _files(place):
            name = file.name if file != place else ""
            digest.update(repr((number, name)).encode("utf-8", "surrogateescape"))
            with contextlib.suppress(OSError):  # as good as gone
                status = file.stat()
                digest.update(repr((status.st_size, status.st_mtime_ns)).encode())
                for part in _sample(file, status.st_size):
                    digest.update(part)
    return digest.hexdigest()


def read_unchanged(read: Callable[[], Made], *places: Path) -> tuple[Made, str]:
    """What ``read`` makes of the weights at ``places``, and the fingerprint of these very weights.

    Raises:
        ShotError: somebody keeps writing there, or what ``read`` raises.
    """
    before = fingerprint(*places)
    for _ in range(TRIES):
        made = read()
        after = fingerprint(*places)
        if after == before:
            return made, after
        log.info("the weights at %s changed while they were read", places[0])
        before = after
        del made
    raise ShotError(
        "weights",
        f"The weights at {places[0]} change while they are read.",
        "Wait until they are copied, then try again.",
    )


def take_out_of_file(network: nn.Module) -> None:
    """Copy weights that a library mapped from their file into memory of their own.

    Who writes over the file would change the network, or end the process. A file's memory has any
    alignment besides, on which the last bits of a matrix product depend.
    """
    for tensor in chain(network.parameters(), network.buffers()):
        tensor.data = tensor.data.clone()


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    with contextlib.suppress(OSError):
        return sorted(file for file in place.iterdir() if file.suffix in SUFFIXES)
    return []


def _sample(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        head = opened.read(HEAD)
        yield head
        if file.suffix == ".safetensors":
            more = min(int.from_bytes(head[:8], "little"), MAX_HEADER) + 8 - len(head)
            yield opened.read(max(0, more))
        rest = size - opened.tell()
        if rest > 0:
            start = opened.tell()
            for block in range(BLOCKS):
                opened.seek(start + rest * block // BLOCKS)
                yield opened.read(BLOCK)
            opened.seek(max(start, size - BLOCK))
            yield opened.read(BLOCK)
