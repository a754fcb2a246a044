"""What can go wrong on the wire, and what an artist can mend."""

from __future__ import annotations


class ProtocolError(Exception):
    """The wire is wrong: answered with ``code`` and a sentence; the peer stays up.

    Attributes:
        request: id of the request that was wrong, where it could be read, so that it gets a reply.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.request = ""


class VersionError(ProtocolError):
    """The peer speaks another major version, so nothing but its hello can be read."""

    def __init__(self, ours: tuple[int, int], theirs: tuple[int, int]) -> None:
        super().__init__(
            "version",
            f"This side speaks protocol {ours[0]}.{ours[1]}, the other {theirs[0]}.{theirs[1]}.",
        )
        self.ours = ours
        self.theirs = theirs


class ShotError(Exception):
    """Something the artist can mend; its text, ``str(error)``, is sentence and fix together.

    Attributes:
        code: stable name of the problem, for programs.
        sentence: what is wrong, with the numbers.
        fix: what to do about it.
    """

    def __init__(self, code: str, sentence: str, fix: str = "") -> None:
        super().__init__(f"{sentence} {fix}".strip())
        self.code = code
        self.sentence = sentence
        self.fix = fix
