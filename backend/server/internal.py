"""What is nobody's fault but ours: logged once, with a name that the artist can report."""

from __future__ import annotations

import logging
import secrets

from protocol.errors import ShotError

log = logging.getLogger(__name__)


def internal(error: BaseException, doing: str) -> ShotError:
    """Log an error that nobody foresaw, and return what is told of it.

    Args:
        doing: what was being done, for the log.
    """
    name = secrets.token_hex(4)
    log.error("error %s while %s", name, doing, exc_info=error)
    return ShotError(
        "internal",
        f"Something went wrong inside the server (error {name}).",
        "Look for that name in the server's log, and report it.",
    )
