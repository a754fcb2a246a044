"""Lifts of other files: every action that would change one says so; and choosing among lifts."""

import bpy
import numpy as np
import pytest

from .conftest import contents, module
from .motions import key


def stand_in(stage):
    """A lift with a moving instance and a pick, in a file that ends at frame 9."""
    scene = bpy.context.scene
    lift = stage.lift(kind="ground", horizon=0.2)
    handle = stage.instance("Box", depth=4.0)
    key(handle, "location", tuple(handle.location), (0, 4, 0))
    scene.frame_set(1)
    return lift


@pytest.fixture(params=["linked", "overridden"])
def foreign(stage, request, tmp_path):
    """The collection of a lift that lies in another file, worked on in this one."""
    lift = stand_in(stage)
    name, source = lift.name, tmp_path / "source.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(source))
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 9
    with bpy.data.libraries.load(str(source), link=True) as (_, here):
        here.collections = [name]
    collection = bpy.data.collections[name]
    scene.collection.children.link(collection)
    bpy.context.view_layer.update()
    if request.param == "overridden":
        linked = collection
        collection = collection.override_hierarchy_create(
            scene, bpy.context.view_layer, do_fully_editable=True
        )
        if linked in scene.collection.children.values():
            scene.collection.children.unlink(linked)
    assert bpy.ops.levitor.choose_lift(lift=collection.name_full) == {"FINISHED"}
    return collection


def state(stage, collection):
    lift = collection.levitor
    parts = [lift.background, *(item.points for item in lift.instances)]
    return (
        [stage.cloud.read(ob).position.tobytes() for ob in parts],
        [(item.name, item.moving, item.flatten, item.thickness) for item in lift.instances],
        (lift.picked, len(lift.clicks), lift.horizontal_fov),
    )


ACTIONS = {
    "a click": lambda: bpy.ops.levitor.pick(x=20, y=15),
    "a box": lambda: bpy.ops.levitor.pick(box=(1, 1, 9, 9)),
    "another mask": lambda: bpy.ops.levitor.cycle_mask(),
    "an instance": lambda: bpy.ops.levitor.make_instance(name="Vase"),
    "no instance": lambda: bpy.ops.levitor.remove_instance(instance="Box"),
    "the scene": lambda: bpy.ops.levitor.set_scene(horizon=0.4),
    "the field of view": lambda: bpy.ops.levitor.set_fov(horizontal_fov=80.0),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_would_change_a_foreign_lift_says_the_one_sentence(stage, foreign, action):
    foreign.levitor.picked = 1  # Blender allows it, for this session
    before = state(stage, foreign)
    with pytest.raises(RuntimeError) as raised:
        ACTIONS[action]()
    said = str(raised.value)
    assert "The lift 'LeviTor test' comes from another file, so nothing can be picked" in said
    assert "Use Make Lift Local." in said
    assert state(stage, foreign) == before


def test_the_fields_of_a_foreign_lift_change_nothing_and_one_says_why(stage, foreign):
    before = state(stage, foreign)
    foreign.levitor.horizontal_fov = 80.0
    assert "comes from another file" in foreign.levitor.fov_said
    foreign.levitor.instances[0].flatten = 0.5
    assert state(stage, foreign) == before


def test_a_result_that_arrives_for_a_foreign_lift_is_refused_with_the_sentence(stage, foreign):
    candidates = module(stage.addon, "core.mask_candidates")
    found = candidates.MaskCandidates(masks=(), clicks=((1.0, 1.0, True),), box=None)
    before = state(stage, foreign)
    with pytest.raises(stage.lifts.ShotError, match="comes from another file"):
        module(stage.addon, "scene.picks").place(foreign, found)
    assert state(stage, foreign) == before


def test_a_foreign_lift_is_rendered_as_it_is(stage, foreign):
    shot, _ = stage.read()
    assert [item.name for item in shot.instances] == ["Box"]
    assert np.abs(shot.moved_from_rest[-1] - np.eye(4)).max() > 0.1


def test_keying_a_foreign_handle_says_why_not_unless_an_override_has_keys_of_its_own(
    stage, foreign
):
    def act():
        return bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0.1, 0, 0))

    with pytest.raises(RuntimeError, match="from another file"):
        act()
    if foreign.override_library is not None:
        foreign.levitor.instances[0].handle.animation_data.action = None
        assert act() == {"FINISHED"}


