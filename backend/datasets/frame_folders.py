"""Datasets that keep a folder of frames and a folder of maps of object numbers for each video.

DAVIS 2017: ``JPEGImages/480p/VIDEO/00000.jpg``, ``Annotations/480p/VIDEO/00000.png`` with a
palette, ``ImageSets/2017/train.txt``. YouTube-VOS: ``JPEGImages/VIDEO``, ``Annotations/VIDEO`` with
every fifth frame, ``meta.json`` with what the objects are. VIPSeg: ``imgs/VIDEO`` and
``panomasks/VIDEO`` (or ``images`` and ``panomasksRGB`` once converted to 720p), numbers of category
and instance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.datasets.base import LabelledClip, broken, chosen, numbered
from backend.datasets.pictures import palette_of, read_labels, read_picture, stems
from protocol.rules import MAX_ID

Array = npt.NDArray[Any]
VOID = 255
FETCH_AGAIN = "Fetch the dataset again, or take the video out of its folder."


class FrameFolders:
    """Videos as two folders of pictures; formats differ in what a number means.

    Args:
        frames: the folder with a folder of frames for each video.
        labels: the folder with a folder of maps for each video.
        only: the videos of a split; all where it is None.
    """

    format = "folders of frames"
    rate: float | None = None
    """Annotated frames a second."""

    def __init__(self, frames: Path, labels: Path, only: Sequence[str] | None = None) -> None:
        self._frames, self._labels = frames, labels
        shown, marked = _folders(frames), _folders(labels)
        self.problems: list[str] = []
        for name in sorted(marked - shown):
            self.problems.append(f"{labels / name}: there are no frames of it in {frames.name}.")
        for name in sorted(shown - marked) if only is None else ():
            self.problems.append(f"{frames / name}: there are no maps of it in {labels.name}.")
        for name in sorted(set(only or ()) - (marked & shown)):
            self.problems.append(f"{name}: the split names it, and it is not there.")
        kept = marked & shown if only is None else marked & shown & set(only)
        self.videos: Sequence[str] = sorted(kept)

    def num_frames(self, video: str) -> int:
        """Annotated frames of a video."""
        return len(self._annotated(video))

    def frame_rate(self, video: str) -> float | None:
        """The format's own."""
        return self.rate

    def read(
        self, video: str, start: int = 0, count: int | None = None, every: int = 1
    ) -> LabelledClip:
        """Annotated frames of a video."""
        annotated = self._annotated(video)
        at = [annotated[index] for index in chosen(video, len(annotated), start, count, every)]
        frames = [read_picture(self._frame(video, stem)) for stem in at]
        if odd := [index for index, one in enumerate(frames) if one.shape != frames[0].shape]:
            raise broken(
                self._frame(video, at[odd[0]]),
                f"it has {frames[odd[0]].shape[1]} x {frames[odd[0]].shape[0]} pixels, the frames "
                f"before it {frames[0].shape[1]} x {frames[0].shape[0]}.",
                FETCH_AGAIN,
            )
        paths = [self._labels / video / f"{stem}.png" for stem in at]
        values = np.stack([read_labels(path, frames[0].shape[:2]) for path in paths])
        values, notes = self.objects_in(values, paths)
        ids, numbers = numbered(values)
        found = len(np.setdiff1d(values, 0))
        if lost := found - len(numbers):
            notes = (*notes, f"{lost} of {found} objects were left out, the smallest.")
        return LabelledClip(
            frames=np.stack(frames),
            ids=ids,
            names=tuple(self.name_of(video, number) for number in numbers),
            notes=notes,
        )

    def objects_in(self, values: Array, paths: Sequence[Path]) -> tuple[Array, tuple[str, ...]]:
        """The numbers of objects among ``values`` (F, H, W), all else 0; and notes."""
        return values, ()

    def name_of(self, video: str, number: int) -> str:
        """What an object is called."""
        return str(number)

    def _annotated(self, video: str) -> list[str]:
        marked = stems(self._labels / video, ".png")
        shown = set(stems(self._frames / video, ".jpg", ".jpeg", ".png"))
        if missing := [stem for stem in marked if stem not in shown]:
            raise broken(
                self._labels / video,
                f"{len(missing)} of {len(marked)} maps have no frame, the first is "
                f"{missing[0]}.png.",
                FETCH_AGAIN,
            )
        if not marked:
            raise broken(self._labels / video, "the folder has no map of objects.", FETCH_AGAIN)
        self._check_gaps(video, sorted(shown), marked)
        return marked

    def _check_gaps(self, video: str, shown: Sequence[str], marked: Sequence[str]) -> None:
        """Every frame has a map, or every n-th: a clip across a gap would jump."""
        at = [index for index, stem in enumerate(shown) if stem in set(marked)]
        steps = [later - earlier for earlier, later in pairwise(at)]
        if len(set(steps)) > 1:
            usual = min(steps)
            gap = next(index for index, step in enumerate(steps) if step != usual)
            raise broken(
                self._labels / video,
                f"there is no map between {marked[gap]}.png and {marked[gap + 1]}.png, where every "
                f"{usual}. frame has one."
                if usual > 1
                else f"there is no map of frame {shown[at[gap] + 1]}, and the frames around it "
                "have one.",
                FETCH_AGAIN,
            )

    def _frame(self, video: str, stem: str) -> Path:
        folder = self._frames / video
        there = (folder / f"{stem}{ending}" for ending in (".jpg", ".jpeg", ".png"))
        return next((path for path in there if path.exists()), folder / f"{stem}.jpg")


