"""Results that wait for Object Mode, and what the panels say meanwhile."""

import bpy
import pytest

from .conftest import drawn, link, module


def edit_a_mesh():
    """Go into Edit Mode, in which nothing is placed."""
    mesh = bpy.data.objects.new("mine", bpy.data.meshes.new("mine"))
    bpy.context.scene.collection.objects.link(mesh)
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.object.mode_set(mode="EDIT")


def test_results_wait_until_edit_mode_is_left(connected, addon, flower):
    pump = module(addon, "link.pump")
    edit_a_mesh()
    bpy.ops.levitor.lift(filepath=str(flower), max_side=160)
    assert pump.pump_until(lambda: link(addon).held, 240.0)
    pump.pump()
    assert link(addon).held
    bpy.ops.object.mode_set(mode="OBJECT")
    pump.pump()
    assert not link(addon).held
    assert "LeviTor flower" in bpy.data.collections


@pytest.fixture
def held(connected, addon, flower):
    """The task of a lift whose result waits for the end of Edit Mode."""
    edit_a_mesh()
    bpy.ops.levitor.lift(filepath=str(flower), max_side=64)
    (task,) = link(addon).under_way()
    assert module(addon, "link.pump").pump_until(lambda: link(addon).held, 240.0)
    yield task
    if bpy.context.object is not None and bpy.context.object.mode == "EDIT":
        bpy.ops.object.mode_set(mode="OBJECT")
    module(addon, "link.pump").pump()


def test_cancelling_drops_a_result_that_waits_to_be_placed(held, addon):
    assert bpy.ops.levitor.cancel(job=held) == {"FINISHED"}
    assert link(addon).jobs.get(held).state == "cancelled"
    assert not link(addon).held
    bpy.ops.object.mode_set(mode="OBJECT")
    module(addon, "link.pump").pump()
    assert "LeviTor flower" not in bpy.data.collections


def test_a_result_that_has_arrived_is_placed_though_the_connection_ended(held, addon):
    bpy.ops.levitor.disconnect()
    bpy.ops.object.mode_set(mode="OBJECT")
    module(addon, "link.pump").pump()
    assert link(addon).jobs.get(held).state == "done"
    assert "LeviTor flower" in bpy.data.collections


def test_waiting_for_a_held_result_says_why_and_what_to_do(held, addon):
    with pytest.raises(module(addon, "link.wire").ShotError) as told:
        link(addon).wait(held, 0.0)
    assert told.value.sentence == "The result is here, but Blender is not in Object Mode."
    assert told.value.fix == "Go back to Object Mode; it is placed then."


def test_the_panel_of_the_held_result_says_what_it_waits_for(held, addon):
    sentence = "A result waits, since Blender is not in Object Mode. Go back to Object Mode"
    assert sentence in drawn(addon, "LEVITOR_PT_photo")
    assert "waits" not in drawn(addon, "LEVITOR_PT_instances")
    assert "waits" not in drawn(addon, "LEVITOR_PT_render")


def test_the_panel_says_where_photos_go_and_how_long_an_answer_takes(connected, addon):
    owner = link(addon)
    assert module(addon, "link.pump").pump_until(
        lambda: owner.status.round_trip_seconds is not None, 10.0
    )
    words = drawn(addon, "LEVITOR_PT_connection")
    assert "Sends photos, clicks and shots to 127.0.0.1." in words
    assert f"Round trip: {1000 * owner.status.round_trip_seconds:.1f} ms" in words


def test_the_panel_says_what_an_engine_lacks_and_what_made_depth(connected, addon):
    said = drawn(addon, "LEVITOR_PT_render")
    assert "are not on this computer" not in said  # the draft needs nothing
    connected.levitor.engine = "levitor"
    said = drawn(addon, "LEVITOR_PT_render")
    assert "The weights 'svd-xt' (Stable Video Diffusion XT) are not on this computer" in said
    assert "`levitor doctor` says what to fetch." in said
    said = drawn(addon, "LEVITOR_PT_connection")
    assert "Depth: ground plane No depth network" in said
    assert "levitor on cpu" in said or "levitor on auto" in said  # until a worker is ready


def test_the_panel_says_how_long_a_render_still_takes(scene, addon):
    jobs, owner = module(addon, "core.jobs"), link(addon)
    owner.jobs.add(jobs.JobRow(task="t", kind="submit", label="draft, 8 frames"))
    try:
        owner.jobs.take(jobs.TaskProgress(task="t", phase="d", done=1, total=8, eta_seconds=6.6))
        assert "draft, 8 frames: about 7 s left" in drawn(addon, "LEVITOR_PT_render")
    finally:
        del owner.jobs.rows["t"]


def test_no_result_is_placed_while_particles_are_combed(scene, addon):
    busy = module(addon, "scene.blender_state")
    bpy.ops.mesh.primitive_plane_add()
    bpy.ops.object.particle_system_add()
    bpy.context.object.particle_systems[0].settings.type = "HAIR"
    bpy.context.view_layer.update()
    assert busy.hindrance() is None
    bpy.ops.object.mode_set(mode="PARTICLE_EDIT")
    assert busy.hindrance()[0] == "Blender is not in Object Mode"
    bpy.ops.object.mode_set(mode="OBJECT")
