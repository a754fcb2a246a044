"""Settings that a shot does not follow are said, with a button where one can mend them."""

import bpy
import numpy as np
import pytest

from .conftest import drawn, module
from .motions import key


@pytest.fixture
def box(stage):
    """A handle that moves from frame 1 to 9; the scene ends there."""
    stage.lift()
    handle = stage.instance("Box", depth=4.0)
    key(handle, "location", tuple(handle.location), (0, 4, 0))
    bpy.context.scene.frame_set(1)
    return handle


@pytest.fixture
def save(stage, tmp_path, capfd):
    """Reads the shot with an operator; returns what that and then the panel said."""

    def act():
        scene = bpy.context.scene
        capfd.readouterr()
        assert bpy.ops.levitor.save_shot(filepath=str(tmp_path / "a.shot")) == {"FINISHED"}
        said = capfd.readouterr().out
        found = module(stage.addon, "scene.notices").of(scene)
        assert all(f"Warning: {one.text}" in said for one in found)
        return found

    return act


def mend(notice):
    group, name = notice.operator.split(".")
    assert getattr(getattr(bpy.ops, group), name)(**notice.arguments) == {"FINISHED"}


def test_a_shot_that_follows_the_scene_needs_no_notice(stage, box, save):
    assert save() == []


def test_an_end_frame_left_behind_the_last_motion_is_said_and_mended(stage, box, save):
    scene = bpy.context.scene
    scene.frame_end = 250
    (notice,) = save()
    assert notice.text == "The shot goes on to frame 250, but nothing moves after frame 9."
    mend(notice)
    assert scene.frame_end == 9
    assert module(stage.addon, "scene.notices").of(scene) == []  # before another shot is read
    assert save() == []


def test_a_camera_or_lens_that_moves_to_the_end_is_motion(stage, box, save):
    scene = bpy.context.scene
    scene.frame_end = 100
    lens = scene.camera.data
    lens.keyframe_insert("lens", frame=1)
    lens.lens *= 2
    lens.keyframe_insert("lens", frame=100)
    assert save() == []


def test_few_samples_of_a_long_shot_name_a_frame_that_holds_the_whole_motion(stage, box, save):
    scene = bpy.context.scene
    scene.frame_end, scene.levitor.frames = 100, 4  # frames 1, 34, 67 and 100
    (notice,) = save()
    assert "nothing moves after frame 34" in notice.text


@pytest.mark.parametrize(
    ("size", "same"),
    [
        pytest.param((64, 48), True, id="the photo's"),
        pytest.param((128, 96), True, id="twice the photo's"),
        pytest.param((33, 25), True, id="half of it, rounded"),
        pytest.param((1024, 767), True, id="sixteen times, a row less"),
        pytest.param((64, 64), False, id="a square"),
        pytest.param((1920, 1080), False, id="a broader one"),
    ],
)
def test_a_render_size_of_another_shape_is_said_and_mended(stage, box, save, size, same):
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = size
    found = save()
    assert (found == []) == same
    if not same:
        assert f"{size[0]} x {size[1]} pixels, another shape than the photo's 64 x 48" in (
            found[0].text
        )
        mend(found[0])
        assert (render.resolution_x, render.resolution_y) == (64, 48)
        assert save() == []


@pytest.mark.parametrize("part", ["Box", "LeviTor Background"])
@pytest.mark.parametrize("eye", ["own", "collection"])
def test_points_hidden_with_the_eye_icon_are_in_the_shot_and_that_is_said(
    stage, box, save, part, eye
):
    if eye == "own":
        bpy.data.objects[part].hide_set(True)
        (notice,) = save()
        assert "is hidden with the eye icon" in notice.text
        bpy.data.objects[part].hide_set(False)
        assert module(stage.addon, "scene.notices").of(bpy.context.scene) == []
    else:
        bpy.context.view_layer.layer_collection.children["LeviTor test"].hide_viewport = True
        assert len(save()) == 2


