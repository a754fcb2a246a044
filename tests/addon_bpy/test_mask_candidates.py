"""A click's masks in Blender: gone through, refined and made an instance; with a tiny SAM."""

import bpy
import numpy as np
import pytest

from .conftest import contents, module

WAIT = 240.0


@pytest.fixture
def picked(scene, addon, richer_endpoint, flower):
    """The flower, lifted without networks, and one click in it."""
    assert bpy.ops.levitor.connect(endpoint=richer_endpoint, wait=240.0) == {"FINISHED"}
    settings = bpy.context.scene.levitor
    settings.depth_model = settings.segment_model = "offline"
    bpy.ops.levitor.lift(filepath=str(flower), max_side=320, wait=WAIT)
    bpy.ops.levitor.pick(x=160, y=100, wait=WAIT)
    return Picked(addon)


class Picked:
    def __init__(self, addon):
        self.addon = addon
        self.picks, self.cloud = module(addon, "scene.picks"), module(addon, "scene.cloud")

    @property
    def lift(self):
        return bpy.context.scene.levitor.lift.levitor

    @property
    def found(self):
        return self.picks.of(self.lift)

    def mask(self):
        """Pixels of the photo that are lit up."""
        background = self.lift.background
        lit = self.cloud.floats(background.data, "Pick") > 0.5
        return np.sort(self.cloud.pixels(background)[lit])

    def depth(self):
        background = self.lift.background
        lit = self.cloud.floats(background.data, "Pick") > 0.5
        return self.cloud.floats(background.data, "pick_depth")[lit]


def test_a_click_shows_the_best_of_several_masks_and_says_so(picked):
    assert 2 <= len(picked.found.masks) <= 3
    scores = [one.score for one in picked.found.masks]
    assert scores == sorted(scores, reverse=True)
    assert picked.picks.label(picked.lift) == (f"Mask 1 of {len(scores)} ({scores[0]:.2f})")
    assert picked.lift.picked == len(picked.mask()) == len(picked.found.masks[0].depth)


def test_masks_are_gone_through_round_and_round_without_the_backend(picked, monkeypatch):
    def never(*_):
        raise AssertionError("the backend was asked")

    monkeypatch.setattr(type(module(picked.addon, "link.pump").link()), "start", never)
    first, count = picked.mask(), len(picked.found.masks)
    seen = [first]
    for n in range(1, count):
        assert bpy.ops.levitor.cycle_mask() == {"FINISHED"}
        assert picked.picks.label(picked.lift).startswith(f"Mask {n + 1} of {count}")
        seen.append(picked.mask())
        assert picked.lift.picked == len(seen[-1]) == len(picked.found.masks[n].depth)
    assert len({tuple(mask) for mask in seen}) == count
    bpy.ops.levitor.cycle_mask()
    assert (picked.mask() == first).all()
    bpy.ops.levitor.cycle_mask(step=-1)
    assert (picked.mask() == seen[-1]).all()


def test_each_mask_stands_at_a_depth_of_its_own(picked):
    """Without a depth network everything picked stands where its own lowest row does."""
    for n in range(len(picked.found.masks)):
        (depth,) = np.unique(picked.depth())
        assert (picked.found.masks[n].depth == depth).all()
        bpy.ops.levitor.cycle_mask()


def test_going_through_is_undone_and_redone(picked):
    first = picked.mask()
    # What an operator called by a script does to the undo history, as the panel's buttons do
    assert bpy.ops.levitor.cycle_mask("EXEC_DEFAULT", True, step=1) == {"FINISHED"}
    second = picked.mask()
    bpy.ops.ed.undo()
    assert (picked.mask() == first).all()
    assert picked.picks.label(picked.lift).startswith("Mask 1 of")
    bpy.ops.ed.redo()
    assert (picked.mask() == second).all()
    assert picked.picks.label(picked.lift).startswith("Mask 2 of")


def test_undo_comes_back_to_the_masks_of_the_click_before(picked):
    before, masks = picked.mask(), picked.found
    bpy.ops.levitor.pick(x=40, y=30, wait=WAIT)
    assert picked.found is not masks
    bpy.ops.ed.undo()
    assert picked.found is masks
    assert (picked.mask() == before).all()
    bpy.ops.levitor.cycle_mask()
    assert not np.array_equal(picked.mask(), before)


def test_the_oldest_masks_make_room_and_an_undone_pick_says_so(picked, monkeypatch):
    """Room for two answers of this size, whatever their number: bytes count."""
    first, size = picked.mask(), picked.found.nbytes
    assert size > 3 * 320 * 213 / 8  # bits, depths and logits of up to three masks
    monkeypatch.setattr(picked.picks, "LIMIT", int(2.5 * size))
    shown, kept = [first], []
    for x in (40, 100, 200, 250):
        bpy.ops.levitor.pick(x=x, y=60, wait=WAIT)
        shown.append(picked.mask())
        kept.append(sum(found.nbytes for found in picked.picks._kept.values()))
    assert max(kept) <= 2.5 * size
    assert len(picked.picks._kept) in (1, 2, 3)
    assert picked.picks.label(picked.lift).startswith("Mask 1 of")
    for mask in reversed(shown[:-1]):
        bpy.ops.ed.undo()
        assert (picked.mask() == mask).all()
    assert picked.picks.label(picked.lift) == "Its other masks made room for newer ones"
    with pytest.raises(RuntimeError, match=r"made room for newer ones, of which .* MB are kept"):
        bpy.ops.levitor.cycle_mask()
    assert (picked.mask() == first).all()


