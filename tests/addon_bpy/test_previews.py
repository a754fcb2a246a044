"""Control previews: asked for from Blender, made by a real backend, shown in the sequencer."""

from dataclasses import replace
from types import SimpleNamespace

import bpy
import pytest

from .conftest import contents, film_length, last_job, link, module, strips

pytestmark = pytest.mark.usefixtures("home")


def previews(addon):
    return [strip for strip in strips(addon) if "levitor_preview" in strip]


def span(addon, strip):
    return module(addon, "scene.sequencer").span_of(strip)


def test_a_preview_lies_over_the_take_on_exactly_the_shots_frames(animated, addon, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flower.blend"))
    bpy.ops.levitor.render(frames=2, wait=240.0)
    assert bpy.ops.levitor.preview_control(over="PHOTO", wait=240.0) == {"FINISHED"}
    (strip,) = previews(addon)
    place = span(addon, strip)
    assert (place.channel, place.start, place.end) == (2, 5, 13)
    assert film_length(strip) == 8
    assert strip.elements[0].orig_width == 320  # the control, and the depth beside it
    assert strip["levitor_preview"] == animated.levitor.lift.levitor.uid
    assert strip.filepath.startswith("//levitor_previews")
    assert [file.suffix for file in (tmp_path / "levitor_previews").iterdir()] == [".mp4"]
    assert len(list((tmp_path / "levitor_takes").iterdir())) == 1
    job = last_job(addon)
    assert (job.kind, job.state, job.label) == ("preview", "done", "over the photo, 8 frames")
    assert "channel 2" in job.sentence


def test_what_has_landed_is_seen_where_only_a_watched_take_was_shown(animated):
    area = max(bpy.context.screen.areas, key=lambda one: one.width * one.height)
    before, area.type = area.type, "SEQUENCE_EDITOR"
    try:
        area.spaces.active.display_channel = 1  # as after Watch Take: what lies above is not shown
        bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
        assert area.spaces.active.display_channel == 0
    finally:
        area.type = before


def test_each_preview_replaces_the_one_before_and_files_do_not_pile_up(animated, addon, home):
    for count in (2, 3, 4, 5):
        bpy.ops.levitor.preview_control(over="PHOTO", frames=count, wait=240.0)
        (strip,) = previews(addon)
        assert strip.channel == 1
    assert len(list((home / "levitor_previews").iterdir())) == 2
    shown = strip.filepath
    bpy.ops.ed.undo()
    (before,) = previews(addon)
    assert bpy.path.abspath(before.filepath) != bpy.path.abspath(shown)
    # The strip that came back shows a film that is there
    assert film_length(before) == 8


def test_a_preview_stays_above_takes_and_a_new_take_above_older_ones(animated, addon):
    def channels():
        takes = [strip.channel for strip in strips(addon) if "levitor_engine" in strip]
        return takes, [strip.channel for strip in previews(addon)]

    bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
    bpy.ops.levitor.render(frames=2, wait=240.0)
    assert channels() == ([2], [3])
    bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
    assert channels() == ([2], [3])
    # Channel 1 is free now, but below the first take the second one would not be seen
    bpy.ops.levitor.render(frames=2, wait=240.0)
    takes, shown = channels()
    assert (sorted(takes), shown) == ([2, 4], [5])


def test_what_is_not_to_be_shown_is_left_out_and_the_scene_says_so_by_default(animated, addon):
    animated.levitor.preview_show = {"POINTS"}
    animated.levitor.preview_over = "PHOTO"
    bpy.ops.levitor.preview_control(frames=2, wait=240.0)
    (strip,) = previews(addon)
    assert strip.elements[0].orig_width == 160
    assert last_job(addon).label == "over the photo, 2 frames"
    bpy.ops.levitor.preview_control(frames=2, over="DRAFT", show={"DEPTH"}, wait=240.0)
    (strip,) = previews(addon)
    assert strip.elements[0].orig_width == 320
    assert last_job(addon).label == "over the draft, 2 frames"


def test_a_preview_of_another_photo_leaves_the_first_ones_alone(animated, addon, flower):
    bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
    bpy.ops.levitor.lift(filepath=str(flower), max_side=64, wait=240.0)
    bpy.ops.levitor.pick(x=32, y=20, wait=240.0)
    bpy.ops.levitor.make_instance(name="Second")
    bpy.ops.levitor.key_handle(instance="Second", frame=12, move=(0.3, 0, 0))
    bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
    assert [strip.channel for strip in previews(addon)] == [1, 2]


def test_a_preview_is_placed_while_a_long_take_is_being_rendered(animated, addon):
    animated.frame_end = 400
    bpy.ops.levitor.render()
    take = link(addon).under_way()[-1]
    pump = module(addon, "link.pump")
    assert pump.pump_until(lambda: link(addon).jobs.get(take).state == "running", 240.0)
    bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
    assert len(previews(addon)) == 1
    assert not link(addon).jobs.get(take).final
    bpy.ops.levitor.cancel(job=take)
    assert last_job(addon, take).state == "cancelled"


def test_a_cancelled_preview_and_one_that_a_newer_one_overtook_leave_nothing(animated, addon, home):
    animated.frame_end = 400
    before = contents()
    bpy.ops.levitor.preview_control()
    first = link(addon).under_way()[-1]
    bpy.ops.levitor.preview_control()
    second = link(addon).under_way()[-1]
    assert last_job(addon, first).state == "cancelled"
    bpy.ops.levitor.cancel(job=second)
    assert last_job(addon, second).state == "cancelled"
    assert contents() == before
    assert not home.exists()


def test_a_shot_in_which_nothing_moves_is_refused_before_it_is_sent(connected, addon, flower):
    bpy.ops.levitor.lift(filepath=str(flower), max_side=160, wait=240.0)
    before = contents()
    with pytest.raises(RuntimeError, match="Nothing moves in this shot"):
        bpy.ops.levitor.preview_control(wait=240.0)
    assert link(addon).under_way() == []
    assert contents() == before


def test_a_preview_of_nothing_is_refused(animated):
    with pytest.raises(RuntimeError, match=r"show nothing.*Choose masks, points or depth"):
        bpy.ops.levitor.preview_control(show=set())


def test_an_older_backend_is_named_and_the_scene_is_as_it_was(animated, addon, monkeypatch):
    # The very backend, read as if its welcome had come in protocol 1.0
    monkeypatch.setattr(link(addon).client._link, "version", (1, 0))
    before = contents()
    with pytest.raises(RuntimeError, match=r"speaks protocol 1\.0.*needs 1\.1.*Update the LeviTor"):
        bpy.ops.levitor.preview_control(wait=240.0)
    assert link(addon).under_way() == []
    assert contents() == before


@pytest.fixture
def placed(animated, addon):
    """A preview that stands in the sequencer, as the film it was placed from."""
    bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
    (strip,) = previews(addon)
    sequencer = module(addon, "scene.sequencer")
    film = sequencer.Film(
        job="again",
        lift=strip["levitor_preview"],
        path=module(addon, "scene.preview_strips").Path(bpy.path.abspath(strip.filepath)),
        frame_start=5,
        frame_end=12,
        shot="ab" * 32,
    )
    return SimpleNamespace(strip=strip, film=film, module=module(addon, "scene.preview_strips"))


@pytest.mark.parametrize("bad", ["missing", "text"])
def test_a_film_that_cannot_be_shown_leaves_the_former_one(placed, addon, tmp_path, bad):
    path = tmp_path / "bad.mp4"
    if bad == "text":
        path.write_text("no film")
    before = contents()
    with pytest.raises(module(addon, "link.wire").ShotError, match=r"bad\.mp4"):
        placed.module.place(replace(placed.film, path=path))
    assert contents() == before
    assert previews(addon)[0]["levitor_job"] != "again"


def test_a_hidden_preview_stays_hidden_where_that_is_asked_for(placed, addon):
    placed.strip.mute = True
    assert placed.module.place(placed.film, muted=True).mute
    assert not placed.module.place(placed.film).mute


def test_locked_channels_are_left_alone(placed, addon):
    for name in ("Channel 1", "Channel 3"):
        bpy.context.scene.sequence_editor.channels[name].lock = True
    assert placed.module.place(placed.film).channel == 2
    assert placed.module.place(placed.film).channel == 2


@pytest.fixture
def follow(animated, addon, monkeypatch):
    """Lets the timer's follower act until nothing more comes; returns the jobs that it started."""
    live, pump, edits = (
        module(addon, f) for f in ("scene.live_preview", "link.pump", "scene.edit_counter")
    )
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.0)

    def act():
        before = {job.task for job in link(addon).rows("preview")}
        for _ in range(10):
            live.follow()
            assert pump.pump_until(lambda: not link(addon).waiting, 240.0)
        return [job for job in link(addon).rows("preview") if job.task not in before]

    animated.levitor.preview_over, animated.levitor.frames = "PHOTO", 2
    edits.seen()
    yield act
    animated = bpy.context.scene
    animated.levitor.preview_live = False


