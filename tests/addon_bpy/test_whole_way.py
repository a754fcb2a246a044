"""The whole way, with a real photo and a real backend in another process."""

import json
import re

import bpy
import numpy as np
import pytest

from .conftest import contents, film_length, last_job, link, module, strips

pytestmark = pytest.mark.usefixtures("home")


def test_a_click_lights_up_the_flower_and_a_negative_one_takes_away(connected, addon, flower):
    bpy.ops.levitor.lift(filepath=str(flower), max_side=320, wait=240.0)
    lift = connected.levitor.lift.levitor
    bpy.ops.levitor.pick(x=160, y=100, wait=240.0)
    cloud = module(addon, "scene.cloud")
    points = cloud.read(lift.background)

    def picked():
        return points.pixel[cloud.floats(lift.background.data, "Pick") > 0.5]

    first = picked()
    assert 100 * 320 + 160 in first
    assert 0.02 < len(first) / len(points) < 0.6
    assert lift.picked == len(first)
    bpy.ops.levitor.pick(x=5, y=5, positive=False, extend=True, wait=240.0)
    assert [(c.x, c.y, c.positive) for c in lift.clicks] == [(160, 100, True), (5, 5, False)]
    assert 5 * 320 + 5 not in picked()
    bpy.ops.ed.undo()
    lift = bpy.context.scene.levitor.lift.levitor
    assert len(lift.clicks) == 1
    assert (picked() == first).all()


def test_a_box_holds_for_the_clicks_that_extend_it_and_ends_with_the_instance(
    connected, addon, flower
):
    bpy.ops.levitor.lift(filepath=str(flower), max_side=320, wait=240.0)
    lift = connected.levitor.lift.levitor
    bpy.ops.levitor.pick(x=160, y=100, box=(120, 60, 200, 140), wait=240.0)
    bpy.ops.levitor.pick(x=150, y=90, extend=True, wait=240.0)
    assert tuple(lift.box) == (120, 60, 200, 140)
    pixel = module(addon, "scene.cloud").read(lift.background).pixel
    mask = module(addon, "scene.cloud").floats(lift.background.data, "Pick") > 0.5
    rows, columns = np.divmod(pixel[mask], 320)
    assert rows.min() >= 60
    assert columns.max() < 200
    bpy.ops.levitor.make_instance(name="Part")
    assert not any(lift.box)


def test_a_pick_by_mask_is_the_mask(connected, addon, flower, tmp_path):
    bpy.ops.levitor.lift(filepath=str(flower), max_side=320, wait=240.0)
    lift = connected.levitor.lift.levitor
    image = bpy.data.images.new("mask", lift.width, lift.height)
    values = np.zeros((lift.height, lift.width, 4), np.float32)
    values[..., 3] = 1
    values[-20:, :30] = 1  # Blender's rows count from the bottom: the upper left corner
    image.pixels.foreach_set(values.ravel())
    image.filepath_raw, image.file_format = str(tmp_path / "mask.png"), "PNG"
    image.save()
    bpy.ops.levitor.pick(mask_path=str(tmp_path / "mask.png"), wait=240.0)
    cloud = module(addon, "scene.cloud")
    picked = np.flatnonzero(cloud.floats(lift.background.data, "Pick"))
    assert lift.picked == len(picked) == 600
    assert picked.max() == 19 * lift.width + 29


def test_the_picked_flower_stands_upright_at_one_depth(animated, addon):
    lift = animated.levitor.lift.levitor
    depth = module(addon, "scene.cloud").read(lift.instances["Flower"].points).depth
    assert len(np.unique(depth)) == 1
    assert 2.0 <= depth[0] <= 20.0