class PaletteFolders(FrameFolders):
    """DAVIS and YouTube-VOS: a palette's number is an object's."""

    def objects_in(self, values: Array, paths: Sequence[Path]) -> tuple[Array, tuple[str, ...]]:
        """All numbers but 0 and void; by colour where programs have sorted palettes anew."""
        for path, value in zip(paths, values, strict=True):
            if (found := len(np.unique(value))) > MAX_ID + 1:
                raise broken(
                    path,
                    f"it has {found} different colours, which are no objects: it was scaled or "
                    "saved as a photo.",
                    "Use the dataset's own PNGs, or save yours without smoothing.",
                )
        notes: tuple[str, ...] = ()
        palettes = [palette_of(path) for path in paths]
        kinds = [palette is None for palette in palettes]
        if any(kinds) and not all(kinds):
            raise broken(
                paths[kinds.index(not kinds[0])],
                f"it has {'no' if not kinds[0] else 'a'} palette, unlike the maps before it.",
                "Use the dataset's own PNGs.",
            )
        if _differ(values, palettes):
            values = np.stack(
                [_coloured(value, one) for value, one in zip(values, palettes, strict=True)]
            )
            notes = ("The maps' palettes differ; objects were told by their colours.",)
        elif (values == VOID).any() and len(np.setdiff1d(values, [0, VOID])):
            values = np.where(values == VOID, 0, values)
        return values, notes


class Davis(PaletteFolders):
    """DAVIS 2016 and 2017.

    Args:
        root: the folder with ``JPEGImages`` and ``Annotations``.
        split: ``train``, ``val`` ...; all videos where it is empty.
    """

    format = "DAVIS"
    rate = 24.0

    def __init__(self, root: Path, split: str = "") -> None:
        sizes = sorted(_folders(root / "JPEGImages") & _folders(root / "Annotations"))
        if not sizes:
            raise broken(
                root,
                "JPEGImages and Annotations have no folder of the same name, as 480p.",
                FETCH_AGAIN,
            )
        size = "480p" if "480p" in sizes else sizes[0]
        super().__init__(
            root / "JPEGImages" / size, root / "Annotations" / size, _split_of(root, split)
        )

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether videos lie a folder deeper, below the size's name."""
        annotations = root / "Annotations"
        return (root / "JPEGImages").is_dir() and any(
            path.is_dir() and path.name.endswith(("480p", "1080p", "Full-Resolution"))
            for path in (annotations.iterdir() if annotations.is_dir() else ())
        )


