"""Loads networks: fingerprints of weight files, strict state dictionaries, device moves."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from protocol.errors import ShotError

log = logging.getLogger(__name__)

Made = TypeVar("Made")
Refused = Callable[[str, str], ShotError]
"""Makes the error, from the number of keys in words and what is wrong with them."""

SUFFIXES = frozenset({".json", ".safetensors", ".bin", ".pth", ".pt"})
"""Suffixes of files that belong to a network; others are ignored."""
HEAD = 1 << 16
MAX_HEADER = 1 << 24
BLOCKS, BLOCK = 16, 1 << 12
"""Number and size of the blocks that are sampled from a file besides its head."""
TRIES = 3
SHOWN_KEYS = 10


def fingerprint(*places: Path) -> str:
    """A hash that changes when the weights at ``places`` do.

    Includes name, size and modification time of each file, its head (the whole header of a
    ``.safetensors`` file) and a few blocks of the rest, so that a replaced file is detected even if
    name, size and time are equal. Parent folders are not included, so a folder may be moved.

    Args:
        places: files, or folders whose direct files are included.
    """
    digest = hashlib.sha256()
    for number, place in enumerate(places):
        for file in _files(place):
            name = file.name if file != place else ""
            digest.update(repr((number, name)).encode("utf-8", "surrogateescape"))
            with contextlib.suppress(OSError):  # unreadable counts as missing
                status = file.stat()
                digest.update(repr((status.st_size, status.st_mtime_ns)).encode())
                for part in _sample(file, status.st_size):
                    digest.update(part)
    return digest.hexdigest()


def read_unchanged(read: Callable[[], Made], *places: Path) -> tuple[Made, str]:
    """Call ``read`` and return its result with the fingerprint of the weights it has read.

    Raises:
        ShotError: the files keep changing, or as raised by ``read``.
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


def copy_from_mapped_file(network: nn.Module) -> None:
    """Copy memory-mapped weights into memory of their own.

    Overwriting the file would change the network or crash the process. Also, mapped memory is not
    aligned, and the last bits of a matrix product depend on alignment.
    """
    for tensor in chain(network.parameters(), network.buffers()):
        tensor.data = tensor.data.clone()


def fill(network: nn.Module, weights: Mapping[str, Tensor], refused: Refused) -> None:
    """Load a state dictionary strictly, and set evaluation mode.

    Args:
        network: one on the meta device takes the tensors themselves, any other a copy.
        weights: by key, as in the network's state dictionary.
        refused: makes the error.

    Raises:
        ShotError: keys are missing, unexpected or of another shape; the first ten are named.
    """
    wanted = network.state_dict()
    problems = [f"{key} is missing" for key in wanted if key not in weights]
    problems += [f"{key} is unknown" for key in weights if key not in wanted]
    problems += [
        f"{key} is {tuple(weights[key].shape)} and not {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in weights and weights[key].shape != value.shape
    ]
    if problems:
        more = f", and {len(problems) - SHOWN_KEYS} more" if len(problems) > SHOWN_KEYS else ""
        shown = "; ".join(problems[:SHOWN_KEYS])
        raise refused(f"{len(problems)} of {len(wanted)} keys", f"do not fit: {shown}{more}")
    on_meta = any(value.is_meta for value in wanted.values())
    network.load_state_dict(dict(weights), strict=True, assign=on_meta)
    network.requires_grad_(False).eval()


def weight_bytes(network: nn.Module) -> int:
    """Bytes of a network's parameters."""
    return sum(value.numel() * value.element_size() for value in network.parameters())


def move(device: torch.device, *networks: nn.Module) -> None:
    """Move networks to ``device``, if they are not there."""
    for network in networks:
        first = next(network.parameters(), None)
        if first is not None and first.device != device:
            # Not the model's method: diffusers' warns of half precision on a CPU, here only storage
            nn.Module.to(network, device)


@contextlib.contextmanager
def on_device(device: torch.device, *networks: nn.Module, offload: bool) -> Iterator[None]:
    """Move networks to ``device`` for the block, and back to the CPU afterwards if ``offload``.

    Other tensors on the device, such as embeddings, stay there; torch's cached memory is freed for
    other processes.
    """
    try:
        move(device, *networks)
        yield
    finally:
        if offload:
            move(torch.device("cpu"), *networks)
            if device.type == "cuda":
                torch.cuda.empty_cache()


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
