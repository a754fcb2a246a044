"""Features of frames and videos, of which the Frechet distance makes FID and FVD.

An extractor is given pictures in [0, 1] and does its own resizing and scaling, so that the one
thing that differs between published numbers stands in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from backend.evaluation.feature_file import FeatureFile
from backend.evaluation.frechet import GaussianStatistics, frechet_distance
from backend.evaluation.intervals import (
    RESAMPLES,
    Interval,
    bootstrap_frechet,
    resamples_within_reason,
)
from backend.evaluation.weights_file import checksum, existing, optional_module, torchscript
from backend.resources import is_out_of_memory
from protocol.errors import ShotError

INCEPTION = (
    "inception-2015-12-05.pt (TorchScript, of NVIDIA's StyleGAN), or "
    "weights-inception-2015-12-05-6726825d.pth (of toshas/torch-fidelity)"
)
I3D = "i3d_torchscript.pt (TorchScript, of VideoGPT and StyleGAN-V; flateon/FVD-I3D-torchscript)"
VIDEO_FRAMES = 10
"""I3D's pooling takes at least so many."""
PICTURES = {"frames": 64, "clips": 8}
"""A batch on a device; halved for as long as it does not fit."""


class Extractor(Protocol):
    """A network that turns pictures into rows of features.

    Attributes:
        name: for reports.
        source: which weights, with their checksum.
        kind: whether a sample is a frame or a clip.
        least: frames that a clip has at least.
    """

    name: str
    source: str
    kind: Literal["frames", "clips"]
    least: int

    def __call__(self, pictures: Tensor) -> Tensor:
        """``(B, D)`` of ``(B, 3, H, W)`` frames or ``(B, F, 3, H, W)`` clips in [0, 1]."""
        ...


class RandomProjection:
    """Pictures shrunk and multiplied by a random matrix: for tests, and says nothing of quality.

    Args:
        kind: of a sample.
        size: D.
        seed: of the matrix.
    """

    def __init__(
        self, kind: Literal["frames", "clips"] = "frames", size: int = 32, seed: int = 0
    ) -> None:
        self.name, self.source = "random projection", f"seed {seed}"
        self.kind: Literal["frames", "clips"] = kind
        self.least = 1
        self._size, self._seed, self._side = size, seed, 8

    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol says."""
        small = F.adaptive_avg_pool2d(pictures.flatten(0, -4), self._side)
        rows = small.reshape(len(pictures), -1).double()
        generator = Generator().manual_seed(self._seed)
        matrix = torch.randn(rows.shape[1], self._size, generator=generator, dtype=torch.float64)
        return rows @ matrix.to(rows) / rows.shape[1] ** 0.5


class Inception:
    """Inception-v3's 2048 pool features of frames, with the FID weights of 2015-12-05.

    Source: Heusel et al. 2017; the port of TensorFlow's network by the file's author, which
    resizes frames to 299 x 299 itself.

    Args:
        path: TorchScript that takes uint8 and ``return_features``, or torch-fidelity's state
            dictionary where that package is installed.
        device: of the network.

    Raises:
        ShotError: there is no such file, or it is another one.
    """

    def __init__(self, path: Path | None, device: str = "cpu") -> None:
        path = existing(path, "FID", INCEPTION, "--inception")
        self.name, self.source = "Inception-v3", f"{path.name}, sha256 {checksum(path)}"
        self.kind: Literal["frames", "clips"] = "frames"
        self.least = 1
        self._device = device
        if path.suffix == ".pth":
            fidelity = optional_module(
                "torch_fidelity.feature_extractor_inceptionv3", f"FID with {path.name}"
            )
            network = fidelity.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
            self._network = network.to(device).eval()
            self._options: dict[str, Any] = {}
        else:
            self._network = torchscript(path, device)
            self._options = {"return_features": True}

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol says."""
        pixels = (pictures.clamp(0, 1) * 255).round().to(self._device, torch.uint8)
        found = self._network(pixels, **self._options)
        return _rows(found[0] if isinstance(found, tuple) else found, len(pictures), self.source)


