"""The wire between the Blender extension and the backend; ``README.md`` is its specification."""

from . import content, messages
from .codec import Envelope, decode, encode
from .errors import ProtocolError, ShotError, VersionMismatch
from .version import VERSION

__all__ = [
    "VERSION",
    "Envelope",
    "ProtocolError",
    "ShotError",
    "VersionMismatch",
    "content",
    "decode",
    "encode",
    "messages",
]
