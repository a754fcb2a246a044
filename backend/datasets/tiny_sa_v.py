"""Writes a tiny SA-V training set in the real one's layout, drawn and not filmed.

For tests, and to try training without 250 GB of videos.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from backend.datasets import rle
from backend.datasets.sa_v import EVERY
from backend.datasets.synthetic import SceneOptions, SyntheticClips

Array = npt.NDArray[Any]
RATE = 24
"""Frames a second of SA-V's videos."""
DRAWN = 160
"""Pixels the longer side is drawn with before it is enlarged: scenes are drawn slowly."""


def make_tiny_sa_v(
    folder: Path,
    videos: int = 2,
    annotated: int = 16,
    size: tuple[int, int] = (288, 512),
    seed: int = 0,
) -> None:
    """Write ``sav_train/sav_000/sav_00000N.mp4`` with ``_manual.json`` and ``_auto.json``.

    Args:
        folder: made where it is not there.
        videos: how many.
        annotated: of each video's frames, a quarter of all.
        size: (height, width), even.
        seed: of the scenes.
    """
    height, width = size
    scale = min(1.0, DRAWN / max(size))
    scenes = SyntheticClips(
        SceneOptions(
            height=round(height * scale),
            width=round(width * scale),
            frames=annotated,
            objects=(2, 3),
        ),
        seed=seed,
    )
    root = folder / "sav_train" / "sav_000"
    root.mkdir(parents=True, exist_ok=True)
    for number in range(videos):
        clip = scenes[number].clip
        name = f"sav_{number + 1:06}"
        frames = (clip.frames.movedim(1, -1) * 255).round().byte().numpy()
        ids = clip.instance.clamp(min=0).to(dtype=clip.instance.dtype).numpy()
        _film(root / f"{name}.mp4", _enlarged(frames, size, cv2.INTER_LINEAR))
        ids = _enlarged(ids, size, cv2.INTER_NEAREST_EXACT)
        # The first object by people, the others by the machine
        for kind, objects in (("manual", [1]), ("auto", list(range(2, clip.moving + 1)))):
            if objects:
                said = _masklets(name, ids, objects, kind)
                (root / f"{name}_{kind}.json").write_text(json.dumps(said), "utf-8")


def _enlarged(values: Array, size: tuple[int, int], how: int) -> Array:
    return np.stack([cv2.resize(one, size[::-1], interpolation=how) for one in values])


def _film(path: Path, frames: Array) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # The macroblock tree reads uninitialised memory for narrow frames
        stream.options = {"crf": "12", "preset": "veryfast", "x264-params": "mbtree=0:threads=1"}
        for frame in np.repeat(frames, EVERY, axis=0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def _masklets(name: str, ids: Array, objects: list[int], kind: str) -> dict[str, Any]:
    height, width = ids.shape[1:]
    return {
        "video_id": name,
        "video_duration": len(ids) * EVERY / RATE,
        "video_frame_count": float(len(ids) * EVERY),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "masklet_count": len(objects),
        "masklet_id": [number - 1 for number in objects],
        "masklet_num": len(objects),
        "masklet_type": [kind] * len(objects),
        "masklet": [
            [{"size": [height, width], "counts": rle.encode(frame == number)} for number in objects]
            for frame in ids
        ],
    }