class I3D400:
    """I3D's 400 logits of clips, trained on Kinetics-400.

    Source: Carreira and Zisserman 2017; Unterthiner et al. 2018. Frames are resized bilinearly to
    224 x 224, values to [-1, 1].

    Args:
        path: TorchScript that takes ``(B, 3, F, H, W)``, ``rescale``, ``resize`` and
            ``return_features``.
        device: of the network.
        through_256: resize to 256 x 256 first, as SG-I2V does.

    Raises:
        ShotError: there is no such file, or it is another one.
    """

    def __init__(
        self, path: Path | None, device: str = "cpu", *, through_256: bool = False
    ) -> None:
        path = existing(path, "FVD", I3D, "--i3d")
        variant = "256, then 224" if through_256 else "224"
        self.name = f"I3D, frames resized to {variant}"
        self.source = f"{path.name}, sha256 {checksum(path)}"
        self.kind: Literal["frames", "clips"] = "clips"
        self.least = VIDEO_FRAMES
        self._device, self._sides = device, (256, 224) if through_256 else (224,)
        self._network = torchscript(path, device)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol says."""
        batch, frames = pictures.shape[:2]
        small = pictures.flatten(0, 1).to(self._device, torch.float32)
        for side in self._sides:
            small = F.interpolate(small, (side, side), mode="bilinear", align_corners=False)
        clips = small.reshape(batch, frames, *small.shape[1:]).movedim(2, 1) * 2 - 1
        found = self._network(clips, rescale=False, resize=False, return_features=True)
        return _rows(found, batch, self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """FID or FVD with what has to be printed beside it.

    Attributes:
        value: the distance, with its interval over clips.
        samples: frames or clips of each set.
        kind: which of them.
        extractor: its name and weights.
        notes: what is to be kept in mind.
    """

    value: Interval
    samples: int
    kind: Literal["frames", "clips"]
    extractor: str
    notes: tuple[str, ...] = ()


class ClipDistance:
    """The Frechet distance of real clips and those made from them, a pair at a time.

    Memory does not grow with the clips: means and covariances are streamed, and features, of which
    the interval resamples clips, lie on the disk once they are many.

    Args:
        extractor: of the features.
        batch: frames or clips at once, to begin with; by default what fits.

    Raises:
        ShotError: of :meth:`add` and :meth:`distance`: clips differ in length or size, are too
            short, or too few.
    """

    def __init__(self, extractor: Extractor, batch: int | None = None) -> None:
        self._extractor = extractor
        self._sides = [_Side(extractor, batch) for _ in range(2)]
        self._shape: tuple[int, ...] = ()
        self._clips = 0

    def add(self, real: Tensor, generated: Tensor) -> None:
        """Take in ``(F, 3, H, W)`` in [0, 1] each."""
        for name, clip in (("real", real), ("generated", generated)):
            shape = tuple(clip.shape)
            self._shape = self._shape or shape
            if shape != self._shape:
                raise _refusal(
                    f"The {name} clip {self._clips} is {_said(shape)}, the first one "
                    f"{_said(self._shape)}."
                )
            if len(clip) < self._extractor.least:
                raise _refusal(
                    f"{self._extractor.name} takes clips of {self._extractor.least} frames and "
                    f"more, got {len(clip)}."
                )
        for side, clip in zip(self._sides, (real, generated), strict=True):
            side.add(clip)
        self._clips += 1  # only now, so that a sentence's number is the clip's

    def distance(self) -> Distance:
        """Of all that were added."""
        for side in self._sides:
            side.finish()
        kind = self._extractor.kind
        samples = self._sides[0].statistics.count
        if samples < 2:
            raise _refusal(f"A distance takes at least 2 {kind}, got {samples}.")
        gaussians = [part for side in self._sides for part in side.statistics.gaussian()]
        size = len(gaussians[0])
        notes: list[str] = []
        if samples <= size:
            notes.append(
                f"{samples} {kind} for {size} features: the covariance is singular, and the "
                "distance compares only with others of as many."
            )
        resamples = resamples_within_reason(samples, size)
        if resamples < RESAMPLES:
            notes.append(f"the interval is of {resamples} resamples, not {RESAMPLES}.")
        each = samples // self._clips
        real, generated = (side.kept.clips(each) for side in self._sides)
        interval = bootstrap_frechet(real, generated)
        return Distance(
            value=interval._replace(mean=frechet_distance(*gaussians)),
            samples=samples,
            kind=kind,
            extractor=f"{self._extractor.name} ({self._extractor.source})",
            notes=tuple(notes),
        )


class BatchedFeatures:
    """Features of clips in batches of a size that the device holds.

    Args:
        extractor: of the features.
        batch: frames or clips at once, to begin with; halved for as long as it does not fit.
    """

    def __init__(self, extractor: Extractor, batch: int | None = None) -> None:
        self._extractor = extractor
        self.batch = batch or PICTURES[extractor.kind]
        self._waiting: list[Tensor] = []

    def __call__(self, clips: Iterable[Tensor]) -> Iterator[Tensor]:
        """Rows of features in the clips' order; no more than a batch is held."""
        for clip in clips:
            if len(clip) < self._extractor.least:
                raise _refusal(
                    f"{self._extractor.name} takes clips of {self._extractor.least} frames and "
                    f"more, got {len(clip)}."
                )
            yield from self.add(clip)
        yield from self.rest()

    def add(self, clip: Tensor) -> Iterator[Tensor]:
        """Rows of what has become a whole batch with this clip."""
        self._waiting += [clip] if self._extractor.kind == "clips" else list(clip)
        while len(self._waiting) >= self.batch:
            taken = self.batch
            yield self._features(self._waiting[:taken])
            self._waiting = self._waiting[taken:]

    def rest(self) -> Iterator[Tensor]:
        """Rows of the last batch, which counts too, whatever its size."""
        if self._waiting:
            yield self._features(self._waiting)
        self._waiting = []

    def _features(self, pictures: list[Tensor]) -> Tensor:
        rows: list[Tensor] = []
        done = 0
        while done < len(pictures):
            part = pictures[done : done + self.batch]
            try:
                rows.append(self._extractor(torch.stack(part)).detach().cpu().double())
            except RuntimeError as error:
                if self.batch == 1 or not is_out_of_memory(error):
                    raise
                self.batch //= 2
                continue
            done += len(part)
        return torch.cat(rows)


