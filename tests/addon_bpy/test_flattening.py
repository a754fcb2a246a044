"""Flatten and thickness of an instance: shown at once, kept, and part of the shot."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from .conftest import contents, module

HALF = np.array([8 / 3, 4.0, 16 / 3])


@pytest.fixture
def slope(stage):
    """An instance of 10 x 10 pixels at depths 2, 4 and 8; its handle."""
    collection = stage.lift()
    background = collection.levitor.background
    points = stage.cloud.read(background)
    row, column = np.divmod(points.pixel, 64)
    mask = (row >= 10) & (row < 20) & (column >= 10) & (column < 20)
    depth = np.where(column < 13, 2.0, np.where(column < 17, 4.0, 8.0)).astype(np.float32)
    stage.cloud.set_floats(background.data, stage.cloud.PICK, mask)
    stage.cloud.set_floats(background.data, stage.cloud.PICK_DEPTH, depth)
    stage.handles.make_instance(bpy.context.scene, collection, "Slope", True)
    return instance().handle


def instance(name="Slope", scene=None):
    return (scene or bpy.context.scene).levitor.lift.levitor.instances[name]


def points(stage, item=None):
    return stage.cloud.read((item or instance()).points)


def pixels(stage, item=None):
    """Where the photo's camera sees the points, (n, 2)."""
    item = item or instance()
    bpy.context.view_layer.update()
    place = points(stage, item).position @ np.array(item.points.matrix_world)[:3, :3].T
    place = place + np.array(item.points.matrix_world)[:3, 3]
    return np.stack([60 * place[:, 0] / place[:, 1] + 32, -60 * place[:, 2] / place[:, 1] + 24], -1)


def move(handle):
    handle.keyframe_insert("location", frame=1)
    handle.location.x += 0.5
    handle.keyframe_insert("location", frame=9)
    bpy.context.scene.frame_set(1)


def test_flattening_moves_the_points_at_once_and_the_photos_camera_sees_no_difference(stage, slope):
    before, place = pixels(stage), points(stage).position
    instance().flatten = 0.5
    depth = points(stage).depth
    # 1/2, 1/4, 1/8 half way to the median 1/4: 3/8, 1/4, 3/16
    np.testing.assert_allclose(np.unique(depth), HALF, rtol=1e-6)
    np.testing.assert_allclose(pixels(stage), before, atol=1e-4)
    assert np.abs(points(stage).position - place).max() > 0.5
    row, column = np.divmod(points(stage).pixel, 64)
    np.testing.assert_allclose(pixels(stage), np.stack([column, row], -1) + 0.5, atol=1e-4)
    instance().flatten = 1.0
    assert (points(stage).depth == 4).all()


def test_back_at_0_everything_is_as_it_was_to_the_bit(stage, slope):
    before = points(stage)
    for amount in (0.3, 1.0, 0.7, 0.0):
        instance().flatten = amount
    after = points(stage)
    for field in ("position", "depth", "colour", "pixel"):
        np.testing.assert_array_equal(getattr(after, field), getattr(before, field))


def test_discs_are_as_large_as_their_pixel_at_the_depth_that_is_shown(stage, slope):
    instance().flatten = 1.0
    shown = instance().points.data.attributes["depth"]
    assert {round(value.value, 5) for value in shown.data} == {4.0}


def test_the_shot_has_both_and_the_depth_that_was_lifted(stage, slope):
    move(slope)
    plain, _ = stage.read(frames=3)
    assert (plain.instances[0].flatten, plain.instances[0].thickness) == (0.0, 0.0)
    instance().flatten, instance().thickness = 0.3, 0.2
    shaped, _ = stage.read(frames=3)
    # As typed, and not as the 32 bits of Blender's fields
    assert (shaped.instances[0].flatten, shaped.instances[0].thickness) == (0.3, 0.2)
    assert shaped.scene.depth == plain.scene.depth
    assert shaped.scene.image == plain.scene.image
    shots = module(stage.addon, "scene.shots")
    scene, _ = shots.scene_of(bpy.context.scene, bpy.context.scene.levitor.lift)
    assert scene.depth == plain.scene.depth


def test_what_blender_exports_is_where_blender_shows_it(stage, slope):
    move(slope)
    instance().flatten = 0.6
    seen = module(stage.addon, "link.wire").splat.points_of(*stage.read(frames=2))
    mine = points(stage)
    world = mine.position + stage.lifts.rest_of(slope)[:3, 3]
    found = seen.xyz[mine.pixel]
    np.testing.assert_allclose(found, world[:, [0, 2, 1]] * [1, -1, 1], atol=1e-5)


def test_undo_takes_back_the_field_and_the_points_together(stage, slope):
    bpy.ops.ed.undo_push(message="Instance")
    before = points(stage).position
    instance().flatten, instance().thickness = 1.0, 0.5
    bpy.ops.ed.undo_push(message="Flatten")
    bpy.ops.ed.undo()
    assert (instance().flatten, instance().thickness) == (0.0, 0.0)
    np.testing.assert_array_equal(points(stage).position, before)
    bpy.ops.ed.redo()
    assert (instance().flatten, instance().thickness) == (1.0, 0.5)
    assert (points(stage).depth == 4).all()
    instance().flatten = 0.0
    np.testing.assert_array_equal(points(stage).position, before)


