"""How far a video obeys its control: right on the truth, on a frozen frame and on nonsense."""

import math

import pytest
import torch

from backend.datasets.synthetic import SceneOptions, SyntheticClips
from backend.evaluation.control import ClipScores, find_thing, ratio, score_clip, summary
from backend.evaluation.control_run import truth_of

SCENES = SceneOptions(height=32, width=32, frames=8, objects=(1, 2), meeting=1.0)
CLIPS = 24


@pytest.fixture(scope="module")
def scenes():
    source = SyntheticClips(SCENES, seed=7)
    return [source[number] for number in range(CLIPS)]


@pytest.fixture(scope="module")
def truths(scenes):
    return [truth_of(one) for one in scenes]


def test_the_truth_obeys(truths):
    found = summary([score_clip(one.frames, one) for one in truths], math.hypot(32, 32))
    assert found["centroid_error_px"] < 0.1
    assert found["change_iou"] == 1
    assert found["occlusion_accuracy"] == 1
    assert found["intervals"]["occlusion_accuracy"]["count"] >= 3
    assert found["clips"] == CLIPS
    assert found["places"] > 5 * found["places_left_out"]


def test_a_frozen_frame_is_as_far_off_as_its_things_have_moved(scenes, truths):
    errors, moved = [], []
    for scene, truth in zip(scenes, truths, strict=True):
        frozen = truth.frames[:1].expand_as(truth.frames)
        errors.append(score_clip(frozen, truth).centroid_error_px)
        assert score_clip(frozen, truth).change_iou == 0
        tracks = scene.scene.tracks()
        own = tracks.instance > 0
        shift = tracks.xy[:, own] - tracks.xy[:1, own]
        moved.append(float(shift[1:].norm(dim=-1).mean()))
    assert sum(errors) / CLIPS == pytest.approx(sum(moved) / CLIPS, rel=0.15)


def test_what_is_shown_elsewhere_is_found_there():
    generator = torch.Generator().manual_seed(0)
    background = torch.rand(3, 24, 32, generator=generator) * 0.3
    look = torch.rand(3, 24, 32, generator=generator)
    seen = torch.zeros(24, 32)
    seen[6:12, 5:13] = 1.0
    for dx, dy in ((0, 0), (7, 3), (-4, 8), (15, -5)):
        picture = background.clone()
        rows, columns = slice(6 + dy, 12 + dy), slice(5 + dx, 13 + dx)
        picture[:, rows, columns] = look[:, 6:12, 5:13]
        assert find_thing(look, seen, background, picture) == (dx, dy)


def test_the_things_in_the_wrong_order_are_no_right_occlusion(truths):
    wrong = 0
    for truth in truths:
        made = truth.frames.clone()
        if len(truth.looks) < 2:
            assert math.isnan(score_clip(made, truth).occlusion_accuracy)
            continue
        both = (truth.covers > 0.5).all(0)
        behind = torch.where(truth.ids[:, None] == 1, truth.looks[1], truth.looks[0])
        made = torch.where(both[:, None], behind, made)
        accuracy = score_clip(made, truth).occlusion_accuracy
        if not math.isnan(accuracy):
            assert accuracy < 0.2
            wrong += 1
    assert wrong >= 3


def test_a_thing_that_has_dissolved_counts_as_far_off(truths):
    gone = [score_clip(one.background, one).centroid_error_px for one in truths]
    frozen = [
        score_clip(one.frames[:1].expand_as(one.frames), one).centroid_error_px for one in truths
    ]
    assert sum(gone) > sum(frozen)


def scores(errors, objects=1):
    return [
        ClipScores(
            centroid_error_px=error,
            change_iou=0.5,
            occlusion_accuracy=math.nan,
            things=1,
            hidden=0,
            objects=objects,
        )
        for error in errors
    ]


def test_what_cannot_be_measured_is_left_out_and_counted():
    found = summary(scores([1.0, 3.0, math.nan]) + scores([8.0], objects=2), 40.0)
    assert found["centroid_error_px"] == 4
    assert found["centroid_error_percent"] == pytest.approx(10)
    assert found["intervals"]["centroid_error_px"]["left_out"] == 1
    assert found["occlusion_accuracy"] is None
    assert found["one_object"]["centroid_error_px"] == 2
    assert found["several_objects"]["clips"] == 1


def test_a_ratio_is_of_the_same_clips():
    found = ratio(scores([1.0, 2.0, math.nan, 9.0]), scores([10.0, 20.0, 30.0, math.nan]))
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert (found.count, found.left_out) == (2, 2)
