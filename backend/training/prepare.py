"""What training needs of each clip and does not change: depth and control points, computed once."""

from __future__ import annotations

import concurrent.futures
import functools
import io
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from backend.control.levitor import points_from_masks
from backend.control_sources import ClipControl
from backend.datasets.base import Dataset, LabelledClip
from backend.datasets.clips import ClipPlace, clips_of, crop_to, without_small
from backend.datasets.recognise import open_dataset
from backend.geometry.lift import depth_from_disparity
from backend.perception.base import INPUT_SIZE, DepthModel
from backend.perception.registry import LoadedModels, depth_model
from backend.resources import Resources
from backend.training.shards import Manifest, Shard, digest, read_manifest, write_shard
from protocol.errors import ShotError

Array = npt.NDArray[Any]
OnShard = Callable[[Shard, int, int], None]
"""Called with (shard, clips that are done, clips in all) after each shard."""
NEAR, FAR = 2.0, 20.0
"""Range of a network's depth, scene units: what *Lift* takes too."""
EXACT_DEPTH = "the dataset's own"
IMPORTED_ONCE = [
    __name__,
    "sklearn.cluster",
    "transformers.models.depth_anything.modeling_depth_anything",
    "transformers.models.dinov2.modeling_dinov2",
]
"""What workers use, by module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """What decides the content of a sample.

    Attributes:
        split: of the dataset.
        length: frames of a clip.
        every: annotated frames from one frame of a clip to the next; 1 is all of them.
        step: annotated frames from one clip's first frame to the next one's.
        height: pixels.
        width: pixels.
        smallest: objects that never cover more than this share of a frame are left out.
        depth_model: as in ``perception.registry.depth_model``; unused where depth is exact.
        depth_size: shorter side of the picture that the network looks at, pixels.
        maps: whether ids and disparity are stored beside the points.
        frames: whether the frames are copied, as JPEG.
    """

    split: str = ""
    length: int = 16
    every: int = 1
    step: int = 16
    height: int = 288
    width: int = 512
    smallest: float = 0.001
    depth_model: str = "auto"
    depth_size: int = INPUT_SIZE
    maps: bool = False
    frames: bool = False

    @property
    def span(self) -> int:
        """Annotated frames from a clip's first to its last, both included."""
        return (self.length - 1) * self.every + 1


def prepare(
    source: Path,
    out: Path,
    options: PrepareOptions,
    resources: Resources,
    *,
    workers: int = 1,
    clips_per_shard: int = 64,
    on_shard: OnShard = lambda shard, done, total: None,
) -> Manifest:
    """Prepare all clips of a dataset; what is there already and undamaged stays.

    Shards are numbered and each is made by one process on one thread, so any number of workers
    gives the same files. A clip that cannot be prepared is listed with the reason, and the others
    go on; its shard is made again the next time.

    Args:
        source: the dataset's folder.
        out: the folder of shards and manifest; made where it is not there.
        options: what is stored.
        resources: where weights lie, and the device.
        workers: processes.
        clips_per_shard: of a tar file.
        on_shard: progress.

    Raises:
        ShotError: nothing is recognised, no depth network is there, or ``out`` holds clips that
            were prepared differently.
        ValueError: a number is below 1.
    """
    for name, value in (
        ("frames", options.length),
        ("every", options.every),
        ("step", options.step),
        ("clips a shard", clips_per_shard),
        ("workers", workers),
    ):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, got {value}")
    dataset = open_dataset(source, options.split)
    places, problems = clips_of(dataset, options.span, options.step)
    if not places:
        raise ShotError(
            "dataset",
            f"{source} gives no clip of {options.length} frames"
            + (f": {problems[0]}" if problems else "."),
            "levitor data check PATH says more; fewer --frames or a smaller --every make shorter "
            "clips.",
        )
    manifest = Manifest(
        source=str(source),
        format=dataset.format,
        options=asdict(options),
        depth_model=_depth_name(dataset, places[0], options, resources),
        clips_per_shard=clips_per_shard,
        total=len(places),
        problems=tuple(problems),
    )
    before = read_manifest(out)
    if before is not None:
        if changes := before.differences(manifest):
            raise ShotError(
                "manifest",
                f"{out} was prepared differently: {'; '.join(changes[:4])}.",
                "Prepare into another folder, or give the same options.",
            )
        manifest = replace(manifest, shards=_undamaged(out, before))
    parts = {
        f"{at // clips_per_shard:06}.tar": places[at : at + clips_per_shard]
        for at in range(0, len(places), clips_per_shard)
    }
    missing = {name: part for name, part in parts.items() if name not in manifest.shards}
    manifest.write(out)
    done = len(places) - sum(map(len, missing.values()))
    make = functools.partial(_shard, source, out, options)
    for shard in _made(make, missing, resources, workers):
        manifest = replace(manifest, shards={**manifest.shards, shard.name: shard})
        manifest.write(out)
        done += len(parts[shard.name])
        on_shard(shard, done, len(places))
    return manifest


