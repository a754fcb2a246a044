"""Evaluation: Frechet statistics of a thousand clips in constant memory, and what metrics take.

Features are random, so that the time is that of the statistics and not of a network's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from backend.evaluation.distances import ClipDistance
from backend.evaluation.flow import DIS
from backend.evaluation.folder_scores import real_frames, score_folder
from backend.evaluation.intervals import bootstrap_frechet
from backend.evaluation.recipes.videos import encode_lossless
from backend.evaluation.trackers import LucasKanade
from tests.evaluation.pictures import sliding

Row = tuple[str, float, str, str]
CLIPS, FRAMES = 1000, 16
FID, FVD = 2048, 400
WARM = 100
"""Clips after which memory is looked at for the first time."""
DRAWS = 20


class RandomFeatures:
    """An extractor of random features."""

    name, source, least = "random features", "", 1
    kind: Literal["frames", "clips"] = "frames"

    def __init__(self) -> None:
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self, pictures: Tensor) -> Tensor:
        return torch.randn(len(pictures), FID, generator=self._generator)


def rows(root: Path) -> list[Row]:
    """Of a process of its own, for the memory, and of this one."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--evaluation-memory"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    rate, grown = (float(part) for part in done.stdout.split())
    rng = np.random.default_rng(0)
    fid = rng.normal(size=(2, 23, FRAMES, FID))  # DAVIS's validation videos
    fvd = rng.normal(size=(2, CLIPS, 1, FVD))
    return [
        (f"FID's statistics of {CLIPS} pairs of clips, streamed", rate, "clips/s", ""),
        (f"- memory they grow by after the first {WARM}", grown, "MB", "100 MB"),
        ("FID's interval, 23 clips of 16 frames, a resample", _resample(fid), "ms", ""),
        (f"FVD's interval, {CLIPS} clips, a resample", _resample(fvd), "ms", ""),
        *metric_rows(),
    ]


def metric_rows(count: int = 4) -> list[Row]:
    """Clips a second of what needs no weights, 16 frames of 288 x 512."""
    from tests.evaluation.clip_sets import Clip, Manifest

    frames = sliding(FRAMES, 288, 512, (2, 1))
    points = torch.rand(24, 2, generator=torch.Generator().manual_seed(0)) * 200 + 50
    clip = Clip(
        name="clip",
        frames=(frames * 255).round().byte().movedim(1, -1).numpy(),
        ids=None,
        tracks=np.repeat(points.numpy()[None], FRAMES, 0),
        visible=np.ones((FRAMES, 24), bool),
        instances=np.array([1] * 12 + [0] * 12),
    )

    class One:
        names = tuple(f"{number}" for number in range(count))
        manifest: Any = Manifest(frames=FRAMES, height=288, width=512)

        def clip(self, name: str) -> Clip:
            return clip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.mkv"
        path.write_bytes(encode_lossless(real_frames(clip) * 0.9, 8.0))
        found = score_folder(
            dict.fromkeys(One.names, path),
            One(),
            ("ObjMC", "CamMC", "SSIM", "PSNR", "Motion-Diff"),
            tracker=LucasKanade(),
            flow=DIS(),
        )
    return [
        (f"{what}, 16 frames of 288 x 512", rate, "clips/s", "")
        for what, rate in found.speed.items()
    ]


def print_memory(peak_megabytes: Callable[[], float]) -> None:
    """Clips a second, and by how many MB memory grows."""
    picture = torch.zeros(FRAMES, 3, 8, 8)
    distance = ClipDistance(RandomFeatures())
    before, began = 0.0, time.perf_counter()
    for number in range(CLIPS):
        distance.add(picture, picture)
        if number == WARM:
            before = peak_megabytes()
    took = time.perf_counter() - began
    print(f"{CLIPS / took:.4g} {peak_megabytes() - before:.4g}")


def _resample(features: Any) -> float:
    began = time.perf_counter()
    bootstrap_frechet(*features, resamples=DRAWS)
    return (time.perf_counter() - began) / DRAWS * 1000
