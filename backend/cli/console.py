"""Output to terminals with a limited encoding."""

from __future__ import annotations

import io
import sys


def escape_unencodable() -> None:
    r"""Let what the terminal's encoding lacks be written as ``\xe9``, not end the command.

    Names of files may hold any character, and bytes that are no text at all; what was worked for
    minutes is not lost over the line that says so. Progress bars and logs write to the same
    streams.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def counted(number: int, noun: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
