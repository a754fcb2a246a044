"""A training clip's signal is what the engine would be told of a shot that shows the same."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch

from backend.contracts import AnnotatedClip
from backend.control_sources import ShotControl
from backend.datasets.synthetic import SceneOptions
from backend.engines import registry
from backend.training.examples import ControlOptions, SyntheticExamples, example_of
from protocol.errors import ShotError
from tests.geometry.scenes import motion, shot_of, translation, two_instances

SCENES = SceneOptions(height=32, width=48, frames=3)


def a_shot():
    lift, ids = two_instances(64, 96)
    moved = [translation(x=-0.3), translation(x=0.2, y=0.2)]
    return shot_of(lift, ids, motion(lift.camera, [[translation()] * 2, moved]))


def clip_of(masks, image):
    return AnnotatedClip(
        frames=image.repeat(len(masks.instance), 1, 1, 1),
        instance=masks.instance.clamp(min=0),
        depth=torch.where(masks.depth.isfinite(), masks.depth, masks.far),
        near=masks.near,
        far=masks.far,
        moving=masks.moving,
    )


def discs(frames=4, height=64, width=96, gone=()):
    """Two squares that go to the right; the second one is gone in some frames."""
    ids = torch.zeros(frames, height, width, dtype=torch.int32)
    for frame in range(frames):
        ids[frame, 4:28, 4 + 4 * frame : 40 + 4 * frame] = 1
        if frame not in gone:
            ids[frame, 36:60, 4 + 4 * frame : 30 + 4 * frame] = 2
    depth = torch.full(ids.shape, 8.0)
    depth[ids == 1] = 3.0
    depth[ids == 2] = 5.0
    return AnnotatedClip(
        frames=torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(0)),
        instance=ids,
        depth=depth,
        near=2.0,
        far=20.0,
        moving=2,
        names=("a", "b"),
    )


def test_a_clip_and_a_shot_with_the_same_masks_have_the_same_signal():
    """Of instances large enough for three points: the artist's smaller ones get three, too."""
    control, spec = ShotControl(a_shot()), registry.spec_of("levitor")
    signal = registry.signals("levitor").encode(
        control, spec.completed({"width": 96, "height": 64})
    )
    masks = control.masks()
    assert min(masks.instance.eq(item).flatten(1).sum(1).max() for item in (1, 2)) > 64 * 96 / 20
    example = example_of(clip_of(masks, control.image), ControlOptions())
    assert torch.equal(example.maps, signal.maps)
    assert example.maps[:, 0].any()


def test_an_object_that_leaves_has_no_points_while_it_is_gone():
    maps = example_of(discs(gone=(2, 3)), ControlOptions(radius=4)).maps
    shown = [set(frame[1].unique().tolist()) - {0.0} for frame in maps]
    assert shown == [{1.0, 2.0}, {1.0, 2.0}, {1.0}, {1.0}]


def test_depth_and_ids_can_be_left_out_of_the_signal():
    whole = example_of(discs(), ControlOptions()).maps
    flat = example_of(discs(), ControlOptions(depth=False)).maps
    same = example_of(discs(), ControlOptions(instance=False)).maps
    assert all(whole[:, channel].any() for channel in range(3))
    assert torch.equal(flat[:, :2], whole[:, :2])
    assert not flat[:, 2].any()
    assert torch.equal(same[:, ::2], whole[:, ::2])
    assert not same[:, 1].any()


@pytest.mark.parametrize("gone", [(), (2,)], ids=["always there", "one leaves"])
def test_a_single_point_is_one_point_an_object(gone):
    control = ControlOptions(radius=2, single_point=True)
    maps = example_of(discs(gone=gone), control).maps
    assert ((maps[0, 0] > 0) & (maps[0, 1] == 1)).sum() == (maps[0, 0] > 0).sum() / 2
    rows, columns = torch.nonzero(maps[0, 1] == 1, as_tuple=True)
    assert (rows.max() - rows.min() < 4, columns.max() - columns.min() < 4) == (True, True)


def test_more_points_are_drawn_where_alpha_says_so():
    few, many = (
        example_of(discs(), ControlOptions(radius=2, alpha=alpha)).maps for alpha in (10, 40)
    )
    assert many[:, 0].count_nonzero() > 1.5 * few[:, 0].count_nonzero()


def test_a_clip_that_cannot_be_clustered_is_refused_in_a_sentence():
    with pytest.raises(ShotError, match="ids must be 0"):
        example_of(replace(discs(), instance=discs().instance + 300), ControlOptions())
    with pytest.raises(ShotError, match="at least 2 frames"):
        example_of(discs(frames=1), ControlOptions())


def test_drawn_examples_are_the_same_for_their_number_in_any_process():
    examples = SyntheticExamples(SCENES, ControlOptions(radius=3), seed=5)
    again = pickle.loads(pickle.dumps(examples))[7]
    assert again.number == 7
    assert torch.equal(examples[7].frames, again.frames)
    assert torch.equal(examples[7].maps, again.maps)
    assert not torch.equal(examples[7].frames, examples[8].frames)
    assert examples[7].frames.shape == examples[7].maps.shape == (3, 3, 32, 48)
