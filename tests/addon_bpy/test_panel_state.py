"""What panels show is found by the timer; drawing them looks for nothing."""

from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

from .conftest import Page, module

SEARCHES = (
    ("scene.active_lift", "every"),
    ("scene.colour_management", "differences"),
    ("scene.linked", "is_foreign"),
    ("scene.notices", "of"),
    ("scene.playback", "of_scene"),
    ("scene.selection", "hint"),
    ("scene.sequencer", "of_this_file"),
)


@pytest.fixture
def state(stage, addon):
    """The finder, with nothing found yet and due at once."""
    found = module(addon, "scene.panel_state")
    found.forget()
    found._next = 0.0
    return found


def test_drawing_a_panel_searches_nothing(stage, state, addon, monkeypatch):
    stage.lift()
    assert state.refresh()

    def never(*_):
        raise AssertionError("a panel searched")

    for place, name in SEARCHES:
        monkeypatch.setattr(module(addon, place), name, never)
    shading = SimpleNamespace(type="SOLID")
    context = SimpleNamespace(
        scene=bpy.context.scene,
        space_data=SimpleNamespace(shading=shading),
        preferences=bpy.context.preferences,
        window_manager=bpy.context.window_manager,
    )
    panels = module(addon, "ui.panels")
    for name in ("photo", "lift_settings", "instances", "render", "preview", "connection"):
        page = Page()
        getattr(panels, f"LEVITOR_PT_{name}").draw(SimpleNamespace(layout=page), context)
        assert name != "photo" or "test: 64 x 48" in " ".join(page.words)


def test_the_timer_finds_what_became_of_the_scene(stage, state):
    scene = bpy.context.scene
    assert state.of(scene) == state.PanelState()
    stage.lift()
    scene.view_settings.exposure = 1.0
    state.follow()
    assert state.of(scene).has_lifts
    assert "exposure 1" in state.of(scene).colour_differences
    scene.view_settings.exposure = 0.0
    state.follow()  # too early: the last look is no 0.2 seconds old
    assert "exposure 1" in state.of(scene).colour_differences
    state._next = 0.0
    state.follow()
    assert state.of(scene).colour_differences == ()
    assert not state.refresh()  # nothing is different now


def test_an_error_that_stays_is_logged_once_and_keeps_what_was_found(
    stage, state, addon, monkeypatch, caplog
):
    stage.lift()
    state.follow()

    def broken(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(module(addon, "scene.linked"), "is_foreign", broken)
    for _ in range(3):
        state._next = 0.0
        state.follow()
    assert len(caplog.records) == 1
    assert state.of(bpy.context.scene).has_lifts


def test_a_scene_that_cannot_be_looked_at_keeps_its_state_and_the_others_follow(
    stage, state, addon, monkeypatch, caplog
):
    stage.lift()
    good, bad = bpy.context.scene, bpy.data.scenes.new("Bad")
    bad.levitor.lift = good.levitor.lift
    windows = [SimpleNamespace(scene=bad), SimpleNamespace(scene=good)]
    manager = SimpleNamespace(window_manager=SimpleNamespace(windows=windows))
    monkeypatch.setattr(state, "bpy", SimpleNamespace(context=manager))
    state.refresh()
    colours = module(addon, "scene.colour_management")
    differences = colours.differences

    def broken(scene):
        if scene == bad:
            raise RuntimeError("no")
        return differences(scene)

    monkeypatch.setattr(colours, "differences", broken)
    for scene in (good, bad):
        scene.view_settings.exposure = 1.0
    before = state.of(bad)
    for _ in range(3):
        state.refresh()
    assert "exposure 1" in state.of(good).colour_differences
    assert state.of(bad) is before
    assert [("'Bad'" in record.getMessage()) for record in caplog.records] == [True]
    monkeypatch.setattr(colours, "differences", differences)
    state.refresh()
    assert "exposure 1" in state.of(bad).colour_differences


def test_a_poll_searches_where_the_last_look_does_not_answer(stage, state, addon, monkeypatch):
    uid = stage.lift().levitor.uid
    state.refresh()
    assert not bpy.ops.levitor.watch_take.poll()
    sequencer, takes = module(addon, "scene.sequencer"), module(addon, "link.pump").link().takes
    takes["job1"] = sequencer.Take(
        job="job1", lift=uid, path=Path("no.mp4"), frame_start=1, frame_end=9,
        engine="draft", seed=1, options={}, shot="",
    )  # fmt: skip
    assert bpy.ops.levitor.watch_take.poll()  # it arrived after the look
    assert bpy.ops.levitor.place_take.poll()
    state.refresh()
    monkeypatch.setattr(sequencer, "of_this_file", lambda _: [])
    assert bpy.ops.levitor.watch_take.poll()
    with pytest.raises(RuntimeError, match="There is no take of this file"):
        bpy.ops.levitor.place_take()
    monkeypatch.setattr(state, "FRESH_SECONDS", -1.0)  # as if the look were long ago
    assert not bpy.ops.levitor.watch_take.poll()
    assert not bpy.ops.levitor.place_take.poll()


def test_another_file_has_nothing_of_the_former(stage, state):
    stage.lift()
    state.follow()
    bpy.ops.wm.read_homefile(use_empty=True)
    assert state._found == {}


def test_another_file_begins_with_empty_caches(stage, addon):
    names = ("notices", "outline_overlay", "picks")
    notices, overlay, picks = (module(addon, f"scene.{name}") for name in names)
    notices._latest[1], overlay._kept[1] = [], (None, None)
    picks._gone.add("key")
    bpy.ops.wm.read_homefile(use_empty=True)
    assert (notices._latest, overlay._kept, picks._gone) == ({}, {}, set())


@pytest.mark.parametrize("name", ["lift", "pick", "render", "preview_control", "connect"])
def test_what_only_scripts_give_is_in_no_file_browser(addon, name):
    properties = getattr(bpy.ops.levitor, name).get_rna_type().properties
    hidden = {one.identifier for one in properties if one.is_hidden}
    assert {"wait", "options"} & set(properties.keys()) <= hidden
