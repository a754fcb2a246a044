"""Networks: read from files that somebody may replace meanwhile, filled, moved to a device."""

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
"""Makes an error of what (a number of keys) and of what is wrong with it."""

SUFFIXES = frozenset({".json", ".safetensors", ".bin", ".pth", ".pt"})
"""Files that a network is made of; what else lies beside them changes no answer."""
HEAD = 1 << 16
MAX_HEADER = 1 << 24
BLOCKS, BLOCK = 16, 1 << 12
"""How many places in a file are looked at besides its head, and how many bytes at each."""
TRIES = 3
SHOWN_KEYS = 10


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


def fill(network: nn.Module, weights: Mapping[str, Tensor], refused: Refused) -> None:
    """Give a network its weights, every key of which must fit; it is then ready to answer.

    Args:
        network: one on the meta device takes the tensors themselves, any other a copy.
        weights: by key, as in the network's state dictionary.
        refused: makes the error of what does not fit.

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
            # Not their own method: diffusers' warns of half precision on a CPU, where it only waits
            nn.Module.to(network, device)


@contextlib.contextmanager
def on_device(device: torch.device, *networks: nn.Module, offload: bool) -> Iterator[None]:
    """Have networks on ``device`` for the block, and afterwards on the CPU if they ``offload``.

    What the block leaves on the device, such as an embedding, stays there; memory that torch holds
    back for itself goes to other processes.
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
