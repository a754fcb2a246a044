"""Examples of clips that were prepared, or of a dataset whose depth is exact; shuffled, endless.

Whole videos are held back for samples (``order``).
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.contracts import MaskSequence
from backend.control.levitor import ALPHA, K_MAX, Point, points_from_masks
from backend.datasets.base import Dataset, LabelledClip
from backend.datasets.clips import clips_of, crop_to
from backend.datasets.pictures import decode_planes
from backend.datasets.recognise import open_dataset
from backend.datasets.shots import Shots
from backend.resources import is_out_of_memory
from backend.training.base import Example, Examples
from backend.training.examples import ControlOptions, control_maps, example_of
from backend.training.order import ClipOrder
from backend.training.prepare import PrepareOptions, cropped
from backend.training.shards import MANIFEST, read_manifest, read_sample, sample_spans
from protocol.errors import ShotError

log = logging.getLogger(__name__)


class PreparedExamples:
    """Clips that ``levitor prepare`` made, shuffled, endless.

    Frames are the copied ones, or where there are none the source's, cut as they were prepared.
    A clip that cannot be read is one that the loop leaves out.

    Args:
        folder: of the shards and the manifest.
        control: how the signal is drawn.
        size: (height, width) that the clips must have; None takes them as they are.
        seed: of the order.
        source: where the dataset lies now, if it was moved since.

    Raises:
        ShotError: nothing was prepared there, or not as it is needed here, or the source is not
            where it was.
    """

    def __init__(
        self,
        folder: Path,
        control: ControlOptions,
        size: tuple[int, int] | None = None,
        *,
        seed: int = 0,
        source: Path | None = None,
    ) -> None:
        manifest = read_manifest(folder)
        if manifest is None:
            raise ShotError(
                "manifest",
                f"{folder} holds no prepared clips.",
                f"Run levitor prepare DATASET -o {folder}.",
            )
        self._folder, self._control = folder, control
        try:
            self._options = PrepareOptions(**manifest.options)
        except TypeError as error:
            raise ShotError(
                "manifest",
                f"{folder} was prepared with options that are not known here ({error}).",
                "Prepare into another folder.",
            ) from error
        self._source = source or Path(manifest.source)
        shards = sorted((shard.name, shard.clips) for shard in manifest.shards.values())
        self._names = [name for name, clips in shards if clips]
        self._ends = list(accumulate(clips for _, clips in shards if clips))
        self._check(size)
        self._order = ClipOrder(
            [
                video
                for _, shard in sorted(manifest.shards.items())
                for video, clips in shard.videos.items()
                for _ in range(clips)
            ],
            seed,
        )
        log.info("%s", self._order.told)
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._dataset: Dataset | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what a process finds by itself."""
        return {**self.__dict__, "_spans": {}, "_dataset": None}

    @property
    def clips(self) -> int:
        """Of an epoch."""
        return len(self._order.learned)

    def __getitem__(self, number: int) -> Example:
        """Read it."""
        name, sample = self._sample(self._order.clip(number))
        height, width = self._options.height, self._options.width
        try:
            said = sample["json"]
            points = self._points(sample, said)
            maps = control_maps(points, height, width, self._control)
            video, start = str(said["video"]), int(said["start"])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ShotError(
                "shard",
                f"a sample of {self._folder / name} is not whole ({error!r:.200}).",
                "Run levitor prepare again, into another folder.",
            ) from error
        frames = self._copied(sample, name) if self._options.frames else self._read(video, start)
        return Example(number=number, frames=frames, maps=maps)

    def _check(self, size: tuple[int, int] | None) -> None:
        again = f"Run levitor prepare {self._source} again, into another folder,"
        own, options = (self._options.height, self._options.width), self._options
        if not self._ends:
            raise ShotError("clip", f"{self._folder} holds no clip.", "Prepare one that can be.")
        if size is not None and size != own:
            raise ShotError(
                "size",
                f"the clips in {self._folder} have {own[1]} x {own[0]} pixels, the run wants "
                f"{size[1]} x {size[0]}.",
                f"{again} with --size {size[1]}x{size[0]}.",
            )
        if self._clusters and not options.maps:
            raise ShotError(
                "clip",
                f"the points in {self._folder} are the paper's, and the masks that others would be "
                "made from were not stored.",
                f"{again} with --maps.",
            )
        if not options.frames and not self._source.is_dir():
            raise ShotError(
                "dataset",
                f"the frames of {self._folder} are in {self._source}, and there is no such folder.",
                "Say where the dataset lies now, or prepare with --copy-frames.",
            )

    @property
    def _clusters(self) -> bool:
        """Whether the points that were stored are not those asked for."""
        return (self._control.alpha, self._control.most_points) != (ALPHA, K_MAX)

    def _sample(self, clip: int) -> tuple[str, dict[str, Any]]:
        shard = bisect_right(self._ends, clip)
        name, first = self._names[shard], ([0, *self._ends])[shard]
        path = self._folder / name
        if name not in self._spans:
            spans = sample_spans(path)
            if len(spans) != self._ends[shard] - first:
                raise ShotError(
                    "shard",
                    f"{path} holds {len(spans)} clips, its manifest says "
                    f"{self._ends[shard] - first}.",
                    "Run levitor prepare again: it makes anew what is damaged.",
                )
            self._spans[name] = spans
        return name, read_sample(path, self._spans[name][clip - first])

    def _points(self, sample: dict[str, Any], said: dict[str, Any]) -> list[list[Point]]:
        length = self._options.length
        if self._clusters:
            nearest, farthest = 1 / float(said["near"]), 1 / float(said["far"])
            share = torch.from_numpy(sample["disparity.npy"]).double() / 255
            masks = MaskSequence(
                instance=torch.from_numpy(sample["ids.npy"].astype(np.int32)),
                depth=1 / (farthest + share * (nearest - farthest)),
            )
            control = self._control
            return points_from_masks(
                masks,
                0,
                1 / nearest,
                1 / farthest,
                alpha=control.alpha,
                k_max=control.most_points,
            )
        points: list[list[Point]] = [[] for _ in range(length)]
        for frame, row, column, item, depth in sample["points.npy"].tolist():
            points[frame].append((row, column, item, depth))
        return points

    def _copied(self, sample: dict[str, Any], name: str) -> Tensor:
        where = f"a frame in {self._folder / name}"
        options = self._options
        frames = np.empty((options.length, 3, options.height, options.width), np.uint8)
        for index, frame in enumerate(frames):
            planes = decode_planes(sample.get(f"{index:02}.jpg", b""), where)
            if planes.shape != frame.shape:
                raise ShotError(
                    "shard",
                    f"{where} has {planes.shape[2]} x {planes.shape[1]} pixels.",
                    "Run levitor prepare again, into another folder.",
                )
            frame[:] = planes
        return torch.from_numpy(frames).float().div_(255)

    def _read(self, video: str, start: int) -> Tensor:
        options = self._options
        if self._dataset is None:
            self._dataset = open_dataset(self._source, options.split)
        clip = crop_to(
            _read_clip(self._dataset, video, start, options), options.height, options.width
        )
        return torch.from_numpy(clip.frames).movedim(-1, 1).float().div_(255)