def test_an_answer_larger_than_all_room_is_kept_while_it_is_shown(picked, monkeypatch):
    monkeypatch.setattr(picked.picks, "LIMIT", 1)
    bpy.ops.levitor.pick(x=40, y=30, wait=WAIT)
    assert len(picked.picks._kept) == 1
    assert bpy.ops.levitor.cycle_mask() == {"FINISHED"}


def test_a_pick_that_another_lift_shows_outlives_older_and_younger_ones(picked, monkeypatch):
    bpy.ops.levitor.pick(x=60, y=60, wait=WAIT)
    other = picked.lift
    key, size = other.pick, picked.found.nbytes
    bpy.ops.scene.new(type="FULL_COPY")
    monkeypatch.setattr(picked.picks, "LIMIT", int(2.5 * size))
    for x in (40, 100, 200, 250):
        bpy.ops.levitor.pick(x=x, y=60, wait=WAIT)
    assert other.pick == key
    assert picked.picks.several(other)


def test_a_further_click_refines_the_mask_that_is_shown(picked, monkeypatch):
    owner = type(module(picked.addon, "link.pump").link())
    sent = []
    start = owner.start

    def watched(self, message, blobs, handler):
        sent.append((message, blobs))
        return start(self, message, blobs, handler)

    monkeypatch.setattr(owner, "start", watched)
    bpy.ops.levitor.cycle_mask()
    (ref, data), clicks = picked.found.masks[1].logits, len(picked.lift.clicks)
    bpy.ops.levitor.pick(x=150, y=90, extend=True, wait=WAIT)
    message, blobs = sent[-1]
    assert message.previous == ref
    assert blobs[ref.sha256] == data
    assert len(message.points) == clicks + 1
    assert len(picked.found.masks) == 1  # that one, refined
    assert picked.picks.label(picked.lift) == ""
    with pytest.raises(RuntimeError, match="no other mask for these clicks"):
        bpy.ops.levitor.cycle_mask()
    bpy.ops.levitor.pick(x=40, y=30, wait=WAIT)  # a new thing: nothing to go on from
    assert sent[-1][0].previous is None


def test_make_instance_uses_the_mask_that_is_shown(picked):
    bpy.ops.levitor.cycle_mask()
    mask, depth = picked.mask(), picked.depth()
    assert bpy.ops.levitor.make_instance(name="Part") == {"FINISHED"}
    points = picked.cloud.read(picked.lift.instances["Part"].points)
    assert (np.sort(points.pixel) == mask).all()
    assert np.unique(points.depth) == np.unique(depth)
    assert picked.found is None
    with pytest.raises(RuntimeError, match="Pick something first"):
        bpy.ops.levitor.cycle_mask()
    bpy.ops.levitor.pick(x=160, y=100, wait=WAIT)  # masks without the instance's own points
    assert not np.isin(picked.mask(), mask).any()


def test_a_file_keeps_the_shown_mask_and_says_that_the_others_are_not_in_it(picked, tmp_path):
    bpy.ops.levitor.cycle_mask()
    mask = picked.mask()
    path = str(tmp_path / "picked.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    picked.picks.forget()  # as another session would
    bpy.ops.wm.open_mainfile(filepath=path)
    assert (picked.mask() == mask).all()
    assert picked.picks.label(picked.lift) == ""
    before = contents()
    with pytest.raises(RuntimeError, match="other masks of this pick are not here"):
        bpy.ops.levitor.cycle_mask()
    assert contents() == before
    assert bpy.ops.levitor.make_instance(name="Part") == {"FINISHED"}


def test_a_click_in_a_full_copy_of_the_scene_is_shown_there(picked):
    original, before = picked.lift, picked.mask()
    bpy.ops.scene.new(type="FULL_COPY")
    assert picked.lift.background != original.background
    bpy.ops.levitor.pick(x=60, y=150, wait=WAIT)
    copied = picked.mask()
    assert picked.lift.clicks[0].x == 60
    assert [click.x for click in original.clicks] == [160]
    lit = picked.cloud.floats(original.background.data, "Pick") > 0.5
    np.testing.assert_array_equal(np.sort(picked.cloud.pixels(original.background)[lit]), before)
    assert len(copied) == picked.lift.picked


def test_colours_have_one_mask_and_nothing_to_go_through(picked):
    bpy.context.scene.levitor.click_model = "offline"
    bpy.ops.levitor.pick(x=160, y=100, wait=WAIT)
    assert len(picked.found.masks) == 1
    assert picked.picks.label(picked.lift) == ""
    bpy.ops.levitor.pick(x=5, y=5, positive=False, extend=True, wait=WAIT)
    assert len(picked.lift.clicks) == 2
