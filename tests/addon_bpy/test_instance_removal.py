"""Instances that go, by the operator or by hand, and copies of them."""

import bpy
import numpy as np
import pytest

from .conftest import contents, module
from .test_held import drawn

FIELDS = ("position", "colour", "pixel", "depth", "segment")


def lift():
    return bpy.context.scene.levitor.lift.levitor


def points(stage):
    """Every field of the background's points, to the bit."""
    found = stage.cloud.read(lift().background)
    return {name: getattr(found, name).tobytes() for name in FIELDS}


@pytest.fixture
def picked(stage):
    """A photo with the instance Box; and what the background was before it was picked."""
    stage.lift()
    stage.untouched = points(stage)
    stage.handle = stage.instance("Box", rows=slice(10, 20), columns=slice(10, 20), depth=3.0)
    bpy.ops.ed.undo_push(message="Make Instance")
    return stage


def delete(*objects):
    """As X does in the viewport."""
    for ob in bpy.context.view_layer.objects:
        ob.select_set(ob in objects)
    bpy.context.view_layer.objects.active = objects[0]
    with bpy.context.temp_override(selected_objects=list(objects)):
        assert bpy.ops.object.delete("EXEC_DEFAULT", True) == {"FINISHED"}


def look(stage):
    """What the timer does a moment after an edit."""
    mend, edits = (
        module(stage.addon, "scene.deletion_watch"),
        module(stage.addon, "scene.edit_counter"),
    )
    pump = module(stage.addon, "link.pump")
    bpy.context.view_layer.update()
    assert pump.pump_until(lambda: edits.count(mend.QUIET_SECONDS) is not None, 10)
    mend.follow()
    return mend.trouble


def test_a_removed_instance_leaves_the_background_as_it_was_lifted_to_the_bit(picked):
    assert points(picked) != picked.untouched
    assert bpy.ops.levitor.remove_instance(instance="Box") == {"FINISHED"}
    assert points(picked) == picked.untouched
    assert [item.name for item in lift().instances] == []
    assert "Box" not in bpy.data.objects
    assert "Box Handle" not in bpy.data.objects
    assert len(bpy.data.meshes) == 1


def test_a_later_pick_sees_the_photo_and_the_depth_of_before_the_first(picked, addon):
    shots, scene = module(addon, "scene.shots"), bpy.context.scene
    with_box = shots.scene_of(scene, scene.levitor.lift)[0]
    bpy.ops.levitor.remove_instance(instance="Box")
    again = shots.scene_of(scene, scene.levitor.lift)[0]
    assert again.depth != with_box.depth
    depth = module(addon, "link.wire").content.array_blob_of(picked.depth)[0]
    assert again.depth == depth


@pytest.mark.parametrize("change", ["flatten", "fov", "thickness"])
def test_shape_and_field_of_view_of_an_instance_do_not_stay_with_its_pixels(picked, change):
    item = lift().instances["Box"]
    if change == "flatten":
        item.flatten = 0.7
    elif change == "thickness":
        item.thickness = 0.5
    else:
        lift().horizontal_fov = 70.0
    bpy.ops.levitor.remove_instance(instance="Box")
    if change == "fov":
        found = picked.cloud.read(lift().background)
        photo = picked.lifts.photo_of(bpy.context.scene.levitor.lift)
        flat = picked.depth.ravel()
        expected = picked.pure.positions(found.pixel, flat, photo.intrinsics, photo.width)
        np.testing.assert_array_equal(found.depth, flat)
        np.testing.assert_array_equal(found.position, expected)
    else:
        assert points(picked) == picked.untouched


def test_removing_is_one_undo_step_and_undo_brings_all_of_it_back(picked):
    handle = lift().instances["Box"].handle
    handle.location.x += 1
    handle.keyframe_insert("location", frame=3)
    bpy.ops.ed.undo_push(message="Keyed")
    before = contents()
    assert bpy.ops.levitor.remove_instance("EXEC_DEFAULT", True, instance="Box") == {"FINISHED"}
    after = contents()
    assert after != before
    bpy.ops.ed.undo()
    assert contents() == before
    assert len(lift().instances["Box"].points.data.vertices) == 100
    bpy.ops.ed.redo()
    assert contents() == after
    assert points(picked) == picked.untouched


def test_the_others_stay_as_they_are_and_the_list_goes_on_to_the_next(picked):
    for n, name in enumerate(("Two", "Three")):
        picked.instance(name, rows=slice(20 + 5 * n, 25 + 5 * n))
    kept = picked.cloud.read(lift().instances["Three"].points)
    bpy.ops.levitor.remove_instance(instance="Two")
    assert [item.name for item in lift().instances] == ["Box", "Three"]
    assert lift().active_instance == 1
    now = picked.cloud.read(lift().instances["Three"].points)
    assert all((getattr(now, name) == getattr(kept, name)).all() for name in FIELDS)
    pixel = picked.cloud.pixels(lift().background)
    assert (np.diff(pixel) > 0).all()
    assert len(pixel) == 64 * 48 - 100 - 5 * 10


