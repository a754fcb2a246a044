"""What another system needs to make a table's videos: first frames and trajectories."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backend.evaluation.clip_sets import Clip, ClipSet
from backend.evaluation.recipes.request import Request
from backend.evaluation.recipes.videos import folder_name
from backend.files.atomic import write_atomically


def write_inputs(request: Request, folder: Path) -> int:
    """``SET/NAME.png`` and ``SET/NAME.json`` of every clip; how many were written.

    Args:
        request: the sets of clips.
        folder: to write into; a set that is the only one has no folder of its own.

    Raises:
        ShotError: a clip cannot be read.
    """
    count = 0
    for part, clips in request.sets.items():
        below = folder / folder_name(part) if len(request.recipe.sets) > 1 else folder
        for name in request.names(part):
            clip = clips.clip(name)
            buffer = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(clip.frames[0])).save(buffer, format="PNG")
            write_atomically(below / f"{name}.png", buffer.getvalue())
            text = json.dumps(inputs_of(clip, clips), allow_nan=False)
            write_atomically(below / f"{name}.json", text.encode())
            count += 1
    return count


def inputs_of(clip: Clip, clips: ClipSet) -> dict[str, Any]:
    """Size, length and trajectories; positions are pixels, the first one's centre at (0.5, 0.5)."""
    frames, height, width = clip.frames.shape[:3]
    return {
        "clip": clip.name,
        "frames": int(frames),
        "width": int(width),
        "height": int(height),
        "fps": float(clips.manifest.fps),
        "tracks": [
            {
                "instance": int(clip.instances[point]),
                "xy": np.asarray(clip.tracks[:, point], float).round(3).tolist(),
                "visible": np.asarray(clip.visible[:, point]).tolist(),
            }
            for point in range(clip.tracks.shape[1])
        ],
    }
