"""Picking, and cutting instances out of the photo."""

import re
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from .conftest import contents, module


def test_an_instance_takes_its_points_and_its_handle_rests_at_their_middle(stage):
    collection = stage.lift()
    handle = stage.instance("Box", rows=slice(10, 20), columns=slice(10, 20), depth=6.0)
    lift = collection.levitor
    item = lift.instances["Box"]
    assert len(item.points.data.vertices) == 100
    assert len(lift.background.data.vertices) == 64 * 48 - 100
    # Columns 10..19 of 64: centre 15, so (15 - 32) / 60 * 6; rows likewise from the middle, up.
    np.testing.assert_allclose(handle.location, [-1.7, 6.0, 0.9], atol=1e-5)
    assert (stage.lifts.rest_of(handle)[:3, 3] == np.array(handle.location)).all()
    assert item.points.parent == handle
    local = stage.cloud.read(item.points).position
    np.testing.assert_allclose(local.mean(axis=0), 0, atol=1e-6)
    assert all(item.points.lock_location)


def test_moving_the_handle_moves_the_points(stage):
    stage.lift()
    handle = stage.instance(depth=6.0)
    handle.location.x += 2
    bpy.context.view_layer.update()
    points = bpy.context.scene.levitor.lift.levitor.instances[0].points
    np.testing.assert_allclose(points.matrix_world.translation, handle.location, atol=1e-6)


def test_two_instances_of_one_name_get_names_of_their_own(stage):
    lift = stage.lift().levitor
    stage.instance("Cat", rows=slice(0, 5))
    stage.instance("Cat", rows=slice(5, 10))
    assert [item.name for item in lift.instances] == ["Cat", "Cat.001"]
    lift.instances[1].name = "Cat"
    assert [item.name for item in lift.instances] == ["Cat", "Cat.001"]


def test_making_an_instance_is_one_undo_step(stage):
    stage.lift()
    lift = bpy.context.scene.levitor.lift.levitor
    points = stage.cloud.read(lift.background)
    mesh = lift.background.data
    stage.cloud.set_floats(mesh, "Pick", points.pixel < 100)
    stage.cloud.set_floats(mesh, "pick_depth", points.depth)
    bpy.ops.ed.undo_push(message="Picked")
    before = contents()
    assert bpy.ops.levitor.make_instance("EXEC_DEFAULT", True, name="Top") == {"FINISHED"}
    assert len(bpy.context.scene.levitor.lift.levitor.instances) == 1
    bpy.ops.ed.undo()
    lift = bpy.context.scene.levitor.lift.levitor
    assert contents() == before
    assert len(lift.instances) == 0
    assert len(lift.background.data.vertices) == 64 * 48
    assert (stage.cloud.floats(lift.background.data, "Pick") == (points.pixel < 100)).all()


def test_without_a_pick_nothing_is_made(stage):
    stage.lift()
    before = contents()
    with pytest.raises(RuntimeError, match="No pixel of the photo is picked"):
        bpy.ops.levitor.make_instance(name="Nothing")
    assert contents() == before


def test_a_pick_of_everything_is_refused_with_the_number_of_points(stage):
    stage.lift(width=32, height=16)
    with pytest.raises(stage.lifts.ShotError, match="All 512 points"):
        stage.instance(rows=slice(0, 16), columns=slice(0, 32))


def test_points_in_edit_mode_are_not_split(stage):
    background = stage.lift().levitor.background
    values = np.ones(64 * 48, np.float32)
    stage.cloud.set_floats(background.data, "Pick", values)
    stage.cloud.set_floats(background.data, "pick_depth", values)
    bpy.context.view_layer.objects.active = background
    bpy.ops.object.mode_set(mode="EDIT")
    before = contents()
    with pytest.raises(RuntimeError, match="'LeviTor Background' are in edit mode"):
        bpy.ops.levitor.make_instance(name="Box")
    assert contents() == before
    bpy.ops.object.mode_set(mode="OBJECT")


def test_splitting_that_goes_wrong_leaves_nothing(stage, addon, monkeypatch):
    stage.lift()
    before = contents()

    def fail(*values, **more):
        raise MemoryError("no memory")

    monkeypatch.setattr(stage.cloud, "make", fail)
    with pytest.raises(MemoryError):
        stage.instance("Box")
    assert contents() == before


@pytest.mark.parametrize(("x", "y"), [(64, 10), (-1, 10), (10, 48)])
def test_a_click_outside_is_refused_with_the_size_of_the_photo(stage, x, y):
    stage.lift()
    with pytest.raises(RuntimeError, match="outside the photo, which is 64 x 48 pixels"):
        bpy.ops.levitor.pick(x=x, y=y)


