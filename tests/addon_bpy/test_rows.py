"""The rows of jobs that a real backend leaves in the panel."""

import re
import shutil

import bpy
import pytest

from .conftest import drawn, last_job, link, module, strips

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(autouse=True)
def no_rows(addon):
    """A table without the rows of earlier tests."""
    bpy.ops.levitor.dismiss()
    assert len(list(link(addon).jobs)) == len(link(addon).jobs.open)


def write_grey(path):
    """A photo of one grey."""
    image = bpy.data.images.new("grey", 32, 32)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    return path


def lift_and_key_camera(photo):
    """A lift of which a shot can be made: its camera moves."""
    scene = bpy.context.scene
    bpy.ops.levitor.lift(filepath=str(photo), wait=240.0)
    scene.camera.keyframe_insert("location", frame=scene.frame_start)
    scene.camera.location.x += 0.2
    scene.camera.keyframe_insert("location", frame=scene.frame_end)
    scene.frame_set(scene.frame_start)


def rows(addon, kind):
    return [job.state for job in link(addon).rows(kind)]


def test_a_finished_click_leaves_none_and_a_take_is_named_by_engine_seed_and_time(animated, addon):
    assert rows(addon, "segment") == []
    assert rows(addon, "lift") == ["done"]
    bpy.ops.levitor.render(seed=4, frames=2, wait=240.0)
    (job,) = link(addon).rows("submit")
    assert re.fullmatch(r"draft, seed 4, \d\d:\d\d", job.label)
    assert job.job == strips(addon)[0]["levitor_job"]


def test_a_take_that_was_measured_says_under_its_row_how_it_obeyed_and_a_draft_does_not(
    animated, addon
):
    """The still engine's take is off by where the flower goes: its own pixels of the photo."""
    bpy.ops.levitor.render(engine="still", frames=3, wait=240.0)
    bpy.ops.levitor.render(engine="draft", frames=3, wait=240.0)
    still, draft = strips(addon)
    kept = module(addon, "core.obedience").said(still["levitor_obedience"])
    assert re.fullmatch(r"Off \d+ px \(\d+(\.\d)?%\) · overlap \d+% · order .*", kept.line)
    assert float(kept.line.split()[1]) > 10
    assert "levitor_obedience" not in draft
    said = module(addon, "scene.panel_state")
    said.refresh()
    assert said.of(animated).obeyed == {still["levitor_job"]: kept}
    assert {job.job for job in link(addon).rows("submit")} >= {
        still["levitor_job"],
        draft["levitor_job"],
    }
    assert drawn(addon, "LEVITOR_PT_takes") == ""  # their rows stand above


def test_an_error_goes_when_its_cause_is_mended_or_it_is_dismissed(connected, addon, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            bpy.ops.levitor.lift(filepath=str(broken), wait=240.0)
    first, second = link(addon).rows("lift")
    assert bpy.ops.levitor.dismiss(task=first.task) == {"FINISHED"}
    assert [job.task for job in link(addon).rows("lift")] == [second.task]
    grey = write_grey(tmp_path / "grey.png")
    bpy.ops.levitor.lift(filepath=str(grey), wait=240.0)
    assert rows(addon, "lift") == ["failed", "done"]  # another photo says nothing about this one
    shutil.copy(grey, broken)
    bpy.ops.levitor.lift(filepath=str(broken), wait=240.0)
    assert rows(addon, "lift") == ["done", "done"]


def test_a_failed_render_stays_until_the_same_lift_is_rendered_by_that_engine(
    connected, addon, tmp_path
):
    first, second = (write_grey(tmp_path / f"{name}.png") for name in ("first", "second"))
    lift_and_key_camera(first)
    failing = connected.levitor.lift.name
    with pytest.raises(RuntimeError):
        bpy.ops.levitor.render(frames=2, options='{"softness": -1e9}', wait=240.0)
    assert rows(addon, "submit") == ["failed"]
    lift_and_key_camera(second)
    bpy.ops.levitor.render(frames=2, wait=240.0)
    assert rows(addon, "submit") == ["failed", "done"]
    bpy.ops.levitor.choose_lift(lift=failing)
    bpy.ops.levitor.render(frames=2, seed=7, wait=240.0)
    assert rows(addon, "submit") == ["done", "done"]


def test_what_is_under_way_cannot_be_dismissed(animated, addon):
    animated.frame_end = 400
    bpy.ops.levitor.render()
    task = link(addon).under_way()[-1]
    with pytest.raises(RuntimeError, match="Cancel it instead"):
        bpy.ops.levitor.dismiss(task=task)
    bpy.ops.levitor.cancel(job=task)
    assert last_job(addon, task).state == "cancelled"


def test_nothing_of_an_old_file_survives_but_what_still_runs_can_be_reached(
    animated, addon, tmp_path
):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flower.blend"))
    bpy.ops.levitor.render(frames=2, wait=240.0)
    bpy.ops.levitor.preview_control(over="PHOTO", frames=2, wait=240.0)
    animated.frame_end = 400
    bpy.ops.levitor.render()
    task = link(addon).under_way()[-1]
    pump = module(addon, "link.pump")
    assert pump.pump_until(lambda: link(addon).jobs.get(task).state == "running", 240.0)
    bpy.ops.wm.read_homefile(use_empty=True)
    kinds = ("lift", "segment", "preview")
    assert [rows(addon, kind) for kind in kinds] == [[], [], []]
    (job,) = link(addon).rows("submit")
    assert (job.task, job.file) == (task, "flower.blend")
    assert job.opened != module(addon, "scene.blender_state").loads()
    bpy.ops.levitor.cancel(job=task)
    assert last_job(addon, task).state == "cancelled"
    assert rows(addon, "submit") == []


def test_the_note_on_each_take_stays_under_its_own_row_when_later_ones_are_done(scene, addon):
    jobs, owner = module(addon, "core.jobs"), link(addon)
    opened = module(addon, "scene.blender_state").loads()
    notes = {"seed 1": "'Dahlia' goes below the ground.", "seed 2": "", "seed 3": "'Rose' does."}
    for task, note in notes.items():
        owner.jobs.add(jobs.JobRow(task=task, kind="submit", label=task, opened=opened))
        owner.jobs.take(jobs.TaskFinished(task=task, result=None, blobs={}, note=note))
    said = drawn(addon, "LEVITOR_PT_render")
    rows = [f"Render: {task}, done" for task in notes]
    places = [said.index(words) for words in (rows[2], notes["seed 3"], rows[1], rows[0])]
    assert places == sorted(places)
    assert said.endswith(f"{rows[0]} {notes['seed 1']}")
    assert all(said.count(note) == 1 for note in notes.values() if note)
