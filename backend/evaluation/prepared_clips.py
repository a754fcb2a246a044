"""Clips of a dataset with the points that videos are compared by, made by `evaluate prepare`.

A folder holds ``manifest.json`` (how it was prepared), ``clips/NAME.npz`` (a clip's points, where
they go in the real video, and what it looks like when small), and ``prepared.json`` (how many clips
there are, and why others are not). Frames and masks stay in the dataset and are read from there;
masks are known again by a hash.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from backend.datasets.base import Dataset, LabelledClip
from backend.datasets.clips import crop_to, without_small
from backend.datasets.recognise import open_dataset
from protocol.errors import ShotError

Array = npt.NDArray[Any]
VERSION = 1
MANIFEST, CLIPS, ENDING = "manifest.json", "clips", ".npz"
REPORT = "prepared.json"
SMALL = 8
"""Sides of a frame by which it is known again."""
TOLERANCE = 8
"""Of 255, by which small frames may differ: another processor decodes and scales otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """How clips were prepared.

    Attributes:
        format_version: of the folder.
        dataset: the format that was recognised.
        source: the dataset's folder.
        split: of it.
        frames: of a clip.
        every: annotated frames from one frame of a clip to the next.
        step: from one clip's first annotated frame to the next one's.
        height: pixels.
        width: pixels.
        fps: frames a second; 0 where the dataset does not say.
        smallest: objects that never cover more than this share of a frame are left out.
        points: ``single``, ``multi`` or ``circle``.
        rule: where they are.
        tracker: what followed them, with the checksum of its weights.
        seed: nothing is drawn here, and it is 0.
    """

    dataset: str
    source: str
    split: str
    frames: int
    every: int
    step: int
    height: int
    width: int
    fps: float
    smallest: float
    points: str
    rule: str
    tracker: str
    seed: int = 0
    format_version: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedClip:
    """A clip and its points.

    Attributes:
        name: of it and, but for the ending, of its videos.
        frames: uint8 ``(F, H, W, 3)``.
        ids: uint8 ``(F, H, W)``; 0 is the background.
        tracks: float32 ``(F, N, 2)`` pixels; where a point is lost, its last position.
        visible: bool ``(F, N)``, whether the tracker sees the point, and it is in the picture.
        instances: int ``(N,)``, what each point is on; 0 is the background.
        depth: float32 ``(F, H, W)`` where the dataset's is exact, else None.
        near: z of disparity 255, where there is depth.
        far: z of disparity 0, likewise.
    """

    name: str
    frames: Array
    ids: Array
    tracks: Array
    visible: Array
    instances: Array
    depth: Array | None = None
    near: float = 0.0
    far: float = 0.0