def prepared_sample(
    clip: LabelledClip, options: PrepareOptions, depth: DepthModel | None
) -> dict[str, Any]:
    """What is stored of one clip, without where it is from.

    Control points follow the paper's rule for training: every object is one of the scene's (no
    object has the artist's three points at least), areas are taken over the whole clip.

    Raises:
        ShotError: no object is left, or there is no depth.
    """
    clip = cropped(clip, options)
    if clip.depth is None:
        clip = clip.with_depth(*_predicted(clip.frames, depth, options.depth_size))
    masks = ClipControl(clip.annotated()).masks()
    points = points_from_masks(masks, 0, masks.near, masks.far)
    rows = [(frame, *point) for frame, found in enumerate(points) for point in found]
    sample: dict[str, Any] = {
        "json": {"names": clip.names, "near": clip.near, "far": clip.far, "notes": clip.notes},
        "points.npy": np.array(rows, np.int16).reshape(-1, 5),
    }
    if options.maps:
        assert clip.depth is not None
        nearest, farthest = 1 / clip.near, 1 / clip.far
        disparity = (1 / clip.depth.astype(np.float64) - farthest) / (nearest - farthest)
        sample["ids.npy"] = clip.ids.astype(np.uint8)
        sample["disparity.npy"] = (disparity.clip(0, 1) * 255).round().astype(np.uint8)
    if options.frames:
        for index, frame in enumerate(clip.frames):
            sample[f"{index:02}.jpg"] = _jpeg(frame)
    return sample


def cropped(clip: LabelledClip, options: PrepareOptions) -> LabelledClip:
    """A clip of the size asked for, without small objects.

    Raises:
        ShotError: no object is left.
    """
    clip = without_small(crop_to(clip, options.height, options.width), options.smallest)
    if not clip.names:
        raise ShotError(
            "clip", "no object is large enough in it.", "Lower --smallest, or leave it out."
        )
    return clip


def _predicted(frames: Array, depth: DepthModel | None, size: int) -> tuple[Array, float, float]:
    if depth is None:
        raise ShotError(
            "weights",
            "the depth of these videos is not known, and no depth network is here.",
            "Run `levitor weights fetch depth-anything-v2-small`, or say where they lie with "
            "--weights depth-anything-v2-small=PATH.",
        )
    disparity = np.stack([depth.disparity(frame, size) for frame in frames])
    z = depth_from_disparity(torch.from_numpy(disparity), NEAR, FAR)
    return z.numpy(), NEAR, FAR


def _depth_name(
    dataset: Dataset, place: ClipPlace, options: PrepareOptions, resources: Resources
) -> str:
    """What makes the depth, with its weights' fingerprint; asked before hours of work begin."""
    try:
        if dataset.read(place.video, place.start, 1).depth is not None:
            return EXACT_DEPTH
    except ShotError:
        pass  # this clip will be listed; the others may be whole
    found = depth_model(options.depth_model, resources, LoadedModels()).model
    if found is None:
        _predicted(np.empty(0), None, options.depth_size)
    assert found is not None
    return f"{found.name} {found.fingerprint[:16]}"


def _undamaged(out: Path, before: Manifest) -> dict[str, Shard]:
    return {
        name: shard
        for name, shard in before.shards.items()
        if not shard.failures and digest(out / name) == shard.sha256
    }


def _made(
    make: Callable[[str, Sequence[ClipPlace], Resources], Shard],
    parts: Mapping[str, Sequence[ClipPlace]],
    resources: Resources,
    workers: int,
) -> Iterable[Shard]:
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a worker: more threads sum in another order
        try:
            for name, part in parts.items():
                yield make(name, part, resources)
        finally:
            torch.set_num_threads(threads)
        return
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=_context(), initializer=_one_thread
    ) as pool:
        waiting = [pool.submit(make, name, part, resources) for name, part in parts.items()]
        try:
            for each in concurrent.futures.as_completed(waiting):
                yield each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _context() -> BaseContext:
    """How workers begin: not as a fork of this process, whose CUDA and OpenMP neither survives.

    They are forks of one that has imported what they need and done nothing yet, so that many begin
    as quickly as one and share that memory.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED_ONCE)
    return context


def _one_thread() -> None:
    torch.set_num_threads(1)


_models = functools.cache(LoadedModels)
"""The models of this process: a worker makes many shards."""


def _shard(
    source: Path,
    out: Path,
    options: PrepareOptions,
    name: str,
    places: Sequence[ClipPlace],
    resources: Resources,
) -> Shard:
    dataset = open_dataset(source, options.split)
    samples: list[tuple[str, dict[str, Any]]] = []
    failures, notes, videos = list[str](), list[str](), Counter[str]()
    for index, place in enumerate(places):
        where = f"{place.video}, frame {place.start}"
        try:
            clip = dataset.read(place.video, place.start, options.length, options.every)
            depth = None
            if clip.depth is None:
                depth = depth_model(options.depth_model, resources, _models()).model
            sample = prepared_sample(clip, options, depth)
        except ShotError as error:
            failures.append(f"{where}: {error}")
            continue
        notes += [f"{where}: {note}" for note in clip.notes]
        sample["json"] |= {"video": place.video, "start": place.start}
        samples.append((f"{Path(name).stem}{index:04}", sample))
        videos[place.video] += 1
    sha256 = write_shard(out / name, samples)
    return Shard(
        name=name,
        clips=len(samples),
        sha256=sha256,
        failures=tuple(failures),
        notes=tuple(notes),
        videos=dict(videos),
    )


def _jpeg(frame: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
