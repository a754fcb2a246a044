"""What videos are compared with: sets of clips, prepared, drawn, or videos themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]


class Clip(Protocol):
    """A clip of a prepared set: what an engine is told of, and what its video is compared with."""

    @property
    def name(self) -> str:
        """Of the clip and, but for the ending, of its video."""
        ...

    @property
    def frames(self) -> Array:
        """uint8 ``(F, H, W, 3)``."""
        ...

    @property
    def ids(self) -> Array | None:
        """uint8 ``(F, H, W)``; None where nobody marked anything."""
        ...

    @property
    def tracks(self) -> Array:
        """float32 ``(F, N, 2)``, pixels."""
        ...

    @property
    def visible(self) -> Array:
        """Bool ``(F, N)``."""
        ...

    @property
    def instances(self) -> Array:
        """Int ``(N,)``, what each point is on; 0 is the background."""
        ...


class ClipSet(Protocol):
    """A prepared set of clips, which can be read in any process."""

    @property
    def names(self) -> Sequence[str]:
        """Of its clips, in order."""
        ...

    @property
    def manifest(self) -> Any:
        """A dataclass: how the clips were prepared."""
        ...

    def clip(self, name: str) -> Clip:
        """One of them, read now."""
        ...


class KnownClipSet(ClipSet, Protocol):
    """A set that is gone on with another day, by what its clips are and not by their names."""

    def fingerprint(self, name: str) -> str:
        """A hash of what a clip's video and numbers depend on besides the manifest.

        Raises:
            ShotError: it cannot be read.
        """
        ...