def test_picking_needs_a_lifted_photo(scene):
    with pytest.raises(RuntimeError, match="Lift a photo first"):
        bpy.ops.levitor.pick(x=1, y=1)


def test_the_photo_is_read_from_its_points_once_and_again_after_an_instance_or_undo(stage, addon):
    collection = stage.lift()
    shots, scene = module(addon, "scene.shots"), bpy.context.scene
    first = shots.scene_of(scene, collection)
    assert shots.scene_of(scene, collection) is first
    bpy.ops.ed.undo_push(message="Lift")
    stage.instance("Box", rows=slice(10, 20), columns=slice(10, 20), depth=3.0)
    second = shots.scene_of(scene, collection)
    assert second[0].image == first[0].image  # the same pixels, a block of them nearer
    assert second[0].depth != first[0].depth
    bpy.ops.ed.undo_push(message="Make Instance")
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert shots.scene_of(scene, scene.levitor.lift)[0].depth == first[0].depth


def test_a_mesh_that_another_object_shows_stays(stage):
    background = stage.lift().levitor.background
    mine = bpy.data.objects.new("Mine", background.data)
    bpy.context.scene.collection.objects.link(mine)
    stage.instance("Box")
    assert len(mine.data.vertices) == 64 * 48
    assert len(background.data.vertices) == 64 * 48 - 100
    assert "Mine" in bpy.data.objects


CHANGES = {
    "lens": (
        lambda scene: setattr(scene.camera.data, "lens", 20.0),
        "focal length is 35.56 pixels",
    ),
    "shift": (lambda scene: setattr(scene.camera.data, "shift_y", 0.25), "its centre .32, 40."),
    "fit": (lambda scene: setattr(scene.camera.data, "sensor_fit", "VERTICAL"), None),
    "type": (lambda scene: setattr(scene.camera.data, "type", "ORTHO"), "not a perspective camera"),
    "aspect": (lambda scene: setattr(scene.render, "pixel_aspect_x", 1.5), "aspect is 1.5 to 1"),
    "camera": (lambda scene: setattr(scene, "camera", None), "active camera is not the photo"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_clicks_in_a_camera_view_that_is_not_the_photo_are_refused(stage, addon, what):
    stage.lift()
    change, sentence = CHANGES[what]
    scene = bpy.context.scene
    if what == "fit":  # a vertical fit of the same lens measures by the height, 48 for 36 mm
        scene.camera.data.sensor_height = 24.0
        sentence = "focal length is 67.5 pixels"
    pick = module(addon, "ops.pick")
    if what != "fit":
        assert pick._at_rest(bpy.context) == scene.levitor.lift.levitor
    change(scene)
    with pytest.raises(stage.lifts.ShotError) as raised:
        pick._at_rest(bpy.context)
    assert re.search(sentence, raised.value.sentence)


def test_a_mouse_over_a_scene_without_camera_is_nowhere(stage, addon):
    stage.lift()
    scene = bpy.context.scene
    scene.camera = None
    # There is no window here; of a view only this is asked before its camera.
    space = SimpleNamespace(region_3d=SimpleNamespace(view_perspective="CAMERA"))
    region = SimpleNamespace(type="WINDOW", x=0, y=0, width=100, height=80)
    spaces = SimpleNamespace(active=space)
    area = SimpleNamespace(type="VIEW_3D", spaces=spaces, regions=[region])
    window = SimpleNamespace(screen=SimpleNamespace(areas=[area]))
    context = SimpleNamespace(scene=scene, window=window)
    assert module(addon, "scene.viewport").camera_place(context, 50, 40) is None


def test_picking_that_breaks_gives_the_cursor_back_and_says_so_once(stage, addon, caplog):
    stage.lift()
    said, ended = [], []
    operator = module(addon, "ops.pick").LEVITOR_OT_pick
    stand_in = SimpleNamespace(
        report=lambda kind, sentence: said.append((kind, sentence)),
        cancel=ended.append,
    )
    stand_in._modal = lambda context, event: operator._modal(stand_in, context, event)
    context = SimpleNamespace(scene=None)
    event = SimpleNamespace(type="LEFTMOUSE", value="PRESS")
    assert operator.modal(stand_in, context, event) == {"CANCELLED"}
    assert ended == [context]
    assert len(said) == len(caplog.records) == 1
    assert said[0][0] == {"ERROR"}
    assert said[0][1].startswith("Picking ended")
