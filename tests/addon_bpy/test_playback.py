"""Watch Take without a window, and which take it means; the window test sees it work."""

from dataclasses import replace

import bpy
import numpy as np
import pytest

from .backend import make_film
from .conftest import contents, link, module


@pytest.fixture
def take(stage, tmp_path):
    """A take of frames 1 to 9 of a lifted photo, which is known but not placed."""
    uid = stage.lift().levitor.uid
    film = make_film(tmp_path / "take.mp4", np.full((9, 48, 64, 3), 90, np.uint8))
    sequencer = module(stage.addon, "scene.sequencer")
    made = sequencer.Take(
        job="job1",
        lift=uid,
        path=film,
        frame_start=1,
        frame_end=9,
        engine="draft",
        seed=3,
        options={},
        shot="ab" * 32,
    )
    link(stage.addon).takes[made.job] = made
    return made


def test_without_a_window_it_says_so_and_changes_nothing(take):
    before = contents()
    with pytest.raises(RuntimeError, match=r"without a window.*Open .* and use Watch Take"):
        bpy.ops.levitor.watch_take()
    assert contents() == before


def test_there_is_nothing_to_watch_before_a_take_and_in_another_file(scene, take):
    assert bpy.ops.levitor.watch_take.poll()
    bpy.ops.wm.read_homefile(use_empty=True)
    assert not bpy.ops.levitor.watch_take.poll()
    assert not bpy.ops.levitor.place_take.poll()


def test_a_placed_take_can_be_watched_when_its_file_is_opened_again(take, addon, tmp_path):
    module(addon, "scene.sequencer").place(take)
    link(addon).takes.clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert bpy.ops.levitor.watch_take.poll()


def test_takes_in_a_scene_come_in_the_order_they_were_made(take, addon):
    sequencer, playback = module(addon, "scene.sequencer"), module(addon, "scene.playback")
    for job, made, start in (("b", "2026-02-02", 100), ("a", "2026-02-01", 1), ("c", "2027", 50)):
        sequencer.place(replace(take, job=job, made=made, frame_start=start, frame_end=start + 8))
    found = playback.of_scene(bpy.context.scene)
    assert [strip["levitor_job"] for strip in found] == ["a", "b", "c"]


def test_a_take_below_another_is_shown_without_what_lies_above_it(take, addon):
    sequencer, playback = module(addon, "scene.sequencer"), module(addon, "scene.playback")
    below, above = (sequencer.place(take) for _ in range(2))
    beside = sequencer.place(replace(take, frame_start=10, frame_end=18))
    scene = bpy.context.scene
    assert [playback._channel(scene, strip) for strip in (below, above, beside)] == [1, 0, 0]


def test_what_hides_a_take_is_taken_away_and_its_frames_are_what_is_played(take, addon):
    sequencer, playback = module(addon, "scene.sequencer"), module(addon, "scene.playback")
    strip = sequencer.place(replace(take, frame_start=20, frame_end=28))
    scene = bpy.context.scene
    strip.mute = True
    scene.sequence_editor.channels[strip.channel].mute = True
    notes = " ".join(playback._reveal(scene, strip))
    assert not strip.mute
    assert not scene.sequence_editor.channels[strip.channel].mute
    assert scene.frame_current == 20
    assert (scene.frame_preview_start, scene.frame_preview_end) == (20, 28)
    assert "Channel 1 was muted" in notes
    assert "frames 20 to 28" in notes
    scene.frame_start, scene.frame_end, scene.use_preview_range = 20, 28, False
    assert playback._reveal(scene, strip) == []
