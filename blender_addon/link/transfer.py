"""Blobs on their way, as values without a socket: what to send next, what an answer means.

Both directions work alike: one blob after another, a few chunks under way at a time, so that a
cancel never waits behind a photo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from .wire import messages

Reference = Any  # messages.Blob or messages.ArrayBlob


class TransferError(Exception):
    """A blob cannot be brought across.

    Attributes:
        code: for programs.
        sentence: for the artist.
        fix: what to do.
    """

    def __init__(self, code: str, sentence: str, fix: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.fix = fix


class Upload:
    """Blobs going to the server. Offered first, so that what is there already is not sent."""

    def __init__(self, blobs: Mapping[str, bytes], limits: messages.Limits) -> None:
        for data in blobs.values():
            if len(data) > limits.blob_bytes:
                raise TransferError(
                    "too_large",
                    f"A file has {len(data) / 1e6:.1f} MB, the server takes up to"
                    f" {limits.blob_bytes / 1e6:.1f} MB.",
                    "Use a smaller one.",
                )
        self._blobs = blobs
        self._limits = limits
        self._waiting = list(blobs)
        self._offset = 0
        self._under_way = 0
        self._rewinds = 0
        self._sent_before = 0  # bytes of blobs that are across
        self.total = sum(map(len, blobs.values()))
        self.done = 0

    @property
    def complete(self) -> bool:
        """Whether the server has every blob."""
        return not self._waiting

    def begin(self) -> list[Any]:
        """The first requests, also after a reconnect: an offer tells where to go on."""
        if not self._waiting:
            return []
        self._under_way = 1
        name = self._waiting[0]
        return [messages.BlobOffer(sha256=name, size=len(self._blobs[name]))]

    def answered(self, status: messages.BlobStatus) -> list[Any]:
        """The requests that follow an answer; an answer about another blob is none."""
        if not self._waiting or status.sha256 != self._waiting[0]:
            return []
        self._under_way -= 1
        data = self._blobs[self._waiting[0]]
        self.done = self._sent_before + min(status.received, len(data))
        if status.complete:
            self._sent_before += len(data)
            self.done = self._sent_before
            self._waiting.pop(0)
            self._offset = 0
            return self.begin()
        if self._under_way <= 0 and self._offset != status.received:
            # The first answer, or a chunk that was left out on the way: go on where the server is.
            self._rewinds += self._offset > status.received
            self._offset = min(status.received, len(data))
        if self._rewinds > 3 or (self._under_way <= 0 and self._offset >= len(data)):
            raise TransferError("upload", "The server does not take the file.", "Try again.")
        return self._next(data)

    def _next(self, data: bytes) -> list[Any]:
        out: list[Any] = []
        size = max(1, min(self._limits.chunk_bytes, self._limits.frame_bytes // 2))
        while self._under_way < max(1, self._limits.credit) and self._offset < len(data):
            chunk = data[self._offset : self._offset + size]
            out.append(
                messages.BlobPut(
                    sha256=self._waiting[0], offset=self._offset, data=_bytes_array(chunk)
                )
            )
            self._offset += len(chunk)
            self._under_way += 1
        return out


class Download:
    """Blobs coming from the server; each is checked against its hash.

    Args:
        have: blobs that are here already and need no download.
    """

    def __init__(
        self, wanted: Sequence[Reference], have: Mapping[str, bytes], limits: messages.Limits
    ) -> None:
        self.blobs = {ref.sha256: have[ref.sha256] for ref in wanted if ref.sha256 in have}
        sizes = {ref.sha256: ref.size for ref in wanted if ref.sha256 not in have}
        self._waiting = list(sizes.items())
        self._limits = limits
        self._parts: list[bytes] = []
        self._held = 0
        self._asked = 0
        self._digest = hashlib.sha256()
        self.total = sum(sizes.values())
        self.done = 0

    @property
    def complete(self) -> bool:
        """Whether every blob is here."""
        return not self._waiting

    def begin(self) -> list[Any]:
        """The first requests, also after a reconnect: goes on behind what is held."""
        self._asked = self._held
        return self._next()

    def answered(self, part: messages.BlobData) -> list[Any]:
        """The requests that follow an answer.

        Raises:
            TransferError: the bytes are not what their name says.
        """
        if not self._waiting:
            return []
        name, size = self._waiting[0]
        if part.sha256 != name or part.offset != self._held:
            return []
        data = part.data.tobytes()
        if part.size != size or self._held + len(data) > size or (not data and size):
            raise TransferError("damaged", "The server's result is damaged.", "Run it again.")
        self._parts.append(data)
        self._digest.update(data)
        self._held += len(data)
        self.done += len(data)
        if self._held < size:
            return self._next()
        if self._digest.hexdigest() != name:
            raise TransferError("damaged", "The server's result is damaged.", "Run it again.")
        self.blobs[name] = b"".join(self._parts)
        self._waiting.pop(0)
        self._parts, self._held, self._digest = [], 0, hashlib.sha256()
        return self.begin()

    @property
    def _chunk(self) -> int:
        return max(1, min(self._limits.chunk_bytes, self._limits.frame_bytes // 2))

    def _next(self) -> list[Any]:
        if not self._waiting:
            return []
        name, size = self._waiting[0]
        ahead = self._held + max(1, self._limits.credit) * self._chunk
        if size == 0:
            return [messages.BlobGet(sha256=name, offset=0, length=0)]
        out: list[Any] = []
        while self._asked < min(size, ahead):
            length = min(self._chunk, size - self._asked)
            out.append(messages.BlobGet(sha256=name, offset=self._asked, length=length))
            self._asked += length
        return out


def references(value: Any) -> list[Reference]:
    """Every blob that a message refers to, in the order of its fields, each once."""
    return list({ref.sha256: ref for ref in _walk(value)}.values())


def _walk(value: Any) -> Iterator[Reference]:
    if isinstance(value, messages.Blob | messages.ArrayBlob):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _walk(getattr(value, one.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _walk(item)


def _bytes_array(data: bytes):
    return np.frombuffer(data, np.uint8)
