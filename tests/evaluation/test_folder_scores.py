"""Numbers of a folder of videos: FID's and FVD's intervals, what counts in ObjMC and CamMC."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.evaluation.features import RandomProjection
from backend.evaluation.flow import DIS
from backend.evaluation.folder_scores import real_frames, score_folder
from backend.evaluation.metrics import bootstrap_frechet
from backend.evaluation.recipes.videos import encode_lossless
from backend.evaluation.trackers import TrackedPoints
from protocol.errors import ShotError
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


def score(paths, *metrics, clips=CLIPS, **given):
    given = {"tracker": Still(), "flow": DIS(), **given}
    return score_folder(paths, clips, metrics, **given)


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
    singular = [note for note in found.notes if "covariance is singular" in note]
    assert len(singular) == (len(CLIPS.names) <= 6 if kind == "clips" else 0)


def test_points_of_all_clips_count_alike_and_clips_without_any_are_said(darker):
    """One clip has all six of its points in every frame, one a single one, one none."""

    class Partly(DrawnClips):
        def clip(self, name):
            found = super().clip(name)
            visible = found.visible.copy()
            visible[:, {"a/0": 6, "a/1": 1, "b/0": 0}[name] : -1] = False
            if name == "a/1":  # and that is to be seen in frame 1 alone, 2 pixels on
                visible[2:, :-1] = False
            return replace(found, visible=visible)

    found = score(darker, "ObjMC", clips=Partly())
    steps = STEP * np.arange(1, FRAMES)
    assert found.values["ObjMC"].mean == pytest.approx(
        (6 * steps.sum() + STEP) / (6 * len(steps) + 1), abs=1e-6
    )
    assert found.values["ObjMC"].left_out == 1
    assert found.per_clip["a/1"]["ObjMC points"] == 1
    assert found.notes == (
        "ObjMC: 1 of 3 clips have no point that is seen after the first frame, and do not count.",
    )


def test_videos_of_another_size_or_rate_are_flagged_and_of_another_length_refused(tmp_path):
    name = CLIPS.names[0]
    frames = real_frames(CLIPS.clip(name))
    path = tmp_path / "a.mkv"
    path.write_bytes(encode_lossless(frames[:, :, ::2, ::2], 25.0))
    found = score({name: path}, "SSIM")
    assert found.notes == (
        "1 of 1 videos were resized to 64 x 48, the first of them from 32 x 24.",
        "1 of 1 videos have another frame rate than their clips (25 a second, not 8): frames were "
        "compared one by one.",
    )
    with pytest.raises(ShotError, match="8 frames of 32 x 24, the clip 'a/0' has 8 of 64 x 48"):
        score({name: path}, "SSIM", resize=False)
    path.write_bytes(encode_lossless(frames[:5], 8.0))
    with pytest.raises(ShotError, match="has 5 frames of 64 x 48, the clip 'a/0' has 8"):
        score({name: path}, "SSIM")


def test_clips_that_fid_or_fvd_do_not_take_are_said_and_the_rest_is_measured(darker):
    short = RandomProjection("clips")
    short.least = 10
    found = score(darker, "SSIM", "FID", "FVD", inception=RandomProjection("frames", 4), i3d=short)
    assert {"SSIM", "FID"} == set(found.values)
    assert len(found.notes) == 1
    assert "FVD: random projection takes clips of 10 frames and more, got 8." in found.notes[0]
    assert found.extractors == {"FID": "random projection (seed 0), 24 frames of each set"}
    assert found.speed["SSIM"] > 0


def test_flow_that_is_off_by_a_step_is_so_in_pixels_and_widths(darker):
    class Rightwards:
        """The made videos stand still, the real ones go right by two pixels."""

        name, source, comparable = "constant", "", True

        def __call__(self, before, after):
            real = float(before.max()) > 0.95
            return torch.full((2, HEIGHT, WIDTH), 3.0 if real else 0.0)

    found = score(darker, "EPE", "Motion-Diff", flow=Rightwards())
    assert found.values["EPE"].mean == pytest.approx(3 * 2**0.5, abs=1e-6)
    assert found.values["Motion-Diff"].mean == pytest.approx(3 * 2**0.5 / WIDTH, abs=1e-6)
