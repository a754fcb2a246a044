"""A message as one byte string for the job store: its wire frames, each after its length."""

from __future__ import annotations

import struct
from typing import Any

import protocol
from protocol import ProtocolError

_LENGTH = struct.Struct("<Q")


def pack(message: Any) -> bytes:
    """Serialise a message; :func:`unpack` reads it."""
    parts: list[bytes] = []
    for frame in protocol.encode(message):
        parts += [_LENGTH.pack(len(frame)), bytes(frame)]
    return b"".join(parts)


def unpack(data: bytes) -> Any:
    """The message in ``data``; raises :class:`ProtocolError` if it is damaged or too new."""
    frames: list[memoryview] = []
    view, position = memoryview(data), 0
    while position < len(data):
        if len(data) - position < _LENGTH.size:
            raise ProtocolError("store", "a stored message ends too early.")
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        frames.append(view[position : position + length])
        position += length
    if position != len(data):
        raise ProtocolError("store", "a stored message ends too early.")
    return protocol.decode(frames).message
