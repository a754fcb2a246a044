"""Trackers and flow on pictures that move by a known step."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backend.evaluation.flow import DIS, RAFT, video_flow
from backend.evaluation.metrics import endpoint_error, motion_diff, trajectory_error
from backend.evaluation.trackers import PROXY, CoTracker, LucasKanade
from protocol.errors import ShotError
from tests.evaluation.pictures import sliding

POINTS = torch.tensor([[30.5, 20.5], [40.0, 30.0], [50.25, 25.75]])
STEP = (3, -2)


def expected(frames: int) -> Tensor:
    return POINTS + torch.arange(frames)[:, None, None] * torch.tensor([float(s) for s in STEP])


def test_lucas_kanade_follows_a_sliding_picture():
    tracker = LucasKanade()
    found = tracker(sliding(4, 48, 80, STEP), POINTS)
    assert found.visible.all()
    assert trajectory_error(found.xy, expected(4), found.visible) < 0.1
    assert PROXY in tracker.name
    assert not tracker.comparable


def test_a_point_that_leaves_is_lost_and_stays_where_it_was_seen_last():
    found = LucasKanade()(sliding(7, 96, 80, (0, -10)), torch.tensor([[40.0, 44.0]]))
    seen = found.visible[:, 0].tolist()
    lost = seen.index(False)
    assert lost in (4, 5)  # at 4 or -6
    assert not any(seen[lost:])
    assert (found.xy[lost:] == found.xy[lost - 1]).all()


def test_no_points_are_no_tracks():
    frames = sliding(3, 32, 32, (0, 0))
    assert LucasKanade()(frames, torch.zeros(0, 2)).xy.shape == (3, 0, 2)
    with pytest.raises(ValueError, match="points"):
        LucasKanade()(frames, torch.zeros(3))


def test_dis_measures_the_step_of_a_sliding_picture():
    flow = DIS()
    found = video_flow(flow, sliding(3, 48, 80, STEP))
    truth = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand_as(found)
    inner = (..., slice(8, -8), slice(8, -8))
    assert found.shape == (2, 2, 48, 80)
    assert endpoint_error(found[inner], truth[inner]) < 0.25
    assert motion_diff(found[inner], truth[inner]) < 0.25 / 64
    assert PROXY in flow.name
    assert video_flow(flow, torch.zeros(1, 3, 48, 80)).shape == (0, 2, 48, 80)


HUBCONF = """
import torch

class Predictor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = torch.nn.Linear(2, 2)

    def forward(self, video, queries):
        assert video.max() > 1 and queries.shape[-1] == 3 and (queries[..., 0] == 0).all()
        tracks = queries[:, None, :, 1:] + self.model.bias * torch.arange(video.shape[1]).view(
            1, -1, 1, 1)
        return tracks, torch.ones(tracks.shape[:3], dtype=torch.bool)

def cotracker2(*, pretrained=True, **options):
    assert not pretrained, "would download"
    return Predictor()
"""


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "co-tracker").mkdir()
    (tmp_path / "co-tracker" / "hubconf.py").write_text(HUBCONF)
    weights = {"weight": torch.zeros(2, 2), "bias": torch.tensor([3.0, -2.0])}
    torch.save({"model": weights}, tmp_path / "cotracker2.pth")
    torch.save(weights, tmp_path / "plain.pth")
    yield tmp_path
    sys.modules.pop("hubconf", None)


def test_cotracker_is_loaded_from_a_checkout_with_weights_by_path(checkout):
    for name in ("plain.pth", "cotracker2.pth"):
        tracker = CoTracker(checkout / name, checkout / "co-tracker")
        found = tracker(sliding(4, 48, 80, STEP), POINTS)
        assert trajectory_error(found.xy, expected(4), found.visible, published=True) < 1e-5
        assert tracker.comparable
        assert "sha256" in tracker.source


def test_cotracker_that_is_not_there_is_told_and_not_downloaded(checkout):
    with pytest.raises(ShotError, match=r"CoTracker needs a checkpoint.*--cotracker"):
        CoTracker(None)
    with pytest.raises(ShotError, match="no checkout of co-tracker"):
        CoTracker(checkout / "plain.pth", checkout)
    torch.save({"other": torch.zeros(1)}, checkout / "other.pth")
    with pytest.raises(ShotError, match="does not fit cotracker2"):
        CoTracker(checkout / "other.pth", checkout / "co-tracker")


class Follow(nn.Module):
    def forward(self, video: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        tracks = queries[:, None, :, 1:].repeat(1, video.shape[1], 1, 1)
        return tracks, torch.ones_like(tracks[..., 0])


def test_cotracker_may_be_a_torchscript(tmp_path):
    path: Path = tmp_path / "cotracker.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Follow()).save(str(path))
    found = CoTracker(path)(sliding(3, 48, 80, STEP), POINTS)
    assert torch.equal(found.xy[2], POINTS)
    assert found.visible.all()


def test_raft_without_its_package_or_file_is_one_sentence(tmp_path):
    with pytest.raises(ShotError, match=r"raft_large.*--raft"):
        RAFT(None)
    path = tmp_path / "raft.pth"
    torch.save({}, path)
    with pytest.raises(ShotError, match=r"needs the package torchvision|is not RAFT"):
        RAFT(path)
