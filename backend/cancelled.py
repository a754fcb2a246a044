"""The exception of a cancelled job; a module of its own without imports of torch."""

from __future__ import annotations


class Cancelled(Exception):  # noqa: N818 - not an error
    """The job was cancelled; raised by an ``OnStep`` callback."""
