"""PNG and EXR files as bytes, written with the standard library and numpy alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from .arrays import Array

_LINES = 16
"""Lines of an EXR that are packed together, as its ZIP compression has it."""


def png(values: Array) -> bytes:
    """A PNG of 8 bits, grey or in colours.

    Args:
        values: (H, W) or (H, W, 3) uint8.

    Source: Portable Network Graphics (PNG) Specification, second edition, sections 5, 11 and 12;
    without filters, since neighbouring ids are equal anyway.
    """
    height, width = values.shape[:2]
    colours = 2 if values.ndim == 3 else 0
    line = values.reshape(height, -1)
    lines = np.zeros((height, line.shape[1] + 1), np.uint8)  # the byte before names its filter
    lines[:, 1:] = line
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 6)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def exr(values: Array, channel: str = "Z") -> bytes:
    """An OpenEXR scan-line file of one 32-bit channel, ZIP compressed; infinity stays infinity.

    Args:
        values: (H, W) float32.
        channel: its name.

    Source: Technical Introduction to OpenEXR, "File Layout"; ZIP as in "OpenEXR File Layout".
    """
    height, width = values.shape
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    kind = struct.pack("<iB3xii", 2, 0, 1, 1)  # float, nothing special, every pixel
    header = struct.pack("<II", 20000630, 2) + b"".join(
        [
            _attribute("channels", "chlist", channel.encode() + b"\0" + kind + b"\0"),
            _attribute("compression", "compression", b"\3"),
            _attribute("dataWindow", "box2i", window),
            _attribute("displayWindow", "box2i", window),
            _attribute("lineOrder", "lineOrder", b"\0"),
            _attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            _attribute("screenWindowCenter", "v2f", struct.pack("<ff", 0, 0)),
            _attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
            b"\0",
        ]
    )
    blocks: list[bytes] = []
    for top in range(0, height, _LINES):
        raw = values[top : top + _LINES].astype("<f4").tobytes()
        packed = _zipped(raw)
        blocks.append(struct.pack("<ii", top, len(packed)) + packed)
    start = len(header) + 8 * len(blocks)
    ends = start + np.cumsum([0, *map(len, blocks)])
    return header + ends[:-1].astype("<u8").tobytes() + b"".join(blocks)


def _attribute(name: str, kind: str, data: bytes) -> bytes:
    return b"\0".join([name.encode(), kind.encode(), struct.pack("<i", len(data)) + data])


def _zipped(raw: bytes) -> bytes:
    """Bytes of even places, then of odd ones, as differences and packed; raw if that is less."""
    byte = np.frombuffer(raw, np.uint8)
    split = np.concatenate([byte[::2], byte[1::2]])
    split[1:] = split[1:] - split[:-1] + np.uint8(128)
    packed = zlib.compress(split.tobytes(), 6)
    return packed if len(packed) < len(raw) else raw
