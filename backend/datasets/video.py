"""Chosen frames of a video file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from backend.datasets.base import broken

Array = npt.NDArray[Any]
FETCH_AGAIN = "Fetch it again, or take it out of the folder."


def count_frames(path: Path) -> int:
    """Frames of a video, by its container where that says, else by counting packets.

    Raises:
        ShotError: it is no video that can be read.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.frames > 0:
                return stream.frames
            return sum(1 for packet in container.demux(stream) if packet.size)
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error


def frame_rate(path: Path) -> float | None:
    """Frames a second of a video; None where it does not say.

    Raises:
        ShotError: it is no video that can be read.
    """
    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
            return None if rate is None else float(rate)
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error


def read_frames(path: Path, indices: Sequence[int]) -> Array:
    """Frames ``indices`` (ascending) of a video, uint8 ``(F, H, W, 3)``.

    Decoding begins at the key frame before the first one; frames are told by their time, which
    the formats that are read here give at a constant rate.

    Raises:
        ShotError: the video cannot be read, or ends before the last frame.
    """
    wanted, found = set(indices), dict[int, Array]()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # clips are read in processes side by side
            rate, base = stream.average_rate, stream.time_base
            begin = stream.start_time or 0
            if rate is None or base is None:
                raise broken(path, "the video does not say its frame rate.", FETCH_AGAIN)
            first = begin + round(indices[0] / rate / base)
            container.seek(first, stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.pts is None:
                    continue
                at = round((frame.pts - begin) * base * rate)
                if at in wanted:
                    found[at] = frame.to_ndarray(format="rgb24")
                if at >= indices[-1]:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error
    if missing := [index for index in indices if index not in found]:
        raise broken(
            path,
            f"the video has no frame {missing[0]}; {len(found)} of {len(indices)} were found.",
            FETCH_AGAIN,
        )
    return np.stack([found[index] for index in indices])


def _unreadable(path: Path, error: Exception) -> Exception:
    said = str(error).rstrip(".") or type(error).__name__
    return broken(path, f"the video cannot be read ({said:.200}).", FETCH_AGAIN)