def test_a_pick_under_way_stays_picked(picked):
    background = lift().background
    pixel = picked.cloud.pixels(background)
    picked.cloud.set_floats(background.data, "Pick", pixel < 50)
    picked.cloud.set_floats(background.data, "pick_depth", np.where(pixel < 50, 5.0, 0.0))
    lift().picked = 50
    bpy.ops.levitor.remove_instance(instance="Box")
    now = picked.cloud.pixels(lift().background)
    assert (picked.cloud.floats(lift().background.data, "Pick") == (now < 50)).all()
    assert lift().picked == 50
    bpy.ops.levitor.make_instance(name="Top")
    assert len(lift().instances["Top"].points.data.vertices) == 50


def test_points_in_edit_mode_are_not_given_back(picked):
    bpy.context.view_layer.objects.active = lift().instances["Box"].points
    bpy.ops.object.mode_set(mode="EDIT")
    before = contents()
    with pytest.raises(RuntimeError, match="'Box' are in edit mode"):
        bpy.ops.levitor.remove_instance(instance="Box")
    assert contents() == before
    bpy.ops.object.mode_set(mode="OBJECT")


def test_an_instance_of_an_older_file_says_which_depth_its_pixels_keep(picked, capfd):
    mesh = lift().instances["Box"].points.data
    mesh.attributes.remove(mesh.attributes["lifted_depth"])
    bpy.ops.levitor.remove_instance(instance="Box")
    assert "by an older LeviTor" in capfd.readouterr().out
    found = picked.cloud.read(lift().background)
    assert (np.sort(found.depth)[:100] >= 2).all()
    assert (found.depth == 3.0).sum() == 100


HANDS = {
    "x on the handle": lambda item: delete(item.handle),
    "x on the points": lambda item: delete(item.points),
    "x on both": lambda item: delete(item.handle, item.points),
    "script, handle": lambda item: bpy.data.objects.remove(item.handle),
    "script, points": lambda item: bpy.data.objects.remove(item.points),
    "script, both": lambda item: bpy.data.batch_remove([item.handle, item.points]),
    "unlinked": lambda item: [c.objects.unlink(item.handle) for c in item.handle.users_collection],
}


@pytest.mark.parametrize("hand", HANDS)
def test_what_is_deleted_by_hand_heals_a_moment_later_without_loss(picked, hand):
    before = contents()
    HANDS[hand](lift().instances["Box"])
    if not hand.startswith("x on"):  # a script makes no step by itself
        bpy.ops.ed.undo_push(message="Delete")
    assert look(picked) == ""
    assert points(picked) == picked.untouched
    assert len(lift().instances) == 0
    assert "Box" not in bpy.data.objects
    assert "Box Handle" not in bpy.data.objects
    bpy.ops.ed.undo()  # to what was deleted and not yet healed
    look(picked)
    bpy.ops.ed.undo()
    assert look(picked) == ""
    assert contents() == before
    assert len(lift().instances["Box"].points.data.vertices) == 100
    assert len(lift().background.data.vertices) == 64 * 48 - 100


@pytest.mark.parametrize("hand", HANDS)
def test_the_next_action_heals_where_the_timer_did_not(picked, hand, tmp_path):
    other = picked.instance("Other", rows=slice(30, 40))
    HANDS[hand](lift().instances["Box"])
    bpy.ops.levitor.key_handle(instance="Other", frame=9, move=(1, 0, 0))
    assert [item.name for item in lift().instances] == ["Other"]
    assert len(lift().background.data.vertices) == 64 * 48 - 100
    assert other.animation_data is not None
    shot, _ = picked.read()
    assert [one.name for one in shot.instances] == ["Other"]


def test_an_undo_that_leads_back_to_a_deletion_is_not_undone_again_by_healing(picked):
    delete(lift().instances["Box"].handle)
    look(picked)
    bpy.ops.ed.undo()
    trouble = look(picked)
    assert trouble.startswith("The handle of 'Box' is not in the scene any more. Undo")
    assert len(lift().instances) == 1
    with pytest.raises(RuntimeError, match="There is no instance yet"):
        bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0))
    assert points(picked) == picked.untouched


def test_two_that_a_script_removed_heal_together(picked):
    picked.instance("Other", rows=slice(30, 40))
    for item in lift().instances:
        bpy.data.objects.remove(item.points)
    assert look(picked) == ""
    assert points(picked) == picked.untouched
    assert len(lift().instances) == 0


@pytest.fixture
def two_photos(stage):
    """Two photos of one size, each with an instance at the same place, whose points a script took.

    The first one is worked on; the second one's mesh comes before it in the file.
    """
    found = []
    for name in ("first", "second"):
        collection = stage.lift(name=name)
        if name == "second":  # the same random bytes otherwise
            grey = stage.cloud.read(lift().background)
            grey.colour[:] = 0.25
            lift().background.data = stage.cloud.make("LeviTor Background", grey)
        found.append((collection, points(stage)))
        stage.instance("Z" if name == "first" else "A")
    for collection, _ in found:
        bpy.data.objects.remove(collection.levitor.instances[0].points)
    bpy.context.scene.levitor.lift = found[0][0]
    return found


