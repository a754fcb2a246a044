"""Videos that engines make for a table: lossless, whole or not there, with what made them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from backend.evaluation.same_settings import check_same
from backend.pixels import pixels_from_image
from protocol.rates import frame_rate

ENDING = ".mkv"
MADE_BY = "made_by.json"


def encode_lossless(frames: Tensor, fps: float) -> bytes:
    """FFV1 in Matroska: every pixel as it was, the same bytes each time.

    Args:
        frames: ``(F, 3, H, W)`` in [0, 1].
        fps: of the video.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("ffv1", rate=frame_rate(fps))
        stream.width, stream.height, stream.pix_fmt = frames.shape[3], frames.shape[2], "bgr0"
        for frame in frames:
            pixels = pixels_from_image(frame)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


class MadeVideos:
    """The folder of the videos that one engine makes of one set of clips.

    Args:
        folder: made where it is not there.
        made_by: what they depend on: engine, options, weights, seed and so on, as JSON has it.

    Raises:
        ShotError: the videos that are there were made by something else.
    """

    def __init__(self, folder: Path, made_by: Mapping[str, Any]) -> None:
        self.folder = folder
        check_same(folder / MADE_BY, made_by, f"The videos in {folder} were made by other means")

    def path(self, name: str) -> Path:
        """Of a clip's video."""
        return self.folder / f"{name}{ENDING}"

    def missing(self, names: Sequence[str]) -> list[str]:
        """Clips without a video."""
        return [name for name in names if not self.path(name).is_file()]


def folder_name(text: str) -> str:
    """A row's or set's name as that of a folder."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", text).strip("-.") or "all"