class _Side:
    """Statistics and features of one of the two sets."""

    def __init__(self, extractor: Extractor, batch: int | None) -> None:
        self._features = BatchedFeatures(extractor, batch)
        self.statistics, self.kept = GaussianStatistics(), FeatureFile()

    def add(self, clip: Tensor) -> None:
        self._take(self._features.add(clip))

    def finish(self) -> None:
        self._take(self._features.rest())

    def _take(self, found: Iterator[Tensor]) -> None:
        for rows in found:
            try:
                self.statistics.add(rows)
            except ValueError as error:
                raise _refusal(f"The network gives what is no number: {error}.") from error
            self.kept.add(rows)


def _said(shape: tuple[int, ...]) -> str:
    if len(shape) != 4:
        return "none"
    return f"{shape[0]} frames of {shape[3]} x {shape[2]}"


def _refusal(sentence: str) -> ShotError:
    return ShotError(
        "evaluation_sets", sentence, "Score the same clips, cut to one length and size."
    )


def _rows(found: Tensor, count: int, source: str) -> Tensor:
    """``(B, D)``, or a sentence about the file that gives something else."""
    rows = found.flatten(1) if isinstance(found, Tensor) and found.ndim > 1 else found
    if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != count:
        raise ShotError(
            "evaluation_weights",
            f"The network of {source} gives no features of {count} samples.",
            "Name the file as it was published.",
        )
    return rows
