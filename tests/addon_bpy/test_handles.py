"""Handles and the photo's camera: keyed, selected, put back to rest."""

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Vector

from .conftest import contents, module


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


MODES = ["QUATERNION", "XYZ", "ZYX", "AXIS_ANGLE"]


def turned(ob):
    bpy.context.view_layer.update()
    return np.array(ob.matrix_world)


@pytest.mark.parametrize("mode", MODES)
def test_a_handle_keeps_its_rotation_mode_and_is_keyed_in_it(stage, mode):
    stage.lift()
    handle = stage.instance("Box", depth=6.0)
    handle.rotation_mode = mode
    rest = turned(handle)
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0), turn=(0.3, 0, 0.5), scale=2.0)
    assert handle.rotation_mode == mode
    scene = bpy.context.scene
    scene.frame_set(9)
    expected = Matrix.LocRotScale(
        Vector(rest[:3, 3]) + Vector((1, 0, 0)), Euler((0.3, 0, 0.5)), Vector((2, 2, 2))
    )
    np.testing.assert_allclose(turned(handle), np.array(expected), atol=1e-5)
    scene.frame_set(1)
    np.testing.assert_array_equal(turned(handle), rest)


@pytest.mark.parametrize("mode", MODES)
def test_a_turn_that_is_not_keyed_yet_is_keyed_as_it_stands(stage, mode):
    stage.lift()
    handle = stage.instance("Box")
    rest = turned(handle)
    bpy.context.scene.frame_set(5)
    handle.rotation_mode = mode
    if mode == "QUATERNION":
        handle.rotation_quaternion = (0.8, 0, 0.6, 0)
    elif mode == "AXIS_ANGLE":
        handle.rotation_axis_angle = (9.0, 0, 1, 0)  # more than a whole turn
    else:
        handle.rotation_euler = (0, 0, 9.0)
    stood = turned(handle)
    bpy.ops.levitor.key_handle()
    if mode == "AXIS_ANGLE":
        assert handle.rotation_axis_angle[0] == 9.0
    elif mode != "QUATERNION":
        assert handle.rotation_euler.z == 9.0
    bpy.context.scene.frame_set(1)
    np.testing.assert_array_equal(turned(handle), rest)
    bpy.context.scene.frame_set(5)
    np.testing.assert_allclose(turned(handle), stood, atol=1e-6)


def test_a_handle_under_a_moving_parent_rests_where_it_rests_in_the_world(stage):
    stage.lift()
    handle = stage.instance("Box", depth=6.0)
    rest, scene = turned(handle), bpy.context.scene
    parent = bpy.data.objects.new("parent", None)
    scene.collection.objects.link(parent)
    for frame, x in ((1, 3.0), (9, -2.0)):
        parent.location.x = x
        parent.rotation_euler.z = x / 4
        for channel in ("location", "rotation_euler"):
            parent.keyframe_insert(channel, frame=frame)
    handle.parent = parent
    scene.frame_set(4)
    bpy.ops.levitor.key_handle(frame=9, move=(1, -2, 0.5))
    assert scene.frame_current == 4
    scene.frame_set(1)
    np.testing.assert_allclose(turned(handle), rest, atol=1e-5)
    scene.frame_set(9)
    moved = turned(handle)
    np.testing.assert_allclose(moved[:3, 3] - rest[:3, 3], [1, -2, 0.5], atol=1e-5)
    np.testing.assert_allclose(moved[:3, :3], np.eye(3), atol=1e-5)


def test_a_handle_with_deltas_rests_where_it_rests_in_the_world(stage):
    stage.lift()
    handle = stage.instance("Box", depth=6.0)
    rest = turned(handle)
    handle.delta_location, handle.delta_rotation_euler = (1, 2, 3), (0, 0, 0.5)
    bpy.ops.levitor.key_handle(frame=9, move=(0, 1, 0), turn=(0, 0.25, 0))
    scene = bpy.context.scene
    scene.frame_set(1)
    np.testing.assert_allclose(turned(handle), rest, atol=1e-5)
    scene.frame_set(9)
    np.testing.assert_allclose(turned(handle)[:3, 3] - rest[:3, 3], [0, 1, 0], atol=1e-5)
    np.testing.assert_allclose(
        turned(handle)[:3, :3], np.array(Euler((0, 0.25, 0)).to_matrix()), atol=1e-5
    )
    assert tuple(handle.delta_location) == (1, 2, 3)


def test_rest_is_keyed_where_only_one_channel_was_keyed_by_hand(stage):
    stage.lift()
    handle = stage.instance("Box")
    rest = turned(handle)
    handle.location.z += 1
    handle.keyframe_insert("location", index=2, frame=4)
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0), scale=2.0)
    bpy.context.scene.frame_set(1)
    np.testing.assert_array_equal(turned(handle), rest)


