"""The golden frames: what the protocol looks like in bytes. Run to write them after a wire change.

    python -m tests.wire.golden

A version has a folder of its own, and only the present version's is ever written: peers and files
of the others are about, and what they say is to be read for ever. Each file holds the frames of
one message, each after its length (little-endian, 8 bytes).
"""

from __future__ import annotations

import struct
from pathlib import Path

from protocol import VERSION, encode
from tests.wire.samples import SAMPLES

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDERS = {
    (int(major), int(minor)): folder
    for folder in (GOLDEN / "wire").iterdir()
    for major, _, minor in [folder.name.partition(".")]
}
"""By version."""
FOLDER = GOLDEN / "wire" / f"{VERSION[0]}.{VERSION[1]}"
"""The present version's."""
LENGTH = struct.Struct("<Q")


def pack(frames: list[bytes | memoryview]) -> bytes:
    return b"".join(LENGTH.pack(len(frame)) + bytes(frame) for frame in frames)


def unpack(data: bytes) -> list[bytes]:
    frames = []
    while data:
        (length,) = LENGTH.unpack_from(data)
        frames.append(data[LENGTH.size : LENGTH.size + length])
        data = data[LENGTH.size + length :]
    return frames


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, message in SAMPLES.items():
        (FOLDER / f"{name}.bin").write_bytes(pack(encode(message, id="r1", re="r0")))


if __name__ == "__main__":
    main()
