"""What a folder was made with: written the first time, compared whenever it is gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.files.atomic import write_atomically
from protocol.errors import ShotError


def check_same(path: Path, content: Mapping[str, Any], what: str) -> None:
    """Write ``content`` as JSON, or compare it with what is there.

    Raises:
        ShotError: it differs; the sentence lists in what.
    """
    content = json.loads(json.dumps(content))
    if not path.exists():
        write_atomically(path, json.dumps(content, indent=1).encode())
        return
    try:
        before: dict[str, Any] = json.loads(path.read_bytes())
        changes = differences(before, content)
    except (ValueError, AttributeError) as error:
        raise ShotError(
            "evaluation_results", f"{path} cannot be read ({error!s:.120}).", "Name another --out."
        ) from error
    if changes:
        shown = "; ".join(changes[:4]) + ("; ..." if len(changes) > 4 else "")
        raise ShotError("evaluation_results", f"{what}: {shown}.", "Name another --out.")


def differences(before: Mapping[str, Any], now: Mapping[str, Any], under: str = "") -> list[str]:
    """What differs between two objects of JSON, an item each."""
    found: list[str] = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{under}{name}.")
        elif old != new:
            found.append(f"{under}{name} was {_shown(old)}, now {_shown(new)}")
    return found


def _shown(value: Any) -> str:
    return "not there" if value is None else f"{json.dumps(value):.60}"
