"""One's own films with masks that were painted in Blender, or in another program.

``NAME.mp4`` beside ``NAME/OBJECT/0001.png``: a folder for each object, a picture for each frame,
white on the object. Pictures are numbered as Blender numbers frames: 0001 is the film's first one,
and a film that was rendered to an image sequence has its names right as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from backend.datasets.base import LabelledClip, broken, chosen, overlaid
from backend.datasets.pictures import read_white
from backend.datasets.video import count_frames, frame_rate, read_frames

FILMS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
_NUMBER = re.compile(r"(\d+)$")


class OwnClips:
    """A folder of films, each with a folder of masks of the same name.

    Args:
        root: the folder.
    """

    format = "own clips"

    def __init__(self, root: Path) -> None:
        self._films = {path.stem: path for path in _films(root)}
        self.problems: list[str] = [
            f"{film}: there is no folder {name} with masks beside it."
            for name, film in self._films.items()
            if not _objects(film)
        ]
        self.videos: Sequence[str] = sorted(
            name for name, film in self._films.items() if _objects(film)
        )

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether there is a film with a folder of masks."""
        return any(_objects(film) for film in _films(root))

    def num_frames(self, video: str) -> int:
        """Frames that have a mask of any object."""
        return len(self._annotated(video)[1])

    def frame_rate(self, video: str) -> float | None:
        """The film's: every frame has masks."""
        return frame_rate(self._films[video])

    def read(
        self, video: str, start: int = 0, count: int | None = None, every: int = 1
    ) -> LabelledClip:
        """Frames with masks; an object without a picture of a frame is not in that frame."""
        film = self._films[video]
        painted, numbers = self._annotated(video)
        at = [numbers[index] for index in chosen(video, len(numbers), start, count, every)]
        frames = read_frames(film, [number - 1 for number in at])
        masks, names = [], []
        for name, pictures in painted.items():
            mask = np.zeros(frames.shape[:3], bool)
            for index, number in enumerate(at):
                if number in pictures:
                    mask[index] = read_white(pictures[number], frames.shape[1:3])
            if mask.any():
                masks.append(mask)
                names.append(name)
        return overlaid(frames, masks, names, [False] * len(names))

    def _annotated(self, video: str) -> tuple[Mapping[str, Mapping[int, Path]], list[int]]:
        """Pictures by object and frame number, and the numbers that have any, ascending."""
        film = self._films[video]
        painted = {folder.name: _numbered(folder) for folder in _objects(film)}
        numbers = sorted({number for pictures in painted.values() for number in pictures})
        there = count_frames(film)
        if not numbers:
            raise broken(film, "no mask of it has a frame's number.", "Name them 0001.png and on.")
        if numbers[0] < 1 or numbers[-1] > there:
            raise broken(
                film,
                f"its masks are of frames {numbers[0]} to {numbers[-1]}, and it has frames 1 to "
                f"{there}.",
                "Number masks as Blender numbers frames: 0001.png is the film's first frame.",
            )
        missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
        if missing:
            raise broken(
                film,
                f"no object has a mask of frame {missing[0]}, and frames around it have one.",
                "Render the masks of all frames from the first to the last.",
            )
        return painted, numbers


def _films(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.suffix.lower() in FILMS)


def _objects(film: Path) -> list[Path]:
    """The folders of a film's objects: those with pictures in them."""
    folder = film.with_suffix("")
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and any(path.glob("*.png")))


def _numbered(folder: Path) -> dict[int, Path]:
    found = ((_NUMBER.search(path.stem), path) for path in sorted(folder.glob("*.png")))
    return {int(match[1]): path for match, path in found if match}
