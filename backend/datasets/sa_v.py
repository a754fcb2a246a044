"""SA-V: videos with masklets as COCO run lengths, or frames with a folder of masks an object.

Source: the dataset's own description (Segment Anything Video, 2024). Training set: ``ID.mp4`` at 24
frames a second beside ``ID_manual.json`` and ``ID_auto.json``, whose ``masklet[frame][object]`` are
run lengths of every fourth frame. Validation and test sets: ``JPEGImages_24fps/ID/00000.jpg`` and
``Annotations_6fps/ID/OBJECT/00000.png``, white on the object.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backend.datasets import rle
from backend.datasets.base import LabelledClip, broken, chosen, overlaid
from backend.datasets.pictures import read_labels, read_picture, stems
from backend.datasets.video import count_frames, read_frames

Array = npt.NDArray[Any]
Which = Literal["manual", "auto", "both"]
EVERY = 4
"""Every fourth frame of 24 a second is annotated."""
RATE = 24 / EVERY
FETCH_AGAIN = "Fetch its JSON again, or take the video out of the folder."


class SaVTrain:
    """The training set's folders, at any depth.

    Args:
        root: the folder.
        which: masklets of people, of the machine, or both.
    """

    format = "SA-V (training)"

    def __init__(self, root: Path, which: Which = "both") -> None:
        kinds = ("manual", "auto") if which == "both" else (which,)
        self._masklets: dict[str, tuple[Path, ...]] = {}
        self._films: dict[str, Path] = {}
        self.problems: list[str] = []
        for film in sorted(root.rglob("*.mp4")):
            beside = (film.with_name(f"{film.stem}_{kind}.json") for kind in kinds)
            found = tuple(path for path in beside if path.exists())
            if not found:
                names = " or ".join(f"{film.stem}_{kind}.json" for kind in kinds)
                self.problems.append(f"{film}: there is no {names} beside it.")
                continue
            self._films[film.stem], self._masklets[film.stem] = film, found
        self.videos: Sequence[str] = sorted(self._films)

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether there is a video with masklets in the folder."""
        kinds = ("manual", "auto")
        return any(
            film.with_name(f"{film.stem}_{kind}.json").exists()
            for film in root.rglob("*.mp4")
            for kind in kinds
        )

    def num_frames(self, video: str) -> int:
        """Annotated frames of a video that are there as pictures too."""
        return min(len(one.masklet) for one in self._load(video))

    def frame_rate(self, video: str) -> float | None:
        """Of all videos."""
        return RATE

    def read(
        self, video: str, start: int = 0, count: int | None = None, every: int = 1
    ) -> LabelledClip:
        """Annotated frames; where masks overlap, small lie over large, manual over auto."""
        tables = self._load(video)
        at = chosen(video, min(len(one.masklet) for one in tables), start, count, every)
        film = self._films[video]
        frames = read_frames(film, [EVERY * index for index in at])
        masks, names = [], []
        for table in tables:
            for number in range(table.objects):
                mask = np.stack([table.mask(index, number) for index in at])
                if mask.shape != frames.shape[:3]:
                    raise broken(
                        table.path,
                        f"masks have {mask.shape[2]} x {mask.shape[1]} pixels, the video's frames "
                        f"{frames.shape[2]} x {frames.shape[1]}.",
                        FETCH_AGAIN,
                    )
                if mask.any():
                    masks.append(mask)
                    names.append(f"{table.kind} {table.ids[number]}")
        return overlaid(frames, masks, names, [name.startswith("auto") for name in names])

    def _load(self, video: str) -> list[_Masklets]:
        tables = [_Masklets.read(path) for path in self._masklets[video]]
        needed = EVERY * (min(len(one.masklet) for one in tables) - 1) + 1
        if needed < 1:
            raise broken(video, "it has no annotated frame.", FETCH_AGAIN)
        if (there := count_frames(self._films[video])) < needed:
            raise broken(
                self._films[video],
                f"the video has {there} frames, its masklets need {needed} (every {EVERY}th).",
                "Fetch the video again, or take it out of the folder.",
            )
        return tables


