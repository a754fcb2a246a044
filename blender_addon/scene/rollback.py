"""Rollback of settings: several are changed together or not at all."""

from __future__ import annotations

from typing import Any


class Rollback:
    """Remembers what settings were, to set them back when a later step goes wrong."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def keep(self, owner: Any, *names: str) -> None:
        """Remember the properties ``names`` of ``owner``, which are about to change."""
        self._before += [(owner, name, getattr(owner, name)) for name in names]

    def undo(self) -> None:
        """Set everything back, the latest first."""
        for owner, name, value in reversed(self._before):
            setattr(owner, name, value)
        self._before.clear()