@pytest.mark.parametrize("keyed", [False, True])
def test_a_lens_that_is_another_from_the_first_frame_on_is_refused_with_its_zoom(stage, box, keyed):
    lens = bpy.context.scene.camera.data
    lens.lens *= 1.5
    if keyed:
        lens.keyframe_insert("lens", frame=1)
    with pytest.raises(stage.lifts.ShotError) as raised:
        stage.read()
    assert "The lens is zoomed by 1.5 against the one that took the photo" in raised.value.sentence


def test_a_lens_that_is_shifted_from_the_first_frame_on_is_refused(stage, box):
    bpy.context.scene.camera.data.shift_x += 0.1
    with pytest.raises(stage.lifts.ShotError, match="The lens is shifted against the one"):
        stage.read()


def test_an_end_frame_before_the_start_is_refused(stage, box):
    with pytest.raises(RuntimeError, match="does not come after the start frame 1"):
        bpy.ops.levitor.set_end(frame=1)
    assert bpy.context.scene.frame_end == 9


@pytest.mark.parametrize("mode", ["XYZ", "QUATERNION", "AXIS_ANGLE", "ZYX"])
def test_a_handle_that_its_keys_have_elsewhere_at_the_first_frame_is_said_at_once(
    stage, box, addon, mode
):
    scene = bpy.context.scene
    box.rotation_mode = mode
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0, 4, 0), turn=(0, 0, 1))
    assert "at rest" not in drawn(addon, "LEVITOR_PT_render")
    scene.frame_start = 5
    assert "'Box' is not at rest at the first frame 5" in drawn(addon, "LEVITOR_PT_render")
    scene.frame_start = 1
    assert "at rest" not in drawn(addon, "LEVITOR_PT_render")


def test_a_handle_without_keys_may_be_moved_without_a_word(stage, addon):
    stage.lift()
    stage.instance("Box").location.x += 1.0
    assert "at rest" not in drawn(addon, "LEVITOR_PT_render")


@pytest.mark.parametrize("what", ["curves", "influence", "keys"])
def test_keys_that_do_not_place_the_handle_are_not_said_to(stage, box, addon, what):
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0, 4, 0), turn=(0, 0, 1))
    scene, data = bpy.context.scene, box.animation_data
    scene.frame_start = 5
    assert "'Box' is not at rest at the first frame 5" in drawn(addon, "LEVITOR_PT_render")
    curves = data.action.layers[0].strips[0].channelbags[0].fcurves
    if what == "influence":
        data.action_influence = 0.0
    for curve in curves:
        if what == "curves":
            curve.mute = True
        elif what == "keys":
            curve.keyframe_points.clear()
    assert "at rest" not in drawn(addon, "LEVITOR_PT_render")
    if what != "influence":  # which Blender ignores without a strip of the NLA
        box.matrix_world = stage.lifts.rest_of(box).T
        scene.frame_set(5)
        np.testing.assert_allclose(box.matrix_world, stage.lifts.rest_of(box), atol=1e-5)


def test_keys_of_a_muted_group_are_said_since_blender_evaluates_them(stage, box, addon):
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0, 4, 0), turn=(0, 0, 1))
    for group in box.animation_data.action.layers[0].strips[0].channelbags[0].groups:
        group.mute = True
    scene = bpy.context.scene
    scene.frame_start = 5
    assert "'Box' is not at rest at the first frame 5" in drawn(addon, "LEVITOR_PT_render")
    scene.frame_set(5)
    assert box.matrix_world.translation.y - stage.lifts.rest_of(box)[1, 3] == pytest.approx(2)


def test_one_muted_curve_leaves_the_others_to_be_said(stage, box, addon):
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0, 4, 0), turn=(0, 0, 1))
    bpy.context.scene.frame_start = 5
    curves = box.animation_data.action.layers[0].strips[0].channelbags[0].fcurves
    next(curve for curve in curves if curve.data_path == "rotation_euler").mute = True
    assert "'Box' is not at rest at the first frame 5" in drawn(addon, "LEVITOR_PT_render")
