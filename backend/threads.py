"""Sets how long OpenMP threads spin before they sleep, for every process of the backend.

OpenMP reads it once, when torch is first imported, which is after ``backend/__init__.py``. Measured
in docs/performance.md: sleeping at once takes up to twice as long on an idle machine; the
libraries' long spinning is slow beside other busy programs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

DEFAULTS = {
    "GOMP_SPINCOUNT": "1000",  # GNU OpenMP (torch for Linux): spins before a thread sleeps
    "KMP_BLOCKTIME": "0",  # LLVM's and Intel's OpenMP: milliseconds; 1 is too long
}
POLICY = "OMP_WAIT_POLICY"
VARIABLES = (POLICY, *DEFAULTS)


def set_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads spin briefly, then sleep; does nothing if the user has set a variable."""
    if not any(name in environment for name in VARIABLES):
        environment.update(DEFAULTS)


def described(environment: Mapping[str, str] = os.environ) -> str:
    """The variables that are set, as a command's prefix."""
    return " ".join(f"{name}={environment[name]}" for name in VARIABLES if name in environment)
