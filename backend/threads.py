"""How OpenMP's threads wait for each other, in every process of the backend and of its tests.

Read once by OpenMP, when torch is first imported; ``backend/__init__.py`` is before that. Measured
in docs/performance.md: threads that sleep at once take up to twice as long on a quiet machine;
those that spin for as long as the libraries like get nowhere where something else is busy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

SET = {
    "GOMP_SPINCOUNT": "1000",  # GNU's, in torch's wheels for Linux: spins before a thread sleeps
    "KMP_BLOCKTIME": "0",  # LLVM's and Intel's: milliseconds, of which a single one is too many
}
POLICY = "OMP_WAIT_POLICY"
VARIABLES = (POLICY, *SET)


def set_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads spin for a moment, then sleep; whatever the user has set stays."""
    if not any(name in environment for name in VARIABLES):
        environment.update(SET)


def described(environment: Mapping[str, str] = os.environ) -> str:
    """What stands in the environment, as it would be written in front of a command."""
    return " ".join(f"{name}={environment[name]}" for name in VARIABLES if name in environment)
