"""The two makers of a control: what a clip gives is what a shot that shows the same gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from backend.contracts import AnnotatedClip
from backend.control_sources import ClipControl, ShotControl, shot_masks
from backend.engines import registry
from backend.geometry.clip_motion import shot_from_clip
from backend.geometry.fit import fit_photo
from tests.geometry.scenes import motion, scaled, shot_of, translation, two_instances

STILL = translation()


def a_shot(*last, static=(), size=(40, 60)):
    """Three frames; the instances are halfway to ``last`` in the second."""
    lift, ids = two_instances(*size)
    path = [[STILL] * len(last), [half(m) for m in last], list(last)]
    return shot_of(lift, ids, motion(lift.camera, path), static)


def half(matrix):
    eye = torch.eye(4, dtype=matrix.dtype)
    return eye + (matrix - eye) / 2


def clip_of(shot, frames=None):
    masks = shot_masks(shot)
    return AnnotatedClip(
        frames=shot.lift.image.repeat(len(masks.instance), 1, 1, 1) if frames is None else frames,
        instance=masks.instance.clamp(min=0),
        depth=torch.where(masks.depth.isfinite(), masks.depth, 10.0),
        near=shot.lift.near,
        far=shot.lift.far,
        moving=masks.moving,
        static=masks.static,
        camera=shot.lift.camera,
    )


def test_the_networks_are_told_the_same_of_a_shot_and_of_a_clip_that_shows_it():
    shot = a_shot(translation(x=-0.3), translation(x=0.2, y=0.2), size=(64, 96))
    spec, signals = registry.spec_of("levitor"), registry.signals("levitor")
    options = spec.completed({"width": 96, "height": 64})
    ours, theirs = (
        signals.encode(control, options)
        for control in (ShotControl(shot), ClipControl(clip_of(shot)))
    )
    assert ours.fit == theirs.fit
    assert torch.equal(ours.maps, theirs.maps)
    assert set(ours.maps[:, 1].unique().tolist()) == {0.0, 1.0, 2.0}


def test_masks_know_what_moves_what_stays_and_the_range_of_depth():
    shot = a_shot(translation(x=-0.3), static=(2,))
    for control in (ShotControl(shot), ClipControl(clip_of(shot))):
        masks = control.masks()
        assert (masks.moving, masks.static) == (1, (2,))
        assert (masks.near, masks.far) == (shot.lift.near, shot.lift.far)


def test_masks_are_made_once_for_each_fit():
    told = []
    control = ShotControl(a_shot(STILL, STILL), lambda *step: told.append(step))
    fit = fit_photo((40, 60), (20, 30), "crop")
    assert control.masks() is control.masks()
    assert control.masks(fit) is control.masks(fit)
    assert told == [(1, 3), (2, 3), (3, 3)] * 2


@pytest.mark.parametrize("kind", ["crop", "pad", "squash"])
def test_a_clips_masks_fit_a_frame_as_its_photo_does(kind):
    """A map whose ids are 0 and 1 by halves, as a picture: black and white."""
    shot = a_shot(STILL, STILL)
    ids = torch.zeros(3, 40, 60, dtype=torch.int32)
    ids[:, :, 30:] = 1
    clip = replace(clip_of(shot), instance=ids, moving=1)
    fit = fit_photo((40, 60), (32, 32), kind)
    masks = ClipControl(clip).masks(fit)
    assert masks.instance.shape == masks.depth.shape == (3, 32, 32)
    picture = fit.image(ids[0].float().expand(3, 40, 60))[0]
    shown = masks.instance[0] >= 0
    assert torch.equal(shown, masks.depth[0].isfinite())
    assert bool(shown.all()) == (kind != "pad")
    sure = shown & ((picture < 0.01) | (picture > 0.99))
    assert torch.equal(masks.instance[0][sure], picture[sure].round().int())


@pytest.mark.parametrize(
    "moved", [translation(x=0.5), translation(x=0.3, z=-0.5), scaled(1.5, (-1.35, 0.0, 5.0))]
)
def test_an_objects_motion_is_read_from_its_mask_and_depth(moved):
    shot = a_shot(moved, STILL)
    found = shot_from_clip(clip_of(shot)).motion.moved_from_rest
    middle = torch.tensor([-1.35, 0.0, 5.0, 1.0], dtype=torch.float64)
    for frame in range(3):
        told, right = found[frame, 0] @ middle, shot.motion.moved_from_rest[frame, 0] @ middle
        assert float((told - right).abs().max()) < 0.08
    # As large as it is seen: mask's pixels are whole, so within a few per cent
    size = float(found[2, 0, 0, 0] / moved[0, 0])
    assert abs(size - 1) < 0.1
    torch.testing.assert_close(
        found[:, 1], torch.eye(4).double().repeat(3, 1, 1), atol=0.02, rtol=0
    )


def test_what_is_out_of_sight_stays_where_it_was_seen_last_and_is_hidden():
    clip = clip_of(a_shot(translation(x=0.4), STILL))
    clip.instance[2][clip.instance[2] == 1] = 0
    found = shot_from_clip(clip).motion.moved_from_rest
    assert torch.equal(found[2, 0], found[1, 0])
    tracks = ClipControl(clip).tracks(per_instance=4, anchors=4)
    own = tracks.instance == 1
    assert bool(tracks.visible[:2, own].float().mean() > 0.7)
    assert not bool(tracks.visible[2, own].any())
    boxes = ClipControl(clip).boxes()
    assert boxes.visible.tolist() == [[True, True, False], [True, True, True]]
    assert not bool(boxes.xyxy[0, 2].any())


def test_boxes_of_a_clip_are_those_of_the_shot_it_shows():
    shot = a_shot(translation(x=0.3), translation(y=0.3))
    ours, theirs = ShotControl(shot).boxes(), ClipControl(clip_of(shot)).boxes()
    torch.testing.assert_close(ours.xyxy, theirs.xyxy, atol=1.0, rtol=0)
    assert torch.equal(ours.visible, theirs.visible)
    assert torch.equal(ours.instance, theirs.instance)
    assert theirs.corners is None
    corners = ours.corners
    assert corners is not None
    # The front's corners, seen by the pinhole, are the box
    focal, middle = shot.lift.camera.intrinsics[0, 0], shot.lift.camera.intrinsics[:2, 2]
    pixel = corners[..., :2] / corners[..., 2:] * focal + middle
    low, high = pixel.amin(2) - 0.5, pixel.amax(2) + 0.5
    torch.testing.assert_close(torch.cat([low, high], -1).float(), ours.xyxy, atol=0.6, rtol=0)


@pytest.mark.parametrize("maker", ["shot", "clip"])
@pytest.mark.parametrize("fitted", [False, True])
def test_the_first_frame_of_a_draft_is_the_photo_and_all_of_it_is_trusted(maker, fitted):
    shot = a_shot(translation(x=0.5), STILL)
    control = ShotControl(shot) if maker == "shot" else ClipControl(clip_of(shot))
    fit = fit_photo((40, 60), (32, 32), "pad") if fitted else None
    draft = control.draft(fit)
    assert len(draft) == 3
    photo = control.image if fit is None else fit.image(control.image)
    assert torch.equal(draft[0].rgb, photo)
    shown = torch.ones(40, 60, dtype=torch.bool)
    if fit is not None:
        shown = torch.zeros(32, 32, dtype=torch.bool)
        top, left, height, width = fit.target
        shown[top : top + height, left : left + width] = True
    assert torch.equal(draft[0].hole, ~shown)
    with pytest.raises(IndexError, match="frame 3 of 3"):
        draft[3]


def test_where_something_stood_is_a_hole_and_where_it_goes_is_none():
    shot = a_shot(translation(x=2.5), translation(x=20.0))
    frame = ShotControl(shot).draft()[2]
    _, ids = two_instances()
    middle = torch.nonzero(ids == 1).float().mean(0).long()
    assert bool(frame.hole[middle[0], middle[1]])
    red = (frame.rgb - torch.tensor([1.0, 0.0, 0.0])[:, None, None]).abs().amax(0) < 0.05
    assert int(red.sum()) > 50
    assert not bool(frame.hole[red].any())
    assert not bool(frame.hole[:, :3].any())  # the wall far from both is the photo's own


def test_what_a_moving_camera_uncovers_is_a_hole():
    lift, ids = two_instances()
    path = motion(lift.camera, [[], []], [STILL, translation(x=-1.0)])
    frame = ShotControl(shot_of(lift, ids, path)).draft()[1]
    assert bool(frame.hole[:, -3:].all())
    assert not bool(frame.hole[5, 5:20].any())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"depth": torch.zeros(3, 40, 60)}, "the least is 0", id="depth"),
        pytest.param({"near": 9.0, "far": 3.0}, "near 9 and far 3", id="range"),
        pytest.param({"static": (1,)}, "object 1 is among the 2", id="both"),
        pytest.param(
            {"instance": torch.zeros(3, 8, 8, dtype=torch.int32)}, r"ids \(3, 8, 8\)", id="size"
        ),
    ],
)
def test_a_clip_whose_parts_do_not_fit_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        ClipControl(replace(clip_of(a_shot(STILL, STILL)), **changes))