class DatasetExamples:
    """Clips of a dataset whose depth is exact, such as a folder of our shots, shuffled, endless.

    Args:
        source: the dataset's folder.
        control: how the signal is made.
        options: which clips, and their size; those of the depth network are not looked at.
        seed: of the order.

    Raises:
        ShotError: nothing is recognised, or it gives no clip.
    """

    def __init__(
        self, source: Path, control: ControlOptions, options: PrepareOptions, *, seed: int = 0
    ) -> None:
        self._dataset = open_dataset(source, options.split)
        self._control, self._options = control, options
        self._places, problems = clips_of(self._dataset, options.span, options.step)
        if not self._places:
            raise ShotError(
                "dataset",
                f"{source} gives no clip of {options.length} frames"
                + (f": {problems[0]}" if problems else "."),
                "levitor data check PATH says more.",
            )
        self._order = ClipOrder([place.video for place in self._places], seed)
        log.info("%s", self._order.told)

    @property
    def clips(self) -> int:
        """Of an epoch."""
        return len(self._order.learned)

    def __getitem__(self, number: int) -> Example:
        """Read it."""
        place = self._places[self._order.clip(number)]
        clip = cropped(
            _read_clip(self._dataset, place.video, place.start, self._options), self._options
        )
        if clip.depth is None:
            raise ShotError(
                "clip",
                f"{place.video}: the depth of its frames is not known.",
                "Run levitor prepare first, and train on what it makes.",
            )
        return example_of(clip, self._control, number)


def examples_in(
    folder: Path,
    control: ControlOptions,
    size: tuple[int, int] | None = None,
    *,
    seed: int = 0,
    source: Path | None = None,
) -> Examples:
    """Examples of prepared clips, or of a dataset whose depth is exact: whichever is there.

    Args:
        folder: of the shards and the manifest, or of the dataset, such as ``.shot`` files.
        control: how the signal is made.
        size: (height, width) of the clips: prepared ones must have it, a dataset's are cut to it;
            None takes prepared ones as they are.
        seed: of the order.
        source: as for :class:`PreparedExamples`.

    Raises:
        ShotError: as of :class:`PreparedExamples` and :class:`DatasetExamples`.
    """
    if (folder / MANIFEST).exists() or not Shots.recognises(folder):
        return PreparedExamples(folder, control, size, seed=seed, source=source)
    options = PrepareOptions()
    if size is not None:
        options = replace(options, height=size[0], width=size[1])
    return DatasetExamples(folder, control, options, seed=seed)


def _read_clip(dataset: Dataset, video: str, start: int, options: PrepareOptions) -> LabelledClip:
    try:
        clip = dataset.read(video, start, options.length, options.every)
    except (KeyError, OSError) as error:  # a reader knows its videos by a table
        if is_out_of_memory(error):
            raise
        raise ShotError(
            "dataset",
            f"the video {video} is not there as it was ({error!r:.200}).",
            "Fetch it again, or prepare again.",
        ) from error
    if len(clip.frames) != options.length:
        raise ShotError(
            "dataset",
            f"{video}: {len(clip.frames)} frames were read instead of {options.length}.",
            "Fetch it again.",
        )
    return clip
