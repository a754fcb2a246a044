"""Ground and backdrop: chosen when a photo is lifted, changed afterwards without the backend."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from .conftest import contents, last_job, link, module

NEAR, FAR, HEIGHT, WIDTH = 2.0, 9.0, 48, 64
ROWS, COLUMNS = slice(10, 20), slice(10, 20)
LOWEST = 19


def flat(stage):
    return module(stage.addon, "link.wire").flat_scene


def ground_rows(stage, horizon):
    return flat(stage).row_depths("ground", HEIGHT, horizon, NEAR, FAR)


def standing(stage, kind, horizon):
    return flat(stage).standing_depth(kind, LOWEST, HEIGHT, horizon, NEAR, FAR)


def lifted(stage, kind="ground", horizon=0.2):
    """A lift with an instance that stands as the scene has it."""
    lift = stage.lift(kind=kind, horizon=horizon).levitor
    handle = stage.instance("Box", ROWS, COLUMNS, depth=standing(stage, kind, horizon))
    return lift, handle


def seen(stage, ob):
    """How far, in pixels, the camera sees the points of ``ob`` from their own pixels at most."""
    scene = bpy.context.scene
    scene.view_layers[0].update()
    points = stage.cloud.read(ob)
    off = []
    for n in range(0, len(points), 13):
        place = ob.matrix_world @ Vector(points.position[n].tolist())
        at = world_to_camera_view(scene, scene.camera, place)
        row, column = divmod(int(points.pixel[n]), WIDTH)
        off.append((at.x * WIDTH - column - 0.5, (1 - at.y) * HEIGHT - row - 0.5))
    return np.abs(off).max()


def test_points_are_where_a_lift_of_the_other_scene_would_have_put_them(stage):
    lift, handle = lifted(stage)
    assert bpy.ops.levitor.set_scene(scene_kind="BACKDROP") == {"FINISHED"}
    assert (lift.scene_kind, lift.depth_model) == ("BACKDROP", "backdrop")
    changed = [stage.cloud.read(ob) for ob in (lift.background, lift.instances[0].points)]
    rest = stage.lifts.rest_of(handle)
    assert (changed[0].depth == FAR).all()
    assert set(changed[1].depth.tolist()) == {standing(stage, "backdrop", 0.0)}
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 9
    fresh, other = lifted(stage, "backdrop")
    assert (rest == stage.lifts.rest_of(other)).all()
    for ob, found in zip((fresh.background, fresh.instances[0].points), changed, strict=True):
        expected = stage.cloud.read(ob)
        for name in ("position", "colour", "pixel", "depth", "segment"):
            assert (getattr(found, name) == getattr(expected, name)).all()


@pytest.mark.parametrize("there", [("BACKDROP", 0.2), ("GROUND", 0.6)])
def test_there_and_back_is_the_same_to_the_bit_and_the_photo_stays(stage, there):
    lift, handle = lifted(stage)
    lift.instances[0].flatten = 0.5
    size = handle.empty_display_size
    bpy.ops.levitor.key_handle(instance="Box", frame=1)
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0.3, -0.4, 0.1), turn=(0, 0.2, 7))
    first, _ = stage.read(9)
    kind, horizon = there
    bpy.ops.levitor.set_scene(scene_kind=kind, horizon=horizon)
    for ob in (lift.background, lift.instances[0].points):
        assert seen(stage, ob) < 0.01
    other, _ = stage.read(9)
    assert other.scene.image == first.scene.image
    assert other.scene.depth != first.scene.depth
    assert other.scene.kind == kind.lower()
    assert other.instance_map == first.instance_map
    way = [
        (shot.moved_from_rest[:, 0] @ [*shot.instances[0].handle, 1.0])[:, :3]
        - shot.instances[0].handle
        for shot in (first, other)
    ]
    np.testing.assert_allclose(way[1], way[0], atol=1e-5)  # keys are as far from rest
    np.testing.assert_allclose(way[0][-1], (0.3, -0.1, -0.4), atol=1e-5)
    np.testing.assert_allclose(
        other.moved_from_rest[:, 0, :3, :3], first.moved_from_rest[:, 0, :3, :3], atol=1e-6
    )
    bpy.ops.levitor.set_scene(scene_kind="GROUND", horizon=0.2)
    again, _ = stage.read(9)
    assert (again.scene.depth, again.scene.kind) == (first.scene.depth, "ground")
    assert again.instances == first.instances
    np.testing.assert_allclose(again.moved_from_rest, first.moved_from_rest, atol=1e-6)
    assert handle.empty_display_size == pytest.approx(size, rel=1e-6)


def test_another_horizon_moves_the_ground_and_what_stands_on_it(stage):
    lift, handle = lifted(stage, horizon=0.0)
    bpy.ops.levitor.set_scene(horizon=0.3)
    assert (lift.scene_kind, lift.horizon) == ("GROUND", pytest.approx(0.3))
    background = stage.cloud.read(lift.background)
    assert (background.depth == ground_rows(stage, 0.3)[background.pixel // WIDTH]).all()
    depth = standing(stage, "ground", 0.3)
    assert set(stage.cloud.read(lift.instances[0].points).depth.tolist()) == {depth}
    assert stage.lifts.rest_of(handle)[1, 3] == pytest.approx(depth)
    np.testing.assert_allclose(handle.location, stage.lifts.rest_of(handle)[:3, 3])


def test_what_lies_on_the_ground_goes_with_the_ground(stage):
    """An instance that was not stood upright keeps lying, every point at its own row."""
    lift = stage.lift(kind="ground", horizon=0.0).levitor
    handles = module(stage.addon, "scene.handles")
    background = lift.background
    points = stage.cloud.read(background)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[30:40, COLUMNS] = True
    chosen = mask.ravel()[points.pixel]
    stage.cloud.set_floats(background.data, stage.cloud.PICK, chosen)
    stage.cloud.set_floats(background.data, stage.cloud.PICK_DEPTH, points.depth)
    handles.make_instance(bpy.context.scene, bpy.context.scene.levitor.lift, "Mat", True)
    bpy.ops.levitor.set_scene(scene_kind="BACKDROP")
    assert (stage.cloud.read(lift.instances[0].points).depth == FAR).all()
    bpy.ops.levitor.set_scene(scene_kind="GROUND", horizon=0.1)
    found = stage.cloud.read(lift.instances[0].points)
    assert (found.depth == ground_rows(stage, 0.1)[found.pixel // WIDTH]).all()
    assert len(set(found.depth.tolist())) == 10
    assert seen(stage, lift.instances[0].points) < 0.01


def test_the_fields_in_the_panel_do_the_same(stage):
    lift, _ = lifted(stage)
    lift.horizon = 0.4
    assert (lift.horizon, lift.scene_said) == (pytest.approx(0.4), "")
    assert stage.cloud.read(lift.background).depth[0] == ground_rows(stage, 0.4)[0]
    lift.scene_kind = "BACKDROP"
    assert (stage.cloud.read(lift.background).depth == FAR).all()
    lift.scene_kind = "GROUND"
    assert lift.horizon == pytest.approx(0.4)


def test_undo_brings_back_points_handles_and_scene(stage):
    lift, _ = lifted(stage)
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(1, 0, 0))
    before, first = contents(), stage.read(9)[0]
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.levitor.set_scene("EXEC_DEFAULT", True, scene_kind="BACKDROP")
    assert stage.read(9)[0].scene.depth != first.scene.depth
    bpy.ops.ed.undo()
    lift = bpy.context.scene.levitor.lift.levitor
    assert (contents(), lift.scene_kind) == (before, "GROUND")
    assert stage.read(9)[0].scene.depth == first.scene.depth
    bpy.ops.ed.redo()
    assert bpy.context.scene.levitor.lift.levitor.scene_kind == "BACKDROP"


def test_what_stands_on_the_wall_of_a_ground_stands_before_the_backdrop(stage):
    """A flower above the horizon was as far as all the rest, and would be lost in the backdrop."""
    lift, _ = lifted(stage, horizon=0.9)
    points = lift.instances[0].points
    assert set(stage.cloud.read(points).depth.tolist()) == {FAR}
    bpy.ops.levitor.set_scene(scene_kind="BACKDROP")
    assert set(stage.cloud.read(points).depth.tolist()) == {standing(stage, "backdrop", 0.9)}


def test_a_handle_under_a_parent_goes_along(stage):
    lift, handle = lifted(stage)
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.rotation_euler = (0.3, 0.2, 0.9)
    bpy.context.view_layer.update()
    handle.parent = parent
    handle.matrix_parent_inverse = parent.matrix_world.inverted()
    bpy.context.view_layer.update()
    bpy.ops.levitor.set_scene(scene_kind="BACKDROP")
    bpy.context.view_layer.update()
    np.testing.assert_allclose(
        np.array(handle.matrix_world)[:3, 3], stage.lifts.rest_of(handle)[:3, 3], atol=1e-5
    )
    assert seen(stage, lift.instances[0].points) < 0.01


def test_a_pick_under_way_stands_in_the_new_scene(stage):
    lift = stage.lift(kind="ground", horizon=0.2).levitor
    points = stage.cloud.read(lift.background)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[ROWS, COLUMNS] = True
    chosen = mask.ravel()[points.pixel]
    stage.cloud.set_floats(lift.background.data, stage.cloud.PICK, chosen)
    depth = np.where(chosen, np.float32(standing(stage, "ground", 0.2)), 0.0)
    stage.cloud.set_floats(lift.background.data, stage.cloud.PICK_DEPTH, depth)
    lift.picked = int(chosen.sum())
    bpy.ops.levitor.set_scene(scene_kind="BACKDROP")
    bpy.ops.levitor.make_instance(name="Box")
    found = stage.cloud.read(lift.instances["Box"].points).depth
    assert set(found.tolist()) == {standing(stage, "backdrop", 0.2)}


def test_what_is_removed_after_a_change_returns_to_the_scene_that_is_there_now(stage):
    lift, _ = lifted(stage)
    bpy.ops.levitor.set_scene(horizon=0.5)
    bpy.ops.levitor.remove_instance(instance="Box")
    background = stage.cloud.read(lift.background)
    assert len(background) == HEIGHT * WIDTH
    assert (background.depth == ground_rows(stage, 0.5)[background.pixel // WIDTH]).all()
    assert seen(stage, lift.background) < 0.01


@pytest.mark.parametrize("horizon", [-0.1, 0.96, float("nan")])
def test_a_horizon_without_ground_below_is_refused_and_nothing_changes(stage, horizon):
    lift, _ = lifted(stage)
    before = contents()
    with pytest.raises(RuntimeError, match=r"not between 0 and 0\.95"):
        bpy.ops.levitor.set_scene(horizon=horizon)
    assert (before, lift.horizon) == (contents(), pytest.approx(0.2))
    assert stage.cloud.read(lift.background).depth[0] == ground_rows(stage, 0.2)[0]


def test_an_instance_whose_points_were_all_deleted_is_told_by_button_and_field(stage):
    lift, _ = lifted(stage)
    for ob in bpy.context.selected_objects:
        ob.select_set(False)
    bpy.context.view_layer.objects.active = lift.instances[0].points
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.delete(type="VERT")
    bpy.ops.object.mode_set(mode="OBJECT")
    before = contents()
    sentence = "100 of the photo's 3072 points were deleted"
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.levitor.set_scene(scene_kind="BACKDROP")
    lift.scene_kind = "BACKDROP"
    assert sentence in lift.scene_said
    assert (contents(), lift.scene_kind) == (before, "GROUND")


def test_a_depth_of_its_own_has_no_scene_to_choose(stage):
    lift = stage.lift().levitor
    lift.depth_model = "depth-anything-v2-small"
    assert not bpy.ops.levitor.set_scene.poll()
    depth = stage.cloud.read(lift.background).depth
    lift.scene_kind = "BACKDROP"
    assert lift.scene_said.startswith("The depth of 'LeviTor test' is from depth-anything-v2-small")
    assert (stage.cloud.read(lift.background).depth == depth).all()


def test_a_lift_of_an_older_version_says_what_to_do(stage):
    collection = stage.lift(kind="ground", horizon=0.2)
    for name in (stage.lifts.KIND, stage.lifts.HORIZON):
        del collection[name]
    collection.levitor.scene_kind = "BACKDROP"
    assert collection.levitor.scene_said.endswith("Lift the photo again.")


def test_auto_backdrop_and_ground_are_lifted_as_asked_and_auto_says_why(connected, flower):
    scene = connected
    scene.levitor.scene_kind = "AUTO"
    bpy.ops.levitor.lift(filepath=str(flower), max_side=320, far=12.0, wait=60.0)
    lift = scene.levitor.lift.levitor
    assert (lift.scene_kind, lift.depth_model) == ("BACKDROP", "backdrop")
    scaled, said = lift.notes.split("\n")
    assert said.startswith("Scene: Auto took Backdrop, since ")
    lift.scene_kind = "GROUND"
    assert (lift.notes, lift.depth_model) == (scaled, "ground plane")
    scene.levitor.scene_kind = "GROUND"
    bpy.ops.levitor.lift(filepath=str(flower), max_side=320, horizon=0.5, wait=60.0)
    lift = scene.levitor.lift.levitor
    assert (lift.scene_kind, lift.horizon, lift.notes) == ("GROUND", pytest.approx(0.5), scaled)


def test_a_pick_stands_where_the_backend_says_and_after_a_change_where_it_would_have_said(
    connected, flower, addon
):
    """Changed after the lift, or lifted so from the start: the same shot, to the byte."""
    scene, read = connected, module(addon, "scene.shots")
    found = []
    for kind, later in (("BACKDROP", None), ("GROUND", "BACKDROP")):
        bpy.ops.wm.read_homefile(use_empty=True)
        scene = bpy.context.scene
        bpy.ops.levitor.lift(filepath=str(flower), max_side=320, scene_kind=kind, wait=60.0)
        bpy.ops.levitor.pick(x=160, y=100, wait=60.0)
        if later:
            bpy.ops.levitor.set_scene(scene_kind=later)
        bpy.ops.levitor.make_instance(name="Flower")
        message, _ = read.scene_of(scene, scene.levitor.lift)
        found.append((message.depth, message.kind))
    assert found[0] == found[1]


def test_a_take_and_a_preview_say_what_goes_below_the_ground(connected, flower, addon, home):
    scene = connected
    scene.frame_start, scene.frame_end = 5, 12
    bpy.ops.levitor.lift(
        filepath=str(flower), max_side=320, scene_kind="GROUND", horizon=0.5, wait=60.0
    )
    bpy.ops.levitor.pick(x=160, y=100, wait=60.0)
    bpy.ops.levitor.make_instance(name="Flower")
    bpy.ops.levitor.key_handle(instance="Flower", frame=5)
    bpy.ops.levitor.key_handle(instance="Flower", frame=12, move=(0, 0, -0.7))
    bpy.ops.levitor.render(wait=120.0)
    assert "'Flower' goes below or behind the ground on frames " in last_job(addon).sentence
    assert " to 12, where up to " in last_job(addon).sentence
    bpy.ops.levitor.preview_control(over="PHOTO", wait=60.0)
    assert "'Flower' goes below or behind the ground on frames " in last_job(addon).sentence
    bpy.ops.levitor.set_scene(scene_kind="BACKDROP")
    bpy.ops.levitor.render(wait=120.0)
    assert last_job(addon).sentence == ""


def test_the_settings_say_when_a_depth_map_or_network_decides(connected, addon):
    panel_state = module(addon, "scene.panel_state")
    settings = connected.levitor
    assert panel_state._depth_from(settings) == ""
    settings.depth_path = "//depth.png"
    assert panel_state._depth_from(settings) == "the depth map"
    settings.depth_path, settings.depth_model = "", "depth-anything-v2-small"
    assert panel_state._depth_from(settings) == "depth-anything-v2-small"
    settings.depth_model = "ground plane"
    assert panel_state._depth_from(settings) == ""
    assert link(addon).welcome is not None


def test_the_horizon_line_lies_on_its_row_of_the_photo(stage):
    lifted(stage)
    horizon = module(stage.addon, "scene.horizon_line")
    bpy.context.view_layer.update()
    for height in (0.0, 0.35, 0.9):
        for place, x in zip(
            horizon.ends(bpy.context.scene.levitor.lift, height), (0, 1), strict=True
        ):
            at = world_to_camera_view(bpy.context.scene, bpy.context.scene.camera, place)
            assert (at.x, 1 - at.y) == (pytest.approx(x, abs=1e-5), pytest.approx(height, abs=1e-5))
