"""Picking, instances and the keys of their handles."""

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


def test_the_first_key_puts_rest_on_the_first_frame(stage):
    stage.lift()
    handle = stage.instance("Box", depth=6.0)
    rest = np.array(handle.location)
    bpy.ops.levitor.key_handle(
        instance="Box", frame=9, move=(1, -2, 0.5), turn=(0, 0, 0.25), scale=1.5
    )
    scene = bpy.context.scene
    scene.frame_set(1)
    np.testing.assert_array_equal(handle.location, rest)
    assert tuple(handle.scale) == (1, 1, 1)
    scene.frame_set(9)
    np.testing.assert_allclose(np.array(handle.location) - rest, [1, -2, 0.5], atol=1e-6)
    assert handle.rotation_euler.z == 0.25
    assert tuple(handle.scale) == (1.5, 1.5, 1.5)


def test_keying_another_frame_shows_the_current_one(stage):
    stage.lift()
    handle = stage.instance("Box")
    rest = np.array(handle.location)
    scene = bpy.context.scene
    scene.frame_set(1)
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(1, 0, 0))
    assert scene.frame_current == 1
    np.testing.assert_array_equal(handle.location, rest)


def test_the_button_keys_the_handle_as_it_stands_on_the_current_frame(stage):
    stage.lift()
    handle = stage.instance("Box")
    rest = np.array(handle.location)
    bpy.context.scene.frame_set(5)
    handle.location.x += 3
    bpy.ops.levitor.key_handle()
    bpy.context.scene.frame_set(1)
    np.testing.assert_array_equal(handle.location, rest)
    bpy.context.scene.frame_set(5)
    assert handle.location.x == pytest.approx(rest[0] + 3)


def test_an_unknown_instance_is_named_with_those_there_are(stage):
    stage.lift()
    stage.instance("Box")
    with pytest.raises(RuntimeError, match="no instance 'Bax'; there are 'Box'"):
        bpy.ops.levitor.key_handle(instance="Bax", frame=3)


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
