"""Unexpected errors: logged once, under an id that the user can report."""

from __future__ import annotations

import logging
import secrets

from protocol.errors import ShotError

log = logging.getLogger(__name__)


def internal_error(error: BaseException, doing: str) -> ShotError:
    """Log an unexpected error and return the user-facing one, which holds its id.

    Args:
        doing: what the server was doing, for the log.
    """
    error_id = secrets.token_hex(4)
    log.error("error %s while %s", error_id, doing, exc_info=error)
    return ShotError(
        "internal",
        f"Something went wrong inside the server (error {error_id}).",
        "Look for that id in the server's log, and report it.",
    )