def test_a_file_that_is_opened_again_has_shape_and_relief(stage, slope, tmp_path):
    move(slope)
    before = points(stage).position
    instance().flatten, instance().thickness = 0.5, 0.25
    shot, _ = stage.read(frames=2)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flat.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "flat.blend"))
    again, _ = stage.read(frames=2)
    assert again.instances == shot.instances
    assert again.scene.depth == shot.scene.depth
    instance().flatten = 0.0
    np.testing.assert_array_equal(points(stage).position, before)


def test_a_full_copy_of_the_scene_has_a_shape_of_its_own(stage, slope):
    move(slope)
    instance().flatten = 0.5
    original, before = bpy.context.scene, points(stage).depth
    bpy.ops.scene.new(type="FULL_COPY")
    copied = instance(scene=bpy.context.scene)
    assert copied.points != instance(scene=original).points
    copied.flatten = 1.0
    assert (points(stage, copied).depth == 4).all()
    np.testing.assert_array_equal(points(stage, instance(scene=original)).depth, before)
    assert [stage.read(2)[0].instances[0].flatten] == [1.0]
    bpy.context.window.scene = original
    assert [stage.read(2)[0].instances[0].flatten] == [0.5]


def test_a_duplicate_of_the_points_keeps_the_shape_that_it_had(stage, slope):
    instance().flatten = 0.5
    double = instance().points.copy()
    double.data = double.data.copy()
    bpy.context.scene.collection.objects.link(double)
    instance().flatten = 1.0
    np.testing.assert_allclose(np.unique(stage.cloud.read(double).depth), HALF, rtol=1e-6)


def test_points_in_edit_mode_stay_and_so_does_the_field(stage, slope):
    ob = instance().points
    bpy.context.view_layer.objects.active = ob
    bpy.ops.object.mode_set(mode="EDIT")
    before = contents()
    instance().flatten = 1.0
    assert instance().flatten == 0.0
    assert contents() == before
    bpy.ops.object.mode_set(mode="OBJECT")
    instance().flatten = 1.0
    assert (points(stage).depth == 4).all()


def test_a_handle_that_was_moved_moves_flat_points_too(stage, slope):
    slope.location.z += 2
    before = pixels(stage)
    instance().flatten = 1.0
    slope.location.z -= 2
    row, column = np.divmod(points(stage).pixel, 64)
    np.testing.assert_allclose(pixels(stage), np.stack([column, row], -1) + 0.5, atol=1e-4)
    assert np.abs(before[:, 1] - row).max() > 5


def test_another_instances_points_and_the_background_stay(stage, slope):
    stage.instance("Other", rows=slice(30, 40))
    background = bpy.context.scene.levitor.lift.levitor.background
    kept = [stage.cloud.read(ob).position for ob in (instance("Other").points, background)]
    instance().flatten = 1.0
    for ob, before in zip((instance("Other").points, background), kept, strict=True):
        np.testing.assert_array_equal(stage.cloud.read(ob).position, before)


@pytest.mark.parametrize(("field", "value", "kept"), [("flatten", 7, 1), ("thickness", -1, 0)])
def test_fields_keep_to_their_limits_and_cannot_be_animated(stage, slope, field, value, kept):
    setattr(instance(), field, value)
    assert getattr(instance(), field) == kept
    with pytest.raises(TypeError, match="not animatable"):
        instance().keyframe_insert(field)


def test_a_thickness_past_the_far_distance_is_refused_when_the_shot_is_read(stage, slope):
    move(slope)
    instance().thickness = 10.0
    with pytest.raises(stage.lifts.ShotError, match=r"'Slope' is 10 units thick, .*distance, 9"):
        stage.read(frames=2)


def test_the_panel_shows_the_fields_of_the_chosen_instance(stage, slope):
    drawn = []

    class Layout:
        def __getattr__(self, name):
            return lambda *given, **more: drawn.append((name, *given[-1:])) or Layout()

    panel = module(stage.addon, "ui.panels").LEVITOR_PT_instances
    panel.draw(SimpleNamespace(layout=Layout()), bpy.context)
    assert ("prop", "flatten") in drawn
    assert ("prop", "thickness") in drawn


def test_another_field_of_view_keeps_the_shape_and_the_relief(stage, slope):
    move(slope)
    lift = bpy.context.scene.levitor.lift.levitor
    instance().flatten = 0.5
    lift.horizontal_fov = 70.0
    np.testing.assert_allclose(np.unique(points(stage).depth), HALF, rtol=1e-6)
    assert stage.read(frames=2)[0].instances[0].flatten == 0.5
    instance().flatten = 0.0
    assert set(points(stage).depth) == {2, 4, 8}
    stage.read(frames=2)