def test_live_previews_are_off_until_they_are_switched_on(follow, animated, addon):
    assert follow() == []
    animated.levitor.preview_live = True
    assert [job.state for job in follow()] == ["done"]
    assert len(previews(addon)) == 1


def test_a_live_preview_comes_once_for_each_change_of_the_shot(follow, animated, addon):
    animated.levitor.preview_live = True
    follow()
    assert follow() == []
    bpy.ops.levitor.key_handle(instance="Flower", frame=12, move=(0.1, -0.2, 0.0))
    bpy.context.view_layer.update()
    assert len(follow()) == 1
    animated.frame_end = 20
    assert len(follow()) == 1
    (strip,) = previews(addon)
    assert span(addon, strip).end == 21
    assert follow() == []
    instance = animated.levitor.lift.levitor.instances["Flower"]
    instance.flatten = 0.5
    bpy.context.view_layer.update()
    assert len(follow()) == 1
    instance.thickness = 0.2
    assert len(follow()) == 1
    animated.levitor.engine_options["draft.softness"]["value"] = 2.0
    assert len(follow()) == 1
    bpy.ops.levitor.reset_options()
    assert len(follow()) == 1
    # What is no part of the shot changes nothing
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.view_layer.update()
    assert follow() == []


def test_a_live_preview_makes_no_undo_step_and_stays_hidden(follow, animated, addon):
    animated.levitor.preview_live = True
    follow()
    previews(addon)[0].mute = True
    bpy.ops.ed.undo_push(message="Before")
    animated.frame_end = 20
    bpy.ops.ed.undo_push(message="Longer")
    follow()
    assert previews(addon)[0].mute
    bpy.ops.ed.undo()
    assert bpy.context.scene.frame_end == 12
    assert len(previews(addon)) == 1