def test_a_foreign_lift_made_local_is_whole_and_can_be_changed(stage, foreign, tmp_path):
    shot, _ = stage.read()
    assert bpy.ops.levitor.make_lift_local() == {"FINISHED"}
    lift = bpy.context.scene.levitor.lift
    assert not module(stage.addon, "scene.linked").is_foreign(lift)
    again, _ = stage.read()
    assert (again.moved_from_rest == shot.moved_from_rest).all()
    item = lift.levitor.instances[0]
    assert item.points.parent == item.handle
    assert item.handle.animation_data.action.library is None
    assert bpy.ops.levitor.set_fov(horizontal_fov=80.0) == {"FINISHED"}
    stage.instance("Vase", rows=slice(30, 40), moving=False)
    assert bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0.1, 0, 0)) == {"FINISHED"}
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mine.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "mine.blend"))
    names = [item.name for item in bpy.context.scene.levitor.lift.levitor.instances]
    assert names == ["Box", "Vase"]


def test_a_lift_of_ones_own_need_not_be_made_local(stage):
    stand_in(stage)
    with pytest.raises(RuntimeError, match="belongs to this file already"):
        bpy.ops.levitor.make_lift_local()


# Choosing


@pytest.fixture
def two(stage):
    first = stage.lift(name="first")
    stage.instance("Box", depth=4.0)
    second = stage.lift(name="second", width=32, height=32)
    return first, second


def seen(collection):
    return collection.levitor.background.visible_get()


def size(scene):
    return scene.render.resolution_x, scene.render.resolution_y


def test_choosing_a_lift_shows_it_and_hides_the_former_with_camera_and_size(stage, two):
    first, second = two
    scene = bpy.context.scene
    assert (seen(first), seen(second)) == (False, True)
    scene.render.resolution_percentage = 50
    assert bpy.ops.levitor.choose_lift(lift=first.name) == {"FINISHED"}
    bpy.context.view_layer.update()
    assert (seen(first), seen(second)) == (True, False)
    assert scene.levitor.lift == first
    assert scene.camera == first.levitor.camera
    assert (*size(scene), scene.render.resolution_percentage) == (64, 48, 100)
    assert bpy.ops.levitor.choose_lift(lift=second.name) == {"FINISHED"}
    assert (seen(first), seen(second), size(scene)) == (False, True, (32, 32))


def test_all_lifts_of_the_file_are_offered_those_of_other_scenes_too(stage, two):
    bpy.context.window.scene = bpy.data.scenes.new("Other")
    scene = bpy.context.scene
    choice = module(stage.addon, "scene.active_lift")
    assert choice.every() == list(two)
    assert bpy.ops.levitor.choose_lift(lift=two[0].name) == {"FINISHED"}
    assert scene.levitor.lift == two[0]
    assert two[0] in scene.collection.children.values()
    assert seen(two[0])


@pytest.mark.parametrize("how", ["eye", "check box", "monitor", "camera icon"])
def test_a_lift_that_is_hidden_by_hand_is_shown_when_it_is_chosen(stage, two, how):
    first, _ = two
    first.hide_viewport = first.hide_render = False
    layer = bpy.context.view_layer.layer_collection.children[first.name]
    owner, name = {
        "eye": (layer, "hide_viewport"),
        "check box": (layer, "exclude"),
        "monitor": (first, "hide_viewport"),
        "camera icon": (first, "hide_render"),
    }[how]
    setattr(owner, name, True)
    bpy.ops.levitor.choose_lift(lift=first.name)
    assert seen(first)
    assert not first.hide_render


@pytest.mark.parametrize("what", ["background", "camera"])
def test_a_lift_that_has_lost_its_camera_or_background_is_refused(stage, two, what):
    first, second = two
    bpy.data.objects.remove(getattr(first.levitor, what))
    before = contents()
    with pytest.raises(RuntimeError, match=f"The {what} of 'LeviTor first' is not in it any more"):
        bpy.ops.levitor.choose_lift(lift=first.name)
    assert contents() == before
    assert bpy.context.scene.levitor.lift == second


def test_choosing_is_one_undo_step(stage, two):
    bpy.ops.ed.undo_push(message="Two lifts")
    bpy.ops.levitor.choose_lift(lift="LeviTor first")
    bpy.ops.ed.undo_push(message="Choose Lift")
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert scene.levitor.lift.name == "LeviTor second"
    assert scene.camera == scene.levitor.lift.levitor.camera


def test_a_linked_lift_that_is_no_longer_chosen_is_left_out_by_the_view_layer(stage, foreign):
    if foreign.library is None:
        pytest.skip("an override is hidden as a lift of this file")
    stage.lift(name="mine")
    bpy.context.view_layer.update()
    assert not seen(foreign)
    assert not foreign.hide_viewport
    bpy.ops.levitor.choose_lift(lift=foreign.name_full)
    bpy.context.view_layer.update()
    assert seen(foreign)
