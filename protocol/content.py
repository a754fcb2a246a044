"""Naming data by its content: blobs, arrays as blobs, whole shots, and a shot saved as bytes."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping

from . import arrays, codec
from .arrays import Array
from .errors import ProtocolError
from .messages import ArrayBlob, Blob, RenderRequest, ShotMessage
from .version import VERSION

Bytes = bytes | memoryview
SHOT_MAGIC = b"LEVITOR SHOT 1\n"
ALWAYS_HASHED = {ShotMessage: frozenset({"seed", "anchors", "options"})}
"""Fields that have a default and were hashed with it in 1.0; there are to be no more of them."""
_HASH = re.compile(r"[0-9a-f]{64}")
_COUNT = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")


def sha256(data: Bytes) -> str:
    """The hash that names ``data``, in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def is_sha256(text: str) -> bool:
    """Whether ``text`` can name a blob; checked before it is ever part of a path."""
    return _HASH.fullmatch(text) is not None


def blob_of(data: bytes, media: str) -> Blob:
    """The reference to a file's bytes."""
    return Blob(sha256=sha256(data), size=len(data), media=media)


def array_blob_of(array: Array) -> tuple[ArrayBlob, bytes]:
    """The reference to an array, and the bytes it refers to."""
    data = bytes(arrays.to_bytes(array))
    ref = ArrayBlob(
        sha256=sha256(data), size=len(data), dtype=arrays.dtype_name(array), shape=array.shape
    )
    return ref, data


def array_of(ref: ArrayBlob, data: Bytes) -> Array:
    """The array ``ref`` names, a read-only view of ``data``."""
    return arrays.view(data, ref.dtype, ref.shape, "blob")


def blobs_of(shot: ShotMessage) -> tuple[ArrayBlob, ...]:
    """The blobs a shot refers to: image, depth and instance map."""
    return shot.scene.image, shot.scene.depth, shot.instance_map


def shot_hash(shot: ShotMessage) -> str:
    """The content hash of a shot: equal shots give equal hashes on every machine.

    A minor version must not rename every shot there is. So its number is not hashed, nor is any
    field that has its default: a field that a later minor adds changes no hash until it is used.
    """
    digest = hashlib.sha256()
    for frame in codec.encode(
        RenderRequest(shot=shot), version=(VERSION[0], 0), defaults=ALWAYS_HASHED
    ):
        digest.update(_LENGTH.pack(len(frame)))
        digest.update(frame)
    return digest.hexdigest()


def pack_shot(shot: ShotMessage, blobs: Mapping[str, Bytes]) -> bytes:
    """A ``.shot`` file: the submit message's frames, then the blobs it refers to."""
    frames: list[Bytes] = list(codec.encode(RenderRequest(shot=shot)))
    wanted = {ref.sha256 for ref in blobs_of(shot)}
    if absent := wanted - set(blobs):
        raise ProtocolError("shot_file", f"{len(absent)} of the shot's blobs are not at hand.")
    parts = [SHOT_MAGIC, _COUNT.pack(len(frames)), _COUNT.pack(len(wanted))]
    for frame in [*frames, *(blobs[name] for name in sorted(wanted))]:
        parts += [_LENGTH.pack(len(frame)), bytes(frame)]
    return b"".join(parts)


def unpack_shot(data: bytes) -> tuple[ShotMessage, dict[str, bytes]]:
    """What :func:`pack_shot` packed: the shot and its blobs by hash, all checked."""
    if not data.startswith(SHOT_MAGIC):
        raise ProtocolError("shot_file", "this is not a .shot file of version 1.")
    try:
        position = len(SHOT_MAGIC)
        (frame_count,) = _COUNT.unpack_from(data, position)
        (blob_count,) = _COUNT.unpack_from(data, position + _COUNT.size)
        position += 2 * _COUNT.size
        parts: list[bytes] = []
        while position < len(data):
            (length,) = _LENGTH.unpack_from(data, position)
            position += _LENGTH.size
            part = data[position : position + length]
            if len(part) != length:
                raise ProtocolError("shot_file", "the .shot file ends too early.")
            parts.append(part)
            position += length
    except struct.error as error:
        raise ProtocolError("shot_file", "the .shot file ends too early.") from error
    if len(parts) != frame_count + blob_count:
        raise ProtocolError("shot_file", "the .shot file ends too early.")
    message = codec.decode(parts[:frame_count]).message
    if not isinstance(message, RenderRequest):
        raise ProtocolError("shot_file", "the .shot file holds no shot.")
    blobs = {sha256(part): part for part in parts[frame_count:]}
    for ref in blobs_of(message.shot):
        if ref.sha256 not in blobs:
            raise ProtocolError("shot_file", "a blob of the .shot file is missing or damaged.")
        array_of(ref, blobs[ref.sha256])
    return message.shot, blobs
