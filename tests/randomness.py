"""Randomness that repeats: how many examples a property gets, and where hidden generators start.

`make test` tries the same examples every time. `make fuzz` tries many more, from a seed that it
prints, and starts the generators that a test did not make itself from that seed too.
"""

from __future__ import annotations

import os
import random
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypothesis import settings

SEED = int(os.environ.get("LEVITOR_TEST_SEED", "0"))
TIMES = int(os.environ.get("LEVITOR_TEST_EXAMPLES", "1"))
"""How many times as many examples as in `make test`."""


def examples(count: int) -> settings:
    """How many examples `make test` tries of a property; `make fuzz` many times as many."""
    from hypothesis import settings

    return settings(max_examples=count * TIMES)


def register_profiles() -> None:
    """Make Hypothesis try the same examples every time; `make fuzz` chooses the other profile."""
    from hypothesis import HealthCheck, settings

    # No time limit for an example: how long it takes says nothing on a machine with other work.
    settings.register_profile("same", derandomize=True, deadline=None)
    settings.register_profile(
        "explore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("same")


def restart(name: str) -> None:
    """Start every library's hidden generator anew, where ``name`` (of a test) says.

    So what a test draws without a generator of its own is the same in any order, with any others.
    """
    seed = zlib.crc32(f"{SEED} {name}".encode())
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        # Not torch.manual_seed: before a device is used, it notes the whole stack for each, in 2 ms
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