def test_the_take_stands_in_the_sequencer_of_a_saved_file(animated, addon, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flower.blend"))
    assert bpy.ops.levitor.render(engine="draft", seed=4, wait=240.0) == {"FINISHED"}
    (strip,) = strips(addon)
    span = module(addon, "scene.sequencer").span_of(strip)
    assert (span.channel, span.start, span.end) == (1, 5, 13)
    assert film_length(strip) == 8
    assert strip.filepath.startswith("//levitor_takes")
    (file,) = (tmp_path / "levitor_takes").iterdir()
    assert file.suffix == ".mp4"
    assert strip["levitor_engine"] == "draft"
    assert strip["levitor_seed"] == 4
    assert isinstance(json.loads(strip["levitor_options"]), dict)
    assert len(strip["levitor_shot"]) == 64
    assert strip["levitor_job"] in link(addon).takes
    bpy.ops.ed.undo()
    assert strips(addon) == []
    assert file.is_file()
    bpy.ops.levitor.place_take()
    assert [s["levitor_seed"] for s in strips(addon)] == [4]


def test_a_reopened_file_renders_the_same_shot_again(animated, addon, tmp_path):
    path = str(tmp_path / "again.blend")
    bpy.ops.levitor.render(frames=3, wait=240.0)
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.ops.levitor.render(frames=3, wait=240.0)
    first, second = strips(addon)
    assert first["levitor_shot"] == second["levitor_shot"]
    assert first["levitor_job"] != second["levitor_job"]
    assert {first.channel, second.channel} == {1, 2}


def test_an_unsaved_files_take_lies_in_the_home_folder(animated, addon, home):
    bpy.ops.levitor.render(frames=2, wait=240.0)
    (strip,) = strips(addon)
    (file,) = (home / "levitor_takes").iterdir()
    assert bpy.path.abspath(strip.filepath) == str(file)


def test_a_take_of_a_file_that_was_saved_meanwhile_lies_beside_it(animated, addon, tmp_path, home):
    bpy.ops.levitor.render(frames=2)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flower.blend"))
    last_job(addon)
    (strip,) = strips(addon)
    assert strip.filepath.startswith("//levitor_takes")
    assert not home.exists()


def test_the_first_click_on_render_after_opening_a_file_sends_the_shot(animated, addon, endpoint):
    link(addon).disconnect()
    preferences = module(addon, "prefs").get()
    kept, preferences.endpoint = preferences.endpoint, endpoint
    try:
        assert bpy.ops.levitor.render(frames=2) == {"FINISHED"}
    finally:
        preferences.endpoint = kept
    assert last_job(addon).state == "done"
    assert len(strips(addon)) == 1


def test_a_take_whose_folder_cannot_be_written_is_kept_elsewhere_and_placed(
    animated, addon, tmp_path, home
):
    (tmp_path / "file").write_text("no folder")
    preferences = module(addon, "prefs").get()
    preferences.takes = str(tmp_path / "file")
    try:
        bpy.ops.levitor.render(frames=2)
        job = last_job(addon)
    finally:
        preferences.takes = ""
    (file,) = (home / "levitor_takes").iterdir()
    assert job.state == "done"
    assert job.sentence.startswith(f"Kept as {file}. {tmp_path / 'file'}")
    assert [bpy.path.abspath(strip.filepath) for strip in strips(addon)] == [str(file)]


def test_a_take_that_arrives_in_another_file_is_kept_until_its_own_is_open(
    animated, addon, tmp_path
):
    path = str(tmp_path / "flower.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.levitor.render(frames=2)
    bpy.ops.wm.read_homefile(use_empty=True)
    job = last_job(addon)
    (file,) = (tmp_path / "levitor_takes").iterdir()
    assert (job.state, job.sentence) == (
        "done",
        f"Kept as {file}; open its file and use Place Take.",
    )
    assert strips(addon) == []
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.ops.levitor.place_take()
    assert [strip.filepath for strip in strips(addon)] == [f"//levitor_takes/{file.name}"]


def test_a_second_photo_lifted_meanwhile_does_not_lose_the_first_ones_take(animated, addon, flower):
    bpy.ops.levitor.render(frames=2)
    render = link(addon).under_way()[-1]
    bpy.ops.levitor.lift(filepath=str(flower), max_side=64, wait=240.0)
    assert last_job(addon, render).state == "done"
    assert len(strips(addon)) == 1


def test_renaming_the_scene_while_a_photo_is_lifted_does_not_matter(connected, addon, flower):
    bpy.ops.levitor.lift(filepath=str(flower), max_side=64)
    task = link(addon).under_way()[-1]
    connected.name = "renamed"
    assert last_job(addon, task).state == "done"
    assert connected.levitor.lift.name == "LeviTor flower"


def test_a_script_gets_the_scenes_settings_and_what_it_gives_itself_wins(animated, addon, flower):
    settings = animated.levitor
    settings.seed, settings.frames = 7, 3
    settings.engine_options["draft.softness"]["value"] = 1.5
    bpy.ops.levitor.render(wait=240.0)
    bpy.ops.levitor.render(seed=0, frames=2, wait=240.0)
    first, second = strips(addon)
    assert [one["levitor_seed"] for one in (first, second)] == [7, 0]
    labels = [job.label for job in list(link(addon).jobs)[-2:]]
    assert [label.rpartition(", ")[0] for label in labels] == ["draft, seed 7", "draft, seed 0"]
    assert all(re.fullmatch(r"\d\d:\d\d", label.rpartition(", ")[2]) for label in labels)
    assert json.loads(first["levitor_options"])["softness"] == 1.5
    settings.max_side = 96
    for given, width in (({}, 96), ({"max_side": 64}, 64)):
        bpy.ops.levitor.lift(filepath=str(flower), wait=240.0, **given)
        assert settings.lift.levitor.width == width


def test_takes_are_not_placed_when_the_scene_says_so(animated, addon):
    animated.levitor.place_automatically = False
    bpy.ops.levitor.render(frames=2, wait=240.0)
    assert strips(addon) == []
    bpy.ops.levitor.place_take(job=next(iter(link(addon).takes)))
    assert len(strips(addon)) == 1


def test_a_cancelled_render_leaves_the_scene_as_it_was(animated, addon):
    pump = module(addon, "link.pump")
    animated.frame_end = 400
    before = contents()
    bpy.ops.levitor.render()
    task = link(addon).under_way()[-1]
    assert pump.pump_until(lambda: link(addon).jobs.get(task).state == "running", 240.0)
    bpy.ops.levitor.cancel()
    assert pump.pump_until(lambda: link(addon).jobs.get(task).final, 240.0)
    assert link(addon).jobs.get(task).state == "cancelled"
    assert strips(addon) == []
    assert contents() == before


def test_an_engine_that_is_not_there_is_named_with_those_that_are(animated):
    with pytest.raises(RuntimeError, match=r"no engine 'magic'.*draft"):
        bpy.ops.levitor.render(engine="magic")


@pytest.mark.parametrize("options", ["{", "[1]", '{"a": [1]}'])
def test_options_that_are_none_are_refused_with_an_example(animated, options):
    with pytest.raises(RuntimeError, match=r"Write them like \{.softness.: 1\.5\}"):
        bpy.ops.levitor.render(options=options)


def test_a_shot_in_which_nothing_moves_is_refused_before_it_is_sent(connected, addon, flower):
    bpy.ops.levitor.lift(filepath=str(flower), max_side=160, wait=240.0)
    with pytest.raises(RuntimeError, match="Nothing moves in this shot"):
        bpy.ops.levitor.render(wait=240.0)
    assert link(addon).under_way() == []
