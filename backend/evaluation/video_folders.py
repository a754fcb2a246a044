"""Folders of videos of any system, scored against the real ones: a video's name says whose it is.

The rule: below its folder a generated video has the path of the real one, but for the ending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.evaluation.features import Distance, Extractor, clip_distance
from backend.evaluation.intervals import Interval, bootstrap_interval
from backend.evaluation.lpips import LPIPS
from backend.evaluation.metrics import psnr, ssim
from backend.pixels import image_from_pixels
from protocol.errors import ShotError

ENDINGS = frozenset({".avi", ".gif", ".mkv", ".mov", ".mp4", ".webm"})
SHOWN = 3
"""Names of videos in a sentence."""
OnClip = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPairs:
    """Real videos and those that were generated for them.

    Attributes:
        names: in order.
        real: by name.
        generated: by name.
        size: (height, width) that all are resized to; None for their own, which must be one.
    """

    names: tuple[str, ...]
    real: dict[str, Path]
    generated: dict[str, Path]
    size: tuple[int, int] | None = None

    def clips(self, paths: dict[str, Path], on_clip: OnClip, what: str) -> Iterator[Tensor]:
        """``(F, 3, H, W)`` of one side, one at a time."""
        for done, name in enumerate(self.names, 1):
            yield read_clip(paths[name], self.size)
            on_clip(what, done, len(self.names))


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScore:
    """Metrics of a folder of videos.

    Attributes:
        means: by metric, over clips.
        distances: FID and FVD, where their networks were given.
        clips: by metric, one value a clip in the order of the names.
    """

    means: dict[str, Interval]
    distances: dict[str, Distance]
    clips: dict[str, list[float]]


def pair_videos(real: Path, generated: Path, size: tuple[int, int] | None = None) -> VideoPairs:
    """The videos of two folders by name.

    Raises:
        ShotError: a folder has none, two of one name, or the two do not have the same names.
    """
    ours, theirs = videos_in(real), videos_in(generated)
    for folder, missing in ((generated, ours.keys() - theirs), (real, theirs.keys() - ours)):
        if missing:
            shown = ", ".join(sorted(missing)[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise ShotError(
                "evaluation_sets",
                f"{folder} has no video for {len(missing)} of {len(ours.keys() | theirs)} names: "
                f"{shown}.",
                "Every real video has one generated of the same name.",
            )
    return VideoPairs(names=tuple(sorted(ours)), real=ours, generated=theirs, size=size)


def score_videos(
    pairs: VideoPairs,
    inception: Extractor | None = None,
    i3d: Extractor | None = None,
    lpips: LPIPS | None = None,
    on_clip: OnClip = lambda what, done, total: None,
) -> FolderScore:
    """SSIM and PSNR of every pair, and what the networks that were given measure.

    Raises:
        ShotError: a video cannot be read, or two that belong together differ in length or size.
    """
    clips: dict[str, list[float]] = {"SSIM": [], "PSNR": []}
    if lpips is not None:
        clips["LPIPS"] = []
    real = pairs.clips(pairs.real, lambda *step: None, "")
    generated = pairs.clips(pairs.generated, on_clip, "compare")
    for name, ours, theirs in zip(pairs.names, real, generated, strict=True):
        if ours.shape != theirs.shape:
            raise ShotError(
                "evaluation_sets",
                f"'{name}' has {_said(ours)} and, generated, {_said(theirs)}.",
                "Cut both to one length; --size resizes both.",
            )
        clips["SSIM"].append(ssim(ours, theirs))
        clips["PSNR"].append(psnr(ours, theirs))
        if lpips is not None:
            clips["LPIPS"].append(lpips(ours, theirs))
    distances: dict[str, Distance] = {}
    for metric, extractor in (("FID", inception), ("FVD", i3d)):
        if extractor is not None:
            distances[metric] = clip_distance(
                extractor,
                pairs.clips(pairs.real, on_clip, f"{metric}, real"),
                pairs.clips(pairs.generated, on_clip, metric),
            )
    return FolderScore(
        means={metric: bootstrap_interval(_finite(values)) for metric, values in clips.items()},
        distances=distances,
        clips=clips,
    )


def read_clip(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """``(F, 3, H, W)`` in [0, 1], all of a video's frames.

    Args:
        path: of the video.
        size: (height, width) to resize to.

    Raises:
        ShotError: it cannot be read, or changes its size.
    """
    frames: list[Tensor] = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(container.streams.video[0]):
                picture = image_from_pixels(frame.to_ndarray(format="rgb24"))
                frames.append(picture if size is None else _resized(picture, size))
    except (av.error.FFmpegError, IndexError) as error:
        said = str(error).rstrip(".") or type(error).__name__
        raise ShotError(
            "evaluation_sets",
            f"{path} is no video that can be read ({said:.160}).",
            "Make it anew.",
        ) from error
    if not frames or len({frame.shape for frame in frames}) > 1:
        raise ShotError(
            "evaluation_sets", f"{path} has no frames, or frames of several sizes.", "Make it anew."
        )
    return torch.stack(frames)


def videos_in(folder: Path) -> dict[str, Path]:
    """The videos below a folder by name: their path in it, but for the ending.

    Raises:
        ShotError: there is none, or two have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        name = str(path.relative_to(folder).with_suffix(""))
        if name in found:
            raise ShotError(
                "evaluation_sets",
                f"{path} and {found[name]} have one name.",
                "Leave one of them there.",
            )
        found[name] = path
    if not found:
        raise ShotError(
            "evaluation_sets",
            f"{folder} has no videos ({', '.join(sorted(ENDINGS))}).",
            "Name a folder of videos.",
        )
    return found


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[1:]) == size:
        return picture
    small = F.interpolate(
        picture[None], size=size, mode="bicubic", antialias=True, align_corners=False
    )
    return small[0].clamp(0, 1)


def _said(clip: Tensor) -> str:
    return f"{clip.shape[0]} frames of {clip.shape[3]} x {clip.shape[2]}"


def _finite(values: Iterable[float]) -> list[float]:
    """PSNR of equal frames is infinite, which has no mean: such clips are left out."""
    return [math.nan if math.isinf(value) else value for value in values]
