"""The wire between the Blender extension and the backend; ``README.md`` is its specification."""

from . import content, messages
from .codec import Envelope, decode, encode, readable
from .errors import ProtocolError, ShotError, VersionError
from .version import VERSION

__all__ = [
    "VERSION",
    "Envelope",
    "ProtocolError",
    "ShotError",
    "VersionError",
    "content",
    "decode",
    "encode",
    "messages",
    "readable",
]
