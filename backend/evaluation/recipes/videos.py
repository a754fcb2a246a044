"""Videos that engines make for a table: lossless, whole or not there, with what made them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from backend.files.atomic import write_atomically
from backend.pixels import pixels_from_image
from protocol.errors import ShotError
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


def check_same(path: Path, content: Mapping[str, Any], what: str) -> None:
    """Write ``content`` as JSON, or compare it with what is there.

    Raises:
        ShotError: it differs; the sentence lists in what.
    """
    content = json.loads(json.dumps(content))
    if not path.exists():
        write_atomically(path, json.dumps(content, indent=1).encode())
        return
    try:
        before: dict[str, Any] = json.loads(path.read_bytes())
        changes = differences(before, content)
    except (ValueError, AttributeError) as error:
        raise ShotError(
            "evaluation_results", f"{path} cannot be read ({error!s:.120}).", "Name another --out."
        ) from error
    if changes:
        shown = "; ".join(changes[:4]) + ("; ..." if len(changes) > 4 else "")
        raise ShotError("evaluation_results", f"{what}: {shown}.", "Name another --out.")


def differences(before: Mapping[str, Any], now: Mapping[str, Any], under: str = "") -> list[str]:
    """What differs between two objects of JSON, an item each."""
    found: list[str] = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{under}{name}.")
        elif old != new:
            found.append(f"{under}{name} was {_shown(old)}, now {_shown(new)}")
    return found


def folder_name(text: str) -> str:
    """A row's or set's name as that of a folder."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", text).strip("-.") or "all"


def _shown(value: Any) -> str:
    return "not there" if value is None else f"{json.dumps(value):.60}"
