"""Image Conductor's drawn trajectories, and the turns of things that were tracked."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy.interpolate import PchipInterpolator

from backend.evaluation.metrics import yaw_of
from backend.evaluation.recipes.controls import ClipDepth
from backend.evaluation.recipes.trajectories import (
    TrajectoryClips,
    interpolated,
    lens_of,
    trajectory_control,
)
from backend.evaluation.recipes.turns import BOX_CENTRE, YAW, box_and_yaw, rotation_of
from backend.evaluation.trackers import TrackedPoints
from backend.resources import Resources
from protocol.errors import ShotError
from tests.evaluation.clip_sets import FRAMES, STEP, DrawnClips, conductor

FLAT = ClipDepth("offline", Resources())


class Known:
    """A tracker that finds points where a test says."""

    name, source, comparable = "known", "", False

    def __init__(self, xy):
        self.xy = torch.as_tensor(np.asarray(xy, np.float32))

    def __call__(self, frames, points):
        return TrackedPoints(xy=self.xy, visible=torch.ones(self.xy.shape[:2]).bool())


def test_a_trajectory_goes_through_its_points_and_one_point_stays():
    path = interpolated(np.array([[0.0, 0], [10, 0], [10, 20]]), 5)
    np.testing.assert_allclose(path[[0, 2, 4]], [[0, 0], [10, 0], [10, 20]], atol=1e-12)
    np.testing.assert_allclose(interpolated(np.array([[3.0, 4]]), 4), [[3, 4]] * 4)
    with pytest.raises(ValueError, match="must be a list"):
        interpolated(np.zeros((0, 2)))


@pytest.mark.parametrize("count", [2, 3, 4, 9])
def test_trajectories_are_those_of_image_conductors_own_spline(count):
    generator = np.random.default_rng(count)
    for _ in range(5):
        points = generator.integers(0, 6, (count, 2)).astype(float) * 10  # flats and turns
        spline = PchipInterpolator(np.linspace(0, 1, count), points)
        wanted = spline(np.linspace(0, 1, 16))
        np.testing.assert_allclose(interpolated(points), wanted, atol=1e-9)


def test_a_things_trajectory_moves_a_disc_and_a_cameras_the_whole_picture(tmp_path):
    conductor(tmp_path)
    clip = TrajectoryClips(tmp_path, "object", 4, 64, 96).clip("car")
    assert clip.frames.shape == (4, 64, 96, 3)
    assert clip.instances.tolist() == [1]
    tracks = trajectory_control(clip, FLAT).tracks(per_instance=3, anchors=2)
    moved = (tracks.xy[-1] - tracks.xy[0]).numpy()
    np.testing.assert_allclose(moved[:3], [[87 / 4, 1]] * 3, atol=1e-3)
    np.testing.assert_allclose(moved[3:], 0, atol=1e-3)

    clip = TrajectoryClips(tmp_path, "camera", 4, 64, 96).clip("hill")
    assert clip.instances.tolist() == [0, 0]
    tracks = trajectory_control(clip, FLAT).tracks(anchors=4)
    zoomed = np.array([48.0, 32]) + 1.5 * (tracks.xy[0].numpy() - [48, 32])
    np.testing.assert_allclose(tracks.xy[-1], zoomed, atol=1e-3)


@pytest.mark.parametrize(
    "starts", [[(100, 120), (100, 120)], [(100, 120), (-60, 20)]], ids=["one place", "outside"]
)
def test_a_thing_of_which_nothing_is_seen_is_not_moved_but_said(starts, tmp_path):
    conductor(tmp_path)
    drawn = [[[x, y], [x + 40, y]] for x, y in starts]
    (tmp_path / "trajs/object/car.json").write_text(json.dumps(drawn))
    clip = TrajectoryClips(tmp_path, "object", 4, 64, 96).clip("car")
    with pytest.raises(ShotError, match=r"car: trajectory \d begins outside the picture, or where"):
        trajectory_control(clip, FLAT)


def test_other_trajectories_or_another_picture_are_another_clip(tmp_path):
    conductor(tmp_path)
    clips = TrajectoryClips(tmp_path, "object")
    found = {clips.fingerprint("car")}
    (tmp_path / "trajs/object/car.json").write_text("[[[1, 2], [3, 4]]]")
    found.add(clips.fingerprint("car"))
    (tmp_path / "images/object/car.jpg").write_bytes(b"another")
    found.add(clips.fingerprint("car"))
    assert len(found) == 3


def test_the_lens_of_one_track_is_a_shift():
    matrices = lens_of(np.array([[[1.0, 2]], [[4.0, 6]]]))
    assert matrices[1].tolist() == [[1, 0, 3], [0, 1, 4], [0, 0, 1]]


def test_broken_trajectories_are_a_sentence(tmp_path):
    conductor(tmp_path)
    (tmp_path / "trajs/object/car.json").write_text(json.dumps([[1, 2]]))
    with pytest.raises(ShotError, match=r"car\.json: its trajectories or its picture"):
        TrajectoryClips(tmp_path, "object").clip("car")
    with pytest.raises(ShotError, match="has no trajectories"):
        TrajectoryClips(tmp_path, "things")


@pytest.mark.parametrize("degrees", [0, 5, -40])
def test_the_turn_of_a_rigid_body_is_told_by_its_points(degrees):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (8, 3)) + np.array([0.2, 0, 5])
    angle = math.radians(degrees)
    turn = np.array(
        [
            [math.cos(angle), 0, math.sin(angle)],
            [0, 1, 0],
            [-math.sin(angle), 0, math.cos(angle)],
        ]
    )
    middle = points.mean(0)
    moved = (points - middle) @ turn.T + middle + [0.3, 0.1, 0.4]
    intrinsics = np.array([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]])
    seen = moved @ intrinsics.T
    found = rotation_of(points, seen[:, :2] / seen[:, 2:], intrinsics)
    assert float(yaw_of(found)) == pytest.approx(degrees, abs=1e-6)


def test_boxes_of_a_frozen_video_are_off_by_the_true_displacement():
    clip = DrawnClips().clip("a/0")
    made = torch.from_numpy(clip.frames).movedim(-1, 1).float() / 255
    depth = torch.full(clip.frames.shape[1:3], 5.0)
    perfect = box_and_yaw(made, clip, Known(clip.tracks), depth)
    assert perfect == {BOX_CENTRE: 0, YAW: 0}
    frozen = box_and_yaw(made, clip, Known(np.repeat(clip.tracks[:1], FRAMES, 0)), depth)
    assert frozen[BOX_CENTRE] == pytest.approx(STEP * np.arange(1, FRAMES).mean())
    assert frozen[YAW] == pytest.approx(0, abs=0.5)  # the squares do not turn


def test_a_thing_that_is_never_seen_has_no_box():
    from dataclasses import replace

    clip = DrawnClips().clip("a/0")
    hidden = replace(clip, visible=np.zeros_like(clip.visible))
    made = torch.zeros(FRAMES, 3, *clip.frames.shape[1:3])
    found = box_and_yaw(made, hidden, Known(clip.tracks), torch.full(made.shape[2:], 5.0))
    assert math.isnan(found[BOX_CENTRE])
    assert math.isnan(found[YAW])
