"""A click on an instance means its handle, and nothing means the background by accident."""

import bpy
import pytest

from .conftest import contents, module


@pytest.fixture
def two(stage):
    """A photo with the instances One and Two; nothing is selected."""
    lift = stage.lift().levitor
    stage.instance("One", rows=slice(0, 5))
    stage.instance("Two", rows=slice(5, 10))
    for ob in bpy.context.selected_objects:
        ob.select_set(False)
    bpy.context.view_layer.objects.active = None
    bpy.context.view_layer.update()
    return lift


def click(ob, extend=False):
    """What Blender's own select operator does to the object under the pointer."""
    layer = bpy.context.view_layer
    if not extend:
        for other in list(layer.objects.selected):
            other.select_set(False)
        ob.select_set(True)
    else:
        was = ob.select_get() and layer.objects.active == ob
        ob.select_set(not was)
    layer.objects.active = ob
    layer.update()


def selected():
    return {ob.name for ob in bpy.context.selected_objects}


def test_a_click_on_the_points_selects_the_handle_so_that_g_moves_them(two):
    click(two.instances["One"].points)
    assert selected() == {"One Handle"}
    assert bpy.context.view_layer.objects.active == two.instances["One"].handle
    bpy.ops.transform.translate(value=(1, 0, 0))
    bpy.context.view_layer.update()
    points = two.instances["One"].points
    assert points.matrix_world.translation.x == pytest.approx(
        two.instances["One"].handle["levitor_rest"][3] + 1
    )


def test_a_second_click_on_the_same_points_keeps_the_handle_selected(two):
    for _ in range(2):
        click(two.instances["One"].points)
    assert selected() == {"One Handle"}


def test_shift_click_adds_instances_and_takes_the_active_one_away_again(two):
    click(two.instances["One"].points)
    click(two.instances["Two"].points, extend=True)
    assert selected() == {"One Handle", "Two Handle"}
    click(two.instances["One"].points, extend=True)  # selected, not active: becomes the active one
    assert selected() == {"One Handle", "Two Handle"}
    assert bpy.context.view_layer.objects.active == two.instances["One"].handle
    click(two.instances["One"].points, extend=True)
    assert selected() == {"Two Handle"}


def test_select_all_takes_handles_and_neither_points_nor_the_background(two):
    bpy.ops.object.select_all(action="SELECT")
    bpy.context.view_layer.update()
    assert {"One Handle", "Two Handle"} <= selected()
    assert not selected() & {"One", "Two", "LeviTor Background"}
    bpy.ops.object.select_all(action="DESELECT")
    bpy.context.view_layer.update()
    assert selected() == set()


def test_points_chosen_in_the_outliner_stay_active_and_their_handle_is_selected(two, addon):
    points = two.instances["One"].points
    points.select_set(True)
    layer = bpy.context.view_layer
    layer.objects.active = points
    module(addon, "scene.selection").hand_on(layer, 0, "OUTLINER_OT_item_activate")
    assert selected() == {"One Handle"}
    assert layer.objects.active == points


def test_inverting_a_selection_does_not_select_the_handle_again_by_its_points(two, addon):
    two.instances["Two"].handle.select_set(True)
    two.instances["One"].points.select_set(True)  # what Select > Invert makes of 'One Handle'
    layer = bpy.context.view_layer
    module(addon, "scene.selection").hand_on(layer, 0, "OBJECT_OT_select_all")
    assert selected() == {"Two Handle"}


def test_points_of_a_hidden_handle_stay_selected_and_the_sidebar_says_why(two, addon):
    one = two.instances["One"]
    one.handle.hide_set(True)
    click(one.points)
    assert selected() == {"One"}
    hint = module(addon, "scene.selection").hint(one.points, bpy.context.scene.levitor.lift)
    assert hint == (
        "'One' is locked, since it is moved by 'One Handle', which is hidden: "
        "show it in the Outliner."
    )


def test_points_that_are_edited_stay_chosen(two):
    one = two.instances["One"]
    bpy.context.view_layer.objects.active = one.points
    bpy.ops.object.mode_set(mode="EDIT")
    one.points.select_set(True)
    bpy.context.view_layer.update()
    assert bpy.context.view_layer.objects.active == one.points
    bpy.ops.object.mode_set(mode="OBJECT")


def test_other_objects_and_children_of_a_handle_are_selected_as_ever(two):
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    bpy.context.scene.collection.objects.link(lamp)
    lamp.parent = two.instances["One"].handle
    click(lamp)
    assert selected() == {"Lamp"}


def test_undo_brings_back_the_selection_of_before_and_redo_the_handle(two):
    bpy.ops.ed.undo_push(message="Nothing selected")
    lift = bpy.context.scene.levitor.lift.levitor
    lift.instances["One"].points.select_set(True)
    bpy.context.view_layer.objects.active = lift.instances["One"].points
    bpy.ops.ed.undo_push(message="Select")  # Blender's step is made before anybody is told
    bpy.context.view_layer.update()
    assert selected() == {"One Handle"}
    before = contents()
    bpy.ops.ed.undo()
    bpy.context.view_layer.update()
    assert selected() == set()
    bpy.ops.ed.redo()
    bpy.context.view_layer.update()
    assert selected() == {"One Handle"}
    assert contents() == before


def test_what_is_locked_says_so_with_the_way_to_move_it(two, addon):
    hint = module(addon, "scene.selection").hint
    collection = bpy.context.scene.levitor.lift
    assert hint(two.background, collection) == (
        "'LeviTor Background' stays as it was lifted. To move a part of it, pick that part."
    )
    assert hint(two.instances["One"].points, collection) == (
        "'One' is locked, since it is moved by 'One Handle'."
    )
    assert hint(two.instances["One"].handle, collection) == ""