def test_a_key_on_the_first_frame_that_is_not_rest_is_the_artists_and_stays(stage):
    stage.lift()
    handle = stage.instance("Box")
    handle.location.z += 1
    handle.keyframe_insert("location", frame=1)
    stood = handle.location.copy()
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0))
    bpy.context.scene.frame_set(1)
    assert handle.location == stood


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"move": (float("nan"), 0, 0)}, "Move .nan, 0.0, 0.0.* are not all finite numbers"),
        ({"turn": (0, float("inf"), 0)}, "turn .0.0, .* are not all finite numbers"),
        ({"scale": -1.0}, "cannot be scaled by -1"),
    ],
)
def test_what_is_no_place_is_refused_with_its_numbers(stage, values, sentence):
    stage.lift()
    stage.instance("Box")
    before = contents()
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.levitor.key_handle(frame=9, **values)
    assert contents() == before


def test_the_selected_handle_is_keyed_else_that_of_the_list(stage):
    lift = stage.lift().levitor
    one = stage.instance("One", rows=slice(0, 5))
    two = stage.instance("Two", rows=slice(5, 10))
    objects = bpy.context.view_layer.objects
    assert (objects.active, two.select_get(), one.select_get()) == (two, True, False)
    two.select_set(False)
    lift.instances["One"].points.select_set(True)
    objects.active = lift.instances["One"].points
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0))
    assert one.animation_data is not None
    assert two.animation_data is None
    objects.active.select_set(False)
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0))
    assert two.animation_data is not None


def test_choosing_in_the_list_selects_the_handle(stage):
    lift = stage.lift().levitor
    one = stage.instance("One", rows=slice(0, 5))
    two = stage.instance("Two", rows=slice(5, 10))
    lift.active_instance = 0
    assert bpy.context.view_layer.objects.active == one
    assert (one.select_get(), two.select_get()) == (True, False)


def test_a_deleted_handle_is_not_keyed_and_its_pixels_are_given_back(stage):
    stage.lift()
    handle = stage.instance("Box")
    bpy.data.collections["LeviTor test"].objects.unlink(handle)
    with pytest.raises(RuntimeError, match="There is no instance yet"):
        bpy.ops.levitor.key_handle(instance="Box", frame=9)
    lift = bpy.context.scene.levitor.lift.levitor
    assert len(lift.background.data.vertices) == 64 * 48
    assert not bpy.data.actions


def test_a_linked_handle_is_told_to_be_made_local(stage, tmp_path):
    stage.lift()
    stage.instance("Box")
    path = str(tmp_path / "set.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.collections = ["LeviTor test"]
    scene = bpy.context.scene
    scene.collection.children.link(wanted.collections[0])
    scene.levitor.lift = wanted.collections[0]
    with pytest.raises(RuntimeError, match=r"'Box Handle' comes from another file.*Make it local"):
        bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(1, 0, 0))


@pytest.mark.parametrize("mode", MODES)
def test_reset_puts_a_keyed_handle_back_on_this_frame_for_good(stage, mode):
    stage.lift()
    handle = stage.instance("Box")
    handle.rotation_mode = mode
    rest, scene = turned(handle), bpy.context.scene
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0), turn=(0, 0, 1))
    scene.frame_set(9)
    bpy.ops.levitor.reset_handle()
    scene.frame_set(5)
    scene.frame_set(9)
    np.testing.assert_array_equal(turned(handle), rest)
    assert handle.animation_data.action is not None
    bpy.ops.levitor.reset_handle(clear_keys=True)
    assert handle.animation_data is None


def test_reset_takes_the_keys_of_an_instance_that_stays(stage):
    stage.lift()
    handle = stage.instance("Vase", moving=False)
    rest = turned(handle)
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0))
    bpy.context.scene.frame_set(9)
    bpy.ops.levitor.reset_handle(instance="Vase")
    assert handle.animation_data is None
    np.testing.assert_array_equal(turned(handle), rest)


def test_reset_camera_brings_back_place_lens_and_size_of_a_keyed_camera(stage, addon):
    collection = stage.lift(fx=72.0, cx=25.0)
    scene, eye = bpy.context.scene, collection.levitor.camera
    rest = turned(eye)
    eye.keyframe_insert("location", frame=1)
    eye.location, eye.data.lens = (1, 2, 3), 20.0
    eye.keyframe_insert("location", frame=9)
    eye.data.keyframe_insert("lens", frame=9)
    eye.rotation_euler.z, eye.data.type, eye.data.shift_x = 1, "ORTHO", 0.5
    scene.render.resolution_x, scene.render.pixel_aspect_y = 999, 3
    scene.camera = None
    scene.frame_set(9)
    assert bpy.ops.levitor.reset_camera() == {"FINISHED"}
    scene.frame_set(5)
    scene.frame_set(9)
    np.testing.assert_allclose(turned(eye), rest, atol=1e-6)
    assert scene.camera == eye
    photo = stage.lifts.photo_of(collection)
    assert module(addon, "scene.camera").problem(scene, eye, photo) is None
    assert (scene.render.resolution_x, scene.render.resolution_y) == (64, 48)
