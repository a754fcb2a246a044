"""A take's video as the frames of its shot's samples, in the size in which they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.files.video import repeated
from backend.geometry.fit import Fit
from backend.pixels import image_from_pixels
from protocol.errors import ShotError

LONGEST_SIDE = 512
"""Pixels in which takes are compared; larger ones are shrunk."""
SAME_SHAPE = 0.02
"""By how much a take's shape may be another than its window's; ``Fit`` does not undo a squash by
less."""
Window = tuple[float, float, float, float]
"""(top, left, height, width) in the photo's pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeVideo:
    """Frames of a take.

    Attributes:
        frames: ``(K, 3, h, w)`` in [0, 1], shrunk.
        samples: ``K`` numbers of the shot's samples that they show, from 0 on.
        numbers: ``K`` numbers of the video's own frames, from 0 on.
        size: (height, width) of the video.
        fps: of the video; 0 where it does not say.
    """

    frames: Tensor
    samples: tuple[int, ...]
    numbers: tuple[int, ...]
    size: tuple[int, int]
    fps: float

    @property
    def scale(self) -> float:
        """Pixels of the video per pixel of the frames."""
        return max(self.size) / max(self.frames.shape[2:])


def read_take(path: Path, samples: int, length: int) -> TakeVideo:
    """The first of the video's frames that shows each sample.

    Args:
        path: of the video.
        samples: of the shot's motion.
        length: frames of the shot's takes, which repeat samples.

    Raises:
        ShotError: it cannot be read, or has another number of frames.
    """
    frames, size, fps = _decoded(path)
    if len(frames) not in (samples, length):
        numbers = f"{samples}" if samples == length else f"{length}, made of {samples}"
        raise ShotError(
            "take_frames",
            f"{path} has {len(frames)} frames; takes of this shot have {numbers}.",
            "Name the shot that the take was rendered from.",
        )
    shown = repeated(samples, len(frames))
    first = {sample: number for number, sample in reversed(list(enumerate(shown)))}
    kept = sorted(first)
    if len(kept) < 2:
        raise ShotError(
            "take_frames",
            f"{path} shows {len(kept)} frame of the shot's motion, which is the photo.",
            "Render at least 2.",
        )
    numbers = tuple(first[sample] for sample in kept)
    return TakeVideo(
        frames=torch.stack([frames[number] for number in numbers]),
        samples=tuple(kept),
        numbers=numbers,
        size=size,
        fps=fps,
    )


def take_of(frames: Tensor, most: int, side: int) -> TakeVideo:
    """Some of the frames that an engine has made, evenly spread, with the first and the last.

    Args:
        frames: ``(F, 3, H, W)`` in [0, 1], one a sample; at least 2.
        most: how many to take; at least 2.
        side: pixels of the longer side in which they are compared.
    """
    kept = tuple(repeated(len(frames), min(most, len(frames))))
    return TakeVideo(
        frames=torch.stack([_shrunk(frames[number].float().cpu(), side) for number in kept]),
        samples=kept,
        numbers=kept,
        size=(frames.shape[2], frames.shape[3]),
        fps=0.0,
    )


def fit_of(
    photo: tuple[int, int], take: TakeVideo, windows: Sequence[Window], name: Path | str
) -> Fit:
    """How the photo fills the take's frames.

    Args:
        photo: (height, width).
        take: the take.
        windows: parts of the photo that a take may show; the first of the take's shape is taken.
        name: of the take, for the error.

    Raises:
        ShotError: the take has another shape than all of them.
    """
    height, width = take.size
    for top, left, rows, columns in windows:
        if abs(width - height * columns / rows) <= max(2.0, SAME_SHAPE * width):
            frame = (take.frames.shape[2], take.frames.shape[3])
            source = (round(top), round(left), round(rows), round(columns))
            return Fit(photo=photo, frame=frame, source=source, target=(0, 0, *frame))
    shapes = " or ".join(f"{columns:.0f} x {rows:.0f}" for _, _, rows, columns in windows)
    raise ShotError(
        "take_size",
        f"{name} is {width} x {height} pixels, which is not the shape of {shapes} pixels of the "
        "shot's photo.",
        "Name the shot that the take was rendered from; a take that was cut cannot be compared.",
    )


def _decoded(path: Path) -> tuple[list[Tensor], tuple[int, int], float]:
    frames: list[Tensor] = []
    size = (0, 0)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or 0)
            for frame in container.decode(stream):
                size = (frame.height, frame.width)
                frames.append(_shrunk(image_from_pixels(frame.to_ndarray(format="rgb24"))))
    except (av.error.FFmpegError, IndexError) as error:
        said = str(error).rstrip(".") or type(error).__name__
        raise ShotError(
            "take_video", f"{path} is no video that can be read ({said:.160}).", "Name a take."
        ) from error
    if len({frame.shape for frame in frames}) > 1:
        raise ShotError("take_video", f"{path} changes its size on the way.", "Name a take.")
    return frames, size, fps


def _shrunk(image: Tensor, side: int = LONGEST_SIDE) -> Tensor:
    height, width = image.shape[1:]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(
        image[None], size=size, mode="bicubic", antialias=True, align_corners=False
    )
    return small[0].clamp(0, 1)