def test_a_shot_that_cannot_be_previewed_is_told_in_the_panel_until_it_can(follow, animated, addon):
    live = module(addon, "scene.live_preview")
    animated.levitor.preview_live = True
    animated.frame_start = 10  # the handle has left its rest there
    assert follow() == []
    assert "is not at rest at the first frame 10" in live.trouble
    assert len(previews(addon)) == 0
    animated.frame_start = 5
    assert len(follow()) == 1
    assert live.trouble == ""


def test_a_scene_that_has_to_be_played_is_previewed_when_asked_and_never_by_itself(
    follow, animated, addon
):
    live, scene = module(addon, "scene.live_preview"), animated
    scene["slide"] = 0.0
    handle = scene.levitor.lift.levitor.instances["Flower"].handle
    driver = handle.driver_add("delta_location", 0).driver
    variable = driver.variables.new()
    variable.name, driver.expression = "v", "v"
    target = variable.targets[0]
    target.id_type, target.id, target.data_path = "SCENE", scene, '["slide"]'
    scene.levitor.preview_live = True
    frames = []
    bpy.app.handlers.frame_change_post.append(lambda scene, *_: frames.append(scene.name))
    try:
        assert follow() == []
    finally:
        bpy.app.handlers.frame_change_post.pop()
    assert frames == []
    assert "the whole scene has to be played" in live.trouble
    assert live.trouble.endswith("Use Preview Control.")
    assert bpy.ops.levitor.preview_control(wait=240.0) == {"FINISHED"}
    assert len(previews(addon)) == 1