def test_an_instance_of_one_of_two_photos_gets_its_own_pixels_back(stage, two_photos):
    for collection, untouched in two_photos:
        bpy.context.scene.levitor.lift = collection
        module(stage.addon, "scene.instance_removal").heal(bpy.context.scene)
        assert points(stage) == untouched
        assert len(lift().instances) == 0


def test_where_older_meshes_do_not_say_of_which_photo_they_are_none_is_guessed(stage, two_photos):
    for mesh in bpy.data.meshes:
        if stage.lifts.LIFT in mesh:
            del mesh[stage.lifts.LIFT]
    (first, untouched), _ = two_photos
    removal = module(stage.addon, "scene.instance_removal")
    assert removal.heal(bpy.context.scene) == ""
    assert len(lift().instances) == 1
    bpy.data.meshes.remove(bpy.data.meshes["A"])
    assert "'Z' was deleted; 100 pixels are back" in removal.heal(bpy.context.scene)
    assert first == bpy.context.scene.levitor.lift
    assert points(stage) == untouched


def test_the_sidebar_says_when_nothing_heals_any_more(picked, addon):
    pump, mend = module(addon, "link.pump"), module(addon, "scene.deletion_watch")
    assert "heal" not in drawn(addon, "LEVITOR_PT_instances")
    edits = module(addon, "scene.edit_counter")
    try:
        del bpy.context.scene.levitor.lift["levitor_intrinsics"]  # as no code of ours would
        delete(lift().instances["Box"].handle)
        bpy.context.view_layer.update()
        assert pump.pump_until(lambda: edits.count(mend.QUIET_SECONDS) is not None, 10)
        pump.beat()
        said = drawn(addon, "LEVITOR_PT_instances")
        assert "does not heal any more" in said
        assert "levitor_intrinsics" in said
    finally:
        mend.stop()
        mend.start()
    assert mend.said() == ""


def test_pixels_whose_mesh_is_gone_are_told_and_the_entry_can_be_removed(picked, capfd):
    mesh = lift().instances["Box"].points.data
    bpy.data.objects.remove(lift().instances["Box"].points)
    bpy.data.meshes.remove(mesh)
    assert look(picked).startswith("The points of 'Box' are not in the scene any more.")
    bpy.ops.levitor.remove_instance(instance="Box")
    assert "no pixel of it came back" in capfd.readouterr().out
    with pytest.raises(picked.lifts.ShotError, match="100 of the photo's 3072 points were deleted"):
        picked.lifts.clouds_of(bpy.context.scene, bpy.context.scene.levitor.lift)


def test_a_handle_that_is_in_another_scene_too_stays_there(picked):
    other = bpy.data.scenes.new("Other")
    handle = lift().instances["Box"].handle
    other.collection.objects.link(handle)
    for collection in list(handle.users_collection):
        if collection != other.collection:
            collection.objects.unlink(handle)
    look(picked)
    assert points(picked) == picked.untouched
    assert [ob.name for ob in other.objects] == ["Box Handle"]


def duplicate(linked, *objects):
    for ob in bpy.context.view_layer.objects:
        ob.select_set(ob in objects)
    before = set(bpy.data.objects)
    with bpy.context.temp_override(selected_objects=list(objects)):
        bpy.ops.object.duplicate(linked=linked)
    return sorted(ob.name for ob in set(bpy.data.objects) - before)


@pytest.mark.parametrize("linked", [False, True], ids=["Shift-D", "Alt-D"])
@pytest.mark.parametrize("what", ["handle", "points", "both"])
def test_a_copy_is_refused_by_name_and_all_is_well_without_it(picked, linked, what):
    bpy.ops.levitor.key_handle(frame=9, move=(1, 0, 0))
    item = lift().instances["Box"]
    objects = {"handle": [item.handle], "points": [item.points]}.get(
        what, [item.handle, item.points]
    )
    copied = duplicate(linked, *objects)
    assert len(copied) == len(objects)
    trouble = look(picked)
    with pytest.raises(picked.lifts.ShotError) as raised:
        picked.read()
    for text in (trouble, raised.value.sentence):
        assert "a photo has each of its pixels once" in text
        assert all(f"'{name}'" in text for name in copied)
    for name in copied:
        bpy.data.objects[name].hide_set(True)
    assert look(picked) == ""
    picked.read()
    for name in copied:
        bpy.data.objects[name].hide_set(False)
        bpy.data.objects.remove(bpy.data.objects[name])
    assert look(picked) == ""
    assert len(lift().instances) == 1
    shot, _ = picked.read()
    assert [one.name for one in shot.instances] == ["Box"]


def test_a_second_lift_in_the_scene_is_no_copy(picked):
    picked.lift(name="other")
    picked.instance("Box")
    bpy.data.collections["LeviTor test"].hide_viewport = False
    assert look(picked) == ""
