"""Folders of videos of any system, scored against the real ones: a video's name says whose it is.

The rule: below its folder a generated video has the path of the real one, but for the ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.pixels import image_from_pixels
from protocol.errors import ShotError

ENDINGS = frozenset({".avi", ".gif", ".mkv", ".mov", ".mp4", ".webm"})
SHOWN = 3
"""Names of videos in a sentence."""
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """What a video's file says.

    Attributes:
        size: (height, width).
        fps: frames a second; 0 where it does not say.
    """

    size: tuple[int, int]
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RealClip:
    """A real video as a clip of a set: nothing is marked in it and nothing tracked."""

    name: str
    frames: Array
    ids: None = None
    tracks: Array
    visible: Array
    instances: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class RealManifest:
    """Of a folder of real videos.

    Attributes:
        source: the folder.
        height: that all are resized to; 0 for their own.
        width: likewise.
        fps: of the first.
    """

    source: str
    height: int
    width: int
    fps: float


class RealVideos:
    """A folder of real videos as a set of clips.

    Args:
        folder: of them.
        size: (height, width) to resize to; None for their own.

    Raises:
        ShotError: it has none, or two of one name.
    """

    def __init__(self, folder: Path, size: tuple[int, int] | None = None) -> None:
        self._paths, self._size = videos_in(folder), size
        self.names = tuple(sorted(self._paths))
        height, width = size or (0, 0)
        _, first = read_video(self._paths[self.names[0]], (8, 8))
        self.manifest = RealManifest(source=str(folder), height=height, width=width, fps=first.fps)

    def clip(self, name: str) -> RealClip:
        """One of them, read now.

        Raises:
            ShotError: it cannot be read.
        """
        frames = (read_clip(self._paths[name], self._size) * 255).round().byte()
        count = len(frames)
        return RealClip(
            name=name,
            frames=frames.movedim(1, -1).numpy(),
            tracks=np.zeros((count, 0, 2), np.float32),
            visible=np.zeros((count, 0), bool),
            instances=np.zeros(0, np.int64),
        )


def paired(names: Sequence[str], real: Path, generated: Path) -> dict[str, Path]:
    """The generated videos by the names of clips, each of which has one.

    Args:
        names: of the clips.
        real: where those are, for the sentence.
        generated: folder of videos.

    Raises:
        ShotError: it has none, two of one name, or others than those of the clips.
    """
    theirs, ours = videos_in(generated), set(names)
    for folder, missing in ((generated, ours - set(theirs)), (real, set(theirs) - ours)):
        if missing:
            shown = ", ".join(sorted(missing)[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise ShotError(
                "evaluation_sets",
                f"{folder} has no video for {len(missing)} of {len(ours | set(theirs))} "
                f"names: {shown}.",
                "Every real video has one generated of the same name.",
            )
    return {name: theirs[name] for name in names}


def read_clip(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """The frames of :func:`read_video` alone."""
    return read_video(path, size)[0]


def read_video(path: Path, size: tuple[int, int] | None = None) -> tuple[Tensor, VideoFormat]:
    """``(F, 3, H, W)`` in [0, 1], all of a video's frames, and what its file says.

    Args:
        path: of the video.
        size: (height, width) to resize to.

    Raises:
        ShotError: it cannot be read, or changes its size.
    """
    frames: list[Tensor] = []
    own, fps = (0, 0), 0.0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or 0)
            for frame in container.decode(stream):
                own = (frame.height, frame.width)
                picture = image_from_pixels(frame.to_ndarray(format="rgb24"))
                frames.append(picture if size is None else _resized(picture, size))
    except (av.error.FFmpegError, IndexError) as error:
        said = str(error).rstrip(".") or type(error).__name__
        raise ShotError(
            "evaluation_sets",
            f"{path} is no video that can be read ({said:.160}).",
            "Make it anew.",
        ) from error
    if not frames or len({frame.shape for frame in frames}) > 1:
        raise ShotError(
            "evaluation_sets", f"{path} has no frames, or frames of several sizes.", "Make it anew."
        )
    return torch.stack(frames), VideoFormat(size=own, fps=fps)


def videos_in(folder: Path) -> dict[str, Path]:
    """The videos below a folder by name: their path in it, but for the ending.

    Raises:
        ShotError: there is none, or two have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        name = str(path.relative_to(folder).with_suffix(""))
        if name in found:
            raise ShotError(
                "evaluation_sets",
                f"{path} and {found[name]} have one name.",
                "Leave one of them there.",
            )
        found[name] = path
    if not found:
        raise ShotError(
            "evaluation_sets",
            f"{folder} has no videos ({', '.join(sorted(ENDINGS))}).",
            "Name a folder of videos.",
        )
    return found


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[1:]) == size:
        return picture
    small = F.interpolate(
        picture[None], size=size, mode="bicubic", antialias=True, align_corners=False
    )
    return small[0].clamp(0, 1)
