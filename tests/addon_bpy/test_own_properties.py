"""What the extension keeps in the file is no channel: keying a handle keys what moves it."""

import os

import bpy
import numpy as np
import pytest

from .conftest import module


@pytest.fixture
def handle(stage):
    stage.lift()
    return stage.instance("Box", depth=4.0)


def channels(ob) -> set[str]:
    data = ob.animation_data
    if data is None or data.action is None:
        return set()
    return {
        curve.data_path
        for layer in data.action.layers
        for strip in layer.strips
        for bag in strip.channelbags
        for curve in bag.fcurves
    }


def in_viewport():
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    return bpy.context.temp_override(window=window, area=area, region=region)


@pytest.mark.parametrize(
    "keying_set",
    [
        pytest.param("", id="the key I"),
        pytest.param("LocRotScaleCProp", id="a keying set with custom properties"),
    ],
)
def test_keying_a_handle_keys_its_place_turn_and_size_and_nothing_of_ours(handle, keying_set):
    handle["artist"] = 1.0  # custom properties are keyed at all
    with in_viewport():
        if keying_set:
            bpy.ops.anim.keyframe_insert_by_name(type=keying_set)
        else:
            bpy.ops.anim.keyframe_insert()
    assert channels(handle) == {"location", "rotation_euler", "scale", '["artist"]'}


def test_no_property_of_the_extension_can_be_animated(addon):
    props = module(addon, "props")
    declared = [
        (f"{cls.__name__}.{prop.identifier}", prop)
        for cls in props.CLASSES
        for prop in cls.bl_rna.properties
        if prop.is_runtime and prop.type not in ("POINTER", "COLLECTION")
    ]
    declared += [(name, owner.bl_rna.properties[name]) for owner, name, _ in props.OWN]
    assert len(declared) > 40
    assert [name for name, prop in declared if prop.is_animatable] == []


def test_every_custom_property_on_what_can_be_animated_is_declared(addon, stage, handle):
    props, item = module(addon, "props"), bpy.context.scene.levitor.lift.levitor.instances[0]
    item.flatten = 0.5
    declared = {name for _, name, _ in props.OWN}
    for ob in bpy.data.objects:
        for owner in filter(None, (ob, ob.data)):
            ours = {name for name in owner.id_properties_ensure() if name.startswith("levitor")}
            assert ours <= declared


def test_a_rest_is_kept_as_doubles_through_a_file(stage, handle, tmp_path):
    rest = np.eye(4)
    rest[:3, 3] = 1 / 3, 2 / 3, np.pi
    stage.lifts.set_rest(handle, rest)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    again = bpy.context.scene.levitor.lift.levitor.instances[0].handle
    assert (stage.lifts.rest_of(again) == rest).all()


def test_an_old_file_whose_rest_was_keyed_opens_with_the_same_rest_and_without_its_channels(
    stage, handle, tmp_path
):
    rest, path = stage.lifts.rest_of(handle), tmp_path / "old.blend"
    handle.keyframe_insert("location", frame=1)
    declared = module(stage.addon, "props").OWN[0]
    delattr(bpy.types.Object, stage.lifts.REST)  # as in the version that wrote such files
    try:
        assert handle.keyframe_insert(f'["{stage.lifts.REST}"]', frame=1)
    finally:
        setattr(declared[0], declared[1], declared[2])
    assert len(channels(handle)) == 2
    bpy.ops.wm.save_as_mainfile(filepath=os.fspath(path))
    bpy.ops.wm.open_mainfile(filepath=os.fspath(path))
    lift = bpy.context.scene.levitor.lift
    again = lift.levitor.instances[0].handle
    assert channels(again) == {"location"}
    assert (stage.lifts.rest_of(again) == rest).all()
    lift.levitor.horizontal_fov = 80.0
    moved = stage.lifts.rest_of(again)
    bpy.context.scene.frame_set(5)
    assert (stage.lifts.rest_of(again) == moved).all()
    assert not (moved == rest).all()


def test_the_background_of_an_old_file_is_made_unselectable_once_and_a_later_choice_stays(
    stage, handle, tmp_path
):
    path = os.fspath(tmp_path / "old.blend")
    lift = bpy.context.scene.levitor.lift
    lift.levitor.background.hide_select = False  # as in the version that wrote such files
    del lift[stage.lifts.GUARDED]
    for selectable in (False, True):
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
        background = bpy.context.scene.levitor.lift.levitor.background
        assert background.hide_select is not selectable
        background.hide_select = False


def test_a_background_that_was_made_selectable_since_it_was_lifted_stays_so(handle, tmp_path):
    path = os.fspath(tmp_path / "new.blend")
    bpy.context.scene.levitor.lift.levitor.background.hide_select = False
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert not bpy.context.scene.levitor.lift.levitor.background.hide_select