class YouTubeVos(PaletteFolders):
    """YouTube-VOS, one of its splits' folders."""

    format = "YouTube-VOS"
    rate = 6.0
    """Every fifth frame of 30 a second is in it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "JPEGImages", root / "Annotations")
        self._names: Mapping[str, Any] = {}
        path = root / "meta.json"
        if path.exists():
            try:
                self._names = json.loads(path.read_bytes())["videos"]
            except (ValueError, KeyError, TypeError) as error:
                self.problems.append(f"{path}: it cannot be read ({error!s:.200}).")

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether folders of videos lie in both of its folders."""
        return (root / "JPEGImages").is_dir() and (root / "Annotations").is_dir()

    def name_of(self, video: str, number: int) -> str:
        """The object's category, where ``meta.json`` has it, and its number."""
        objects = self._names.get(video, {}).get("objects", {})
        category = objects.get(str(number), {}).get("category", "")
        return f"{category} {number}".strip()


class VipSeg(FrameFolders):
    """VIPSeg: 0 is void, 1 to 124 are stuff, 100 category + instance are things."""

    format = "VIPSeg"
    LAYOUTS = (("imgs", "panomasks"), ("images", "panomasks"), ("images", "panomasksRGB"))
    LAST_STUFF = 124
    BROKEN = 200
    """Some maps hold this number by mistake; the authors say it is void."""

    def __init__(self, root: Path, split: str = "") -> None:
        frames, labels = self._layout(root) or self.LAYOUTS[0]
        self._coloured = labels.endswith("RGB")
        super().__init__(root / frames, root / labels, _list_of(root / f"{split}.txt", split))
        self._names: dict[int, str] = {}
        path = root / "panoVIPSeg_categories.json"
        if path.exists():
            try:
                self._names = {int(one["id"]): one["name"] for one in json.loads(path.read_bytes())}
            except (ValueError, KeyError, TypeError) as error:
                self.problems.append(f"{path}: it cannot be read ({error!s:.200}).")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a pair of its folders is there."""
        return cls._layout(root) is not None

    @classmethod
    def _layout(cls, root: Path) -> tuple[str, str] | None:
        pairs = (pair for pair in cls.LAYOUTS if all((root / name).is_dir() for name in pair))
        return next(pairs, None)

    def objects_in(self, values: Array, paths: Sequence[Path]) -> tuple[Array, tuple[str, ...]]:
        """Things alone; stuff is the scene they move in."""
        if self._coloured:  # COCO's ids are a segment's own; which are things stands elsewhere
            return values, ("The converted maps do not say which segments are things; all are.",)
        things = (values > self.LAST_STUFF) & (values != self.BROKEN)
        return np.where(things, values, 0), ()

    def name_of(self, video: str, number: int) -> str:
        """The category's name, where its table is there, and the instance."""
        if self._coloured:
            return str(number)
        category, instance = divmod(number, 100)
        return f"{self._names.get(category - 1, f'category {category}')} {instance}"


def _folders(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir() if path.is_dir()} if parent.is_dir() else set()


def _split_of(root: Path, split: str) -> list[str] | None:
    years = [root / "ImageSets" / year for year in ("2017", "2016", "480p")]
    there = [folder for folder in years if folder.is_dir()] or years
    with_it = [folder for folder in there if (folder / f"{split}.txt").exists()]
    return _list_of((with_it or there)[0] / f"{split}.txt", split)


def _list_of(path: Path, split: str) -> list[str] | None:
    if not split:
        return None
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        there = sorted(other.stem for other in path.parent.glob("*.txt"))
        raise broken(
            path,
            f"the list of the split '{split}' cannot be read.",
            f"Splits here: {', '.join(there) or 'none'}.",
        ) from error


def _differ(values: Array, palettes: Sequence[Array | None]) -> bool:
    """Whether a number has another colour in one map than in another."""
    seen: dict[int, tuple[int, ...]] = {}
    for value, palette in zip(values, palettes, strict=True):
        if palette is None:
            continue
        for number in np.unique(value):
            colour = tuple(int(part) for part in palette[number])
            if seen.setdefault(int(number), colour) != colour:
                return True
    return False


def _coloured(value: Array, palette: Array | None) -> Array:
    """Numbers of colours in place of a palette's: red + 256 green + 65536 blue."""
    if palette is None:
        return value
    return (palette.astype(np.int64) @ np.array([1, 256, 65536]))[value]
