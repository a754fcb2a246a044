"""Numbers of a folder of videos: FID's and FVD's intervals, what counts in ObjMC and CamMC."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from backend.evaluation.features import RandomProjection
from backend.evaluation.flow import DIS
from backend.evaluation.metrics import bootstrap_frechet
from backend.evaluation.recipes import scores
from backend.evaluation.recipes.scores import KeptFeatures, real_frames, score_folder
from backend.evaluation.recipes.videos import encode_lossless
from backend.evaluation.trackers import TrackedPoints
from tests.evaluation.clip_sets import FRAMES, HEIGHT, STEP, WIDTH, DrawnClips

CLIPS = DrawnClips()


class Still:
    """A tracker that finds every point where it was."""

    name, source, comparable = "still", "", True

    def __call__(self, frames, points):
        return TrackedPoints(
            xy=points.expand(len(frames), -1, -1), visible=torch.ones(len(frames), len(points)) > 0
        )


@pytest.fixture(scope="module")
def darker(tmp_path_factory):
    """The clips, at nine tenths of their brightness."""
    folder = tmp_path_factory.mktemp("darker")
    paths = {}
    for name in CLIPS.names:
        paths[name] = folder / f"{name.replace('/', '-')}.mkv"
        paths[name].write_bytes(encode_lossless(real_frames(CLIPS.clip(name)) * 0.9, 8.0))
    return paths


def score(paths, *metrics, **networks):
    return score_folder(paths, CLIPS, metrics, tracker=Still(), flow=DIS(), **networks)


def test_points_that_stay_are_off_by_the_true_displacement(darker):
    found = score(darker, "ObjMC", "CamMC")
    displacement = STEP * np.arange(1, FRAMES).mean()
    assert found.values["ObjMC"].mean == pytest.approx(displacement)
    published = found.values["ObjMC, published"].mean
    assert published == pytest.approx(displacement * (FRAMES - 1) / FRAMES)
    share = found.values["ObjMC, % of diagonal"].mean
    assert share == pytest.approx(100 * displacement / math.hypot(HEIGHT, WIDTH))
    assert found.values["CamMC"].mean == 0  # the background stays
    assert found.values["ObjMC"].count == 3


def test_an_equal_video_has_no_finite_psnr_and_is_left_out(darker):
    name = CLIPS.names[0]
    darker[name].with_name("same.mkv").write_bytes(
        encode_lossless(real_frames(CLIPS.clip(name)), 8.0)
    )
    paths = {**darker, name: darker[name].with_name("same.mkv")}
    found = score(paths, "PSNR", "SSIM")
    assert (found.values["PSNR"].count, found.values["PSNR"].left_out) == (2, 1)
    assert found.per_clip[name]["SSIM"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("metric", "kind"), [("FID", "frames"), ("FVD", "clips")])
def test_the_interval_is_that_of_the_features_of_clips_and_holds_pairs_together(
    metric, kind, darker
):
    extractor = RandomProjection(kind, size=6)
    network = {"FID": "inception", "FVD": "i3d"}[metric]
    found = score(darker, metric, **{network: extractor})
    real = torch.stack([real_frames(CLIPS.clip(name)) for name in CLIPS.names])
    made = (real * 0.9 * 255).round() / 255
    sides = [
        extractor(side.flatten(0, 1) if kind == "frames" else side).reshape(3, -1, 6)
        for side in (real, made)
    ]
    wanted = bootstrap_frechet(*(side.numpy() for side in sides))
    assert found.values[metric][:3] == pytest.approx(wanted[:3], rel=1e-3)
    assert found.values[metric].count == 3
    assert found.notes == () or "covariance is singular" in found.notes[0]


def test_more_features_than_memory_give_no_interval_and_say_so(darker, monkeypatch):
    monkeypatch.setattr(scores, "MOST_KEPT", 10)
    found = score(darker, "FID", inception=RandomProjection("frames", size=6))
    assert math.isfinite(found.values["FID"].mean)
    assert math.isnan(found.values["FID"].low)
    assert "FID: too many features for an interval." in found.notes


def test_an_interval_that_would_take_hours_is_of_fewer_resamples(monkeypatch):
    kept = KeptFeatures(RandomProjection("clips", size=5))
    kept(torch.rand(8, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    monkeypatch.setattr(scores, "INTERVAL_WORK", 30 * 4**3)
    interval, said = kept.interval(1.5, 4)
    assert (interval.mean, interval.count) == (1.5, 4)
    assert said == ["the interval is of 30 resamples."]