@dataclass(frozen=True, slots=True, kw_only=True)
class _Masklets:
    """One JSON file of a video."""

    path: Path
    kind: str
    masklet: list[list[Any]]
    ids: tuple[Any, ...]

    @property
    def objects(self) -> int:
        return len(self.ids)

    @classmethod
    def read(cls, path: Path) -> _Masklets:
        try:
            said = json.loads(path.read_bytes())
            masklet = said["masklet"]
            objects = max((len(frame) for frame in masklet), default=0)
            ids = tuple(said.get("masklet_id", range(objects)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise broken(
                path, f"it is no list of masklets ({type(error).__name__}: {error}).", FETCH_AGAIN
            ) from error
        if len(ids) != objects:
            raise broken(
                path, f"it names {len(ids)} objects and has masks of {objects}.", FETCH_AGAIN
            )
        kind = path.stem.rpartition("_")[2]
        return cls(path=path, kind=kind, masklet=masklet, ids=ids)

    def mask(self, frame: int, number: int) -> npt.NDArray[np.bool_]:
        try:
            one = self.masklet[frame][number]
            height, width = one["size"]
            return rle.decode((int(height), int(width)), one["counts"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise broken(
                self.path,
                f"the mask of object {self.ids[number]} in annotated frame {frame} is damaged "
                f"({error}).",
                FETCH_AGAIN,
            ) from error


class SaVFrames:
    """The validation and test sets: a folder of masks for each object."""

    format = "SA-V (validation, test)"

    def __init__(self, root: Path) -> None:
        self._root = root
        self.problems: list[str] = []
        marked = {path.name for path in (root / "Annotations_6fps").iterdir() if path.is_dir()}
        shown = {path.name for path in (root / "JPEGImages_24fps").iterdir() if path.is_dir()}
        self.problems += [
            f"{root / 'Annotations_6fps' / name}: there are no frames of it in JPEGImages_24fps."
            for name in sorted(marked - shown)
        ]
        self.videos: Sequence[str] = sorted(marked & shown)

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether its two folders are there."""
        return (root / "JPEGImages_24fps").is_dir() and (root / "Annotations_6fps").is_dir()

    def num_frames(self, video: str) -> int:
        """Annotated frames of a video."""
        return len(self._annotated(video))

    def frame_rate(self, video: str) -> float | None:
        """Of all videos."""
        return RATE

    def read(
        self, video: str, start: int = 0, count: int | None = None, every: int = 1
    ) -> LabelledClip:
        """Annotated frames; where masks overlap, smaller ones lie over larger."""
        annotated = self._annotated(video)
        at = [annotated[index] for index in chosen(video, len(annotated), start, count, every)]
        folder = self._root / "JPEGImages_24fps" / video
        frames = np.stack([read_picture(folder / f"{stem}.jpg") for stem in at])
        masks, names = [], []
        for each in self._objects(video):
            mask = np.zeros(frames.shape[:3], bool)
            for index, stem in enumerate(at):
                # An object that is not in a frame may have no file for it
                if (path := each / f"{stem}.png").exists():
                    mask[index] = read_labels(path, frames.shape[1:3]) > 0
            if mask.any():
                masks.append(mask)
                names.append(each.name)
        return overlaid(frames, masks, names, [False] * len(names))

    def _objects(self, video: str) -> list[Path]:
        folder = self._root / "Annotations_6fps" / video
        return sorted(path for path in folder.iterdir() if path.is_dir())

    def _annotated(self, video: str) -> list[str]:
        marked = {stem for each in self._objects(video) for stem in stems(each, ".png")}
        shown = set(stems(self._root / "JPEGImages_24fps" / video, ".jpg"))
        if missing := sorted(marked - shown):
            raise broken(
                video,
                f"{len(missing)} masks have no frame, the first is {missing[0]}.png.",
                "Fetch the video's frames again, or take it out of the folder.",
            )
        return sorted(marked)
