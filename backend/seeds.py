"""Random numbers by seed and number: those of one seed tell nothing about those of another."""

from __future__ import annotations

import hashlib

from torch import Generator


def mixed_seed(seed: int, number: int) -> int:
    """64 bits that are a hash of both, so that no sum or product of them meets another pair's.

    torch's generator on the CPU keeps the lower 32 of them: of a million pairs, about a hundred
    share their numbers with another one, anywhere among them.

    Args:
        seed: of a run or a measurement.
        number: of an example, a clip, an epoch or a process.
    """
    both = b"".join((one % 2**64).to_bytes(8, "little") for one in (seed, number))
    return int.from_bytes(hashlib.blake2b(both, digest_size=8).digest(), "little")


def seeded_generator(seed: int, number: int) -> Generator:
    """A generator on the CPU, the same for the same seed and number in any process."""
    return Generator().manual_seed(mixed_seed(seed, number))
