"""The answer to "stop": a module of its own, so that whoever only says it needs no torch."""

from __future__ import annotations


class Cancelled(Exception):  # noqa: N818 - an answer, not an error
    """Somebody asked for the work to stop; raised out of an ``OnStep``."""
