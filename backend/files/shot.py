"""Reads ``.shot`` files: a render request with all its blobs."""

from __future__ import annotations

from pathlib import Path

from protocol.content import unpack_shot
from protocol.errors import ProtocolError, ShotError
from protocol.messages import ShotMessage


def read_shot(path: Path) -> tuple[ShotMessage, dict[str, bytes]]:
    """The shot in a file, and the blobs it refers to by hash.

    Raises:
        ShotError: the file cannot be read, or is no shot.
    """
    try:
        return unpack_shot(path.read_bytes())
    except OSError as error:
        raise ShotError(
            "shot_file", f"{path} cannot be read: {error.strerror}.", "Check the path."
        ) from error
    except ProtocolError as error:
        raise ShotError(
            "shot_file", f"{path} is no usable shot: {error.sentence}", "Save the shot again."
        ) from error
