"""Our own shots as a dataset: the draft's frames, with ids and depth that are exact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backend.contracts import Shot
from backend.control_sources import ShotControl
from backend.convert import shot_from_message
from backend.datasets.base import LabelledClip, chosen
from backend.files.shot import read_shot
from backend.pixels import pixels_from_image


class Shots:
    """A folder of ``.shot`` files, as Blender's *Save Shot* writes them.

    A shot's frames are the draft: the photo's own pixels moved, and what was behind them guessed.
    """

    format = "LeviTor shots"

    def __init__(self, root: Path) -> None:
        self._paths = {str(path.relative_to(root)): path for path in sorted(root.rglob("*.shot"))}
        self.videos: Sequence[str] = tuple(self._paths)
        self.problems: list[str] = []

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether there is a shot in the folder."""
        return next(root.rglob("*.shot"), None) is not None

    def num_frames(self, video: str) -> int:
        """Samples of the shot's motion."""
        shot, _ = read_shot(self._paths[video])
        return len(shot.moved_from_rest)

    def frame_rate(self, video: str) -> float | None:
        """Not said: a sample of the motion is a frame of whatever take is made."""
        return None

    def read(
        self, video: str, start: int = 0, count: int | None = None, every: int = 1
    ) -> LabelledClip:
        """Frames of the draft; automatic segments are objects too."""
        message, blobs = read_shot(self._paths[video])
        shot = shot_from_message(message, blobs.__getitem__)
        at = chosen(video, shot.motion.num_frames, start, count, every)
        control = ShotControl(shot)
        masks, draft = control.masks(), control.draft()
        here = slice(at.start, at.stop, at.step)
        return LabelledClip(
            frames=np.stack([pixels_from_image(draft[index].rgb) for index in at]),
            ids=masks.instance[here].clamp(min=0).numpy(),
            names=_names(shot, [item.name for item in message.instances]),
            depth=masks.depth[here].clamp(max=masks.far).numpy(),
            near=masks.near,
            far=masks.far,
        )


def _names(shot: Shot, picked: Sequence[str]) -> tuple[str, ...]:
    segments = int(shot.instance.max()) - len(picked)
    return (*picked, *(f"segment {number}" for number in range(1, segments + 1)))