class PreparedClips:
    """The clips of a folder; can be sent to another process.

    Args:
        folder: of the manifest.
        manifest: what it says.
        source: where the dataset lies now.
    """

    def __init__(self, folder: Path, manifest: Manifest, source: Path) -> None:
        self.manifest = manifest
        self._folder, self._source = folder, source
        self.names = prepared_names(folder)

    def __getstate__(self) -> dict[str, Any]:
        """Without the dataset, which a process opens by itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_dataset"}

    @classmethod
    def open(cls, folder: Path, source: Path | None = None) -> PreparedClips:
        """What was prepared in a folder.

        Args:
            folder: of the manifest.
            source: where the dataset lies now, if it was moved since.

        Raises:
            ShotError: nothing was prepared there, by another version, or the dataset is gone.
        """
        manifest = read_manifest(folder)
        if manifest is None:
            raise ShotError(
                "evaluation_sets",
                f"{folder} holds no prepared clips.",
                f"Run levitor evaluate prepare DATASET -o {folder}.",
            )
        source = source or Path(manifest.source)
        if not source.is_dir():
            raise ShotError(
                "evaluation_sets",
                f"The frames of {folder} are in {source}, and there is no such folder.",
                "Put the dataset back there, or prepare again.",
            )
        found = cls(folder, manifest, source)
        if not found.names:
            raise ShotError(
                "evaluation_sets", f"{folder} holds no clip.", "Prepare until there are some."
            )
        return found

    def clip(self, name: str) -> PreparedClip:
        """Read one.

        Raises:
            ShotError: its points or its frames cannot be read.
        """
        path = clip_path(self._folder, name)
        try:
            with np.load(path, allow_pickle=False) as stored:
                video, start = str(stored["video"]), int(stored["start"])
                tracks, visible = stored["tracks"], stored["visible"]
                instances, looks = stored["instances"], stored["looks"]
                masks = str(stored["masks"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ShotError(
                "evaluation_sets",
                f"{path} cannot be read ({error!s:.120}).",
                "Delete it and prepare again.",
            ) from error
        clip = read_labelled(self._dataset, self.manifest, video, start)
        off = np.abs(looks_of(clip.frames).astype(int) - looks)
        other_masks = masks_hash(clip.ids) != masks
        if other_masks or off.max(initial=0) > TOLERANCE:
            raise ShotError(
                "evaluation_sets",
                f"The {'masks' if other_masks else 'frames'} of '{name}' are not those that were "
                f"prepared: {video} has changed.",
                "Put the dataset back as it was, or prepare into another folder.",
            )
        return PreparedClip(
            name=name,
            frames=clip.frames,
            ids=clip.ids.astype(np.uint8),
            tracks=tracks,
            visible=visible,
            instances=instances,
            depth=clip.depth,
            near=clip.near,
            far=clip.far,
        )

    def fingerprint(self, name: str) -> str:
        """A hash of a clip's points and of what tells its frames and masks from others.

        Raises:
            ShotError: it is not there any more.
        """
        path = clip_path(self._folder, name)
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ShotError(
                "evaluation_sets", f"{path} cannot be read ({error!s:.120}).", "Prepare again."
            ) from error

    @property
    def notes(self) -> tuple[str, ...]:
        """Which clips of the dataset are not among these, in a sentence."""
        path = self._folder / REPORT
        try:
            said: dict[str, Any] = json.loads(path.read_bytes())
            wanted, left_out = int(said["wanted"]), list(said["left_out"])
        except FileNotFoundError:
            return (f"{self._folder} was not prepared to the end: it has {len(self.names)} clips.",)
        except (ValueError, KeyError, TypeError) as error:
            return (f"{path} cannot be read ({error!s:.80}): clips may be missing.",)
        if len(self.names) >= wanted:
            return ()
        first = f", the first because {left_out[0]}" if left_out else ""
        return (f"{len(self.names)} of {wanted} clips could be prepared{first}",)

    @cached_property
    def _dataset(self) -> Dataset:
        return open_dataset(self._source, self.manifest.split)


def read_manifest(folder: Path) -> Manifest | None:
    """What was prepared in a folder; None if nothing was.

    Raises:
        ShotError: the manifest cannot be read, or is of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        version = content.get("format_version")
        if version == VERSION:
            return Manifest(**content)
    except (ValueError, TypeError, AttributeError) as error:
        raise ShotError(
            "evaluation_sets", f"{path} cannot be read ({error!s:.120}).", "Prepare again."
        ) from error
    raise ShotError(
        "evaluation_sets",
        f"{path} is of version {version!r:.20}; this program reads {VERSION}.",
        "Prepare again, into another folder.",
    )


def looks_of(frames: Array) -> Array:
    """Uint8 ``(F, 8, 8, 3)``: frames ``(F, H, W, 3)``, averaged."""
    small = [cv2.resize(one, (SMALL, SMALL), interpolation=cv2.INTER_AREA) for one in frames]
    return np.stack(small)


def masks_hash(ids: Array) -> str:
    """Of ids ``(F, H, W)``, by their bytes as uint8."""
    return hashlib.sha256(np.ascontiguousarray(ids.astype(np.uint8)).tobytes()).hexdigest()


def manifest_values(manifest: Manifest) -> dict[str, Any]:
    """As JSON has it."""
    return asdict(manifest)


def prepared_names(folder: Path) -> tuple[str, ...]:
    """Clips that are there."""
    below = folder / CLIPS
    found = (path.relative_to(below) for path in below.rglob(f"*{ENDING}"))
    return tuple(sorted(str(path.with_suffix("")) for path in found if path.name[0] != "."))


def clip_path(folder: Path, name: str) -> Path:
    """The file of a clip's points."""
    return folder / CLIPS / f"{name}{ENDING}"


def read_labelled(dataset: Dataset, manifest: Manifest, video: str, start: int) -> LabelledClip:
    """A clip's frames and masks in the prepared size, without small objects.

    Raises:
        ShotError: they cannot be read, or are not there as they were.
    """
    try:
        clip = dataset.read(video, start, manifest.frames, manifest.every)
    except (KeyError, OSError) as error:  # a reader knows its videos by a table
        raise ShotError(
            "dataset",
            f"the video {video} is not there as it was ({error!r:.160}).",
            "Fetch it again, or prepare again.",
        ) from error
    return without_small(crop_to(clip, manifest.height, manifest.width), manifest.smallest)
