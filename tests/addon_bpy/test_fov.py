"""Another field of view for a lift that is there: the photo looks the same, the world follows."""

import math

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from .backend import in_backend
from .conftest import contents, link, module

# The stage's focal length of 60 pixels for 64 is 56.1 degrees; this one is of 32 for 64.
WIDE, FOCAL = 90.0, 32.0


def seen(stage, ob):
    """(n, 2) pixels at which the camera sees the points of ``ob``, and what they should be."""
    scene = bpy.context.scene
    scene.view_layers[0].update()
    points = stage.cloud.read(ob)
    lift = scene.levitor.lift.levitor
    chosen = range(0, len(points), 31)
    found = [
        world_to_camera_view(
            scene, scene.camera, ob.matrix_world @ Vector(points.position[n].tolist())
        )
        for n in chosen
    ]
    at = [(place.x * lift.width, (1 - place.y) * lift.height) for place in found]
    rows, columns = np.divmod(points.pixel[list(chosen)], lift.width)
    return np.array(at), np.stack([columns, rows], -1) + 0.5


def everything(stage, frames=0):
    """The shot, and the numbers that a change of the field of view may change."""
    shot, blobs = stage.read(frames)
    return shot, {ref.sha256: blobs[ref.sha256] for ref in (shot.scene.image, shot.scene.depth)}


def test_every_point_is_seen_at_its_own_pixel_before_and_after(stage):
    lift = stage.lift(cx=30.0, cy=20.0, fx=60.0, fy=66.0).levitor
    stage.instance("Box", depth=4.0)
    parts = [lift.background, lift.instances[0].points]
    assert bpy.ops.levitor.set_fov(horizontal_fov=WIDE) == {"FINISHED"}
    assert lift.horizontal_fov == pytest.approx(WIDE)
    assert lift.fov_source == "set by hand"
    for ob in parts:
        at, expected = seen(stage, ob)
        assert np.abs(at - expected).max() < 0.01
    k = stage.lifts.photo_of(bpy.context.scene.levitor.lift).intrinsics
    np.testing.assert_allclose(k, [[FOCAL, 0, 30], [0, FOCAL * 1.1, 20], [0, 0, 1]])


def test_points_are_where_a_lift_with_that_field_of_view_would_have_put_them(stage):
    lift = stage.lift().levitor
    handle = stage.instance("Box", rows=slice(5, 15), columns=slice(8, 20), depth=5.0)
    bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    changed = {ob.name: stage.cloud.read(ob) for ob in (lift.background, lift.instances[0].points)}
    rest = stage.lifts.rest_of(handle)
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 9
    fresh = stage.lift(fx=FOCAL, fy=FOCAL).levitor
    other = stage.instance("Box", rows=slice(5, 15), columns=slice(8, 20), depth=5.0)
    np.testing.assert_allclose(rest, stage.lifts.rest_of(other), rtol=3e-7, atol=3e-7)
    for ob in (fresh.background, fresh.instances[0].points):
        expected = stage.cloud.read(ob)
        np.testing.assert_allclose(changed[ob.name].position, expected.position, atol=2e-6)
        for name in ("colour", "pixel", "depth", "segment"):
            assert (getattr(changed[ob.name], name) == getattr(expected, name)).all()


def test_a_shot_is_as_far_from_rest_as_before_and_its_first_frame_is_the_photo(stage):
    stage.lift()
    stage.instance("Box", depth=4.0)
    move = {"move": (0.3, -0.4, 0.1), "turn": (0.0, 0.2, 7.0), "scale": 1.5}
    bpy.ops.levitor.key_handle(instance="Box", frame=1)
    bpy.ops.levitor.key_handle(instance="Box", frame=9, **move)
    first, data = everything(stage, 9)
    bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    second, again = everything(stage, 9)
    assert data == again  # image and depth, to the byte
    assert second.instance_map == first.instance_map
    assert (second.moved_from_rest[0] == np.eye(4)).all()
    assert (second.camera_from_world == first.camera_from_world).all()
    np.testing.assert_allclose(second.intrinsics[:, 0, 0], FOCAL)
    # How the handle moves from its rest, which is at (-1.1, 4, 0.6) and then as far as 60/32 says
    for shot in (first, second):
        handle = np.array([*shot.instances[0].handle, 1.0])
        way = (shot.moved_from_rest[:, 0] @ handle - handle)[:, :3]
        np.testing.assert_allclose(way[-1], (0.3, -0.1, -0.4), atol=1e-5)
        np.testing.assert_allclose(shot.moved_from_rest[-1, 0, :3, :3], TURN, atol=1e-5)
    ratio = np.array(second.instances[0].handle) / first.instances[0].handle
    np.testing.assert_allclose(ratio, (60 / FOCAL, 60 / FOCAL, 1.0), rtol=1e-6)


def _turn():
    """0.2 about Blender's y, then 7.0 about its z, 1.5 times as large; in the shot's axes."""
    c, s = math.cos, math.sin
    about_y = np.array([[c(0.2), 0, s(0.2)], [0, 1, 0], [-s(0.2), 0, c(0.2)]])
    about_z = np.array([[c(7), -s(7), 0], [s(7), c(7), 0], [0, 0, 1]])
    axes = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # x, -z, y
    return 1.5 * axes @ about_z @ about_y @ axes.T


TURN = _turn()


def test_handles_of_keys_move_too_so_that_every_frame_between_is_the_same_way_from_rest(stage):
    stage.lift()
    handle = stage.instance("Box", depth=4.0)
    for frame, x in ((1, 0.0), (4, 0.9), (9, -0.3)):
        bpy.ops.levitor.key_handle(instance="Box", frame=frame, move=(x, 0, 0))
    ways = []
    for degrees in (None, WIDE, 25.0):
        if degrees:
            bpy.ops.levitor.set_fov(horizontal_fov=degrees)
        rest = stage.lifts.rest_of(handle)[0, 3]
        xs = []
        for frame in range(1, 10):
            bpy.context.scene.frame_set(frame)
            xs.append(handle.matrix_world.translation.x - rest)
        ways.append(xs)
    np.testing.assert_allclose(ways[1], ways[0], atol=2e-6)
    np.testing.assert_allclose(ways[2], ways[0], atol=2e-6)


def test_undo_brings_back_points_handles_keys_and_lens(stage):
    stage.lift()
    stage.instance("Box", depth=4.0)
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(1, 0, 0))
    before, first = contents(), everything(stage)[0]
    lens = bpy.context.scene.camera.data.lens
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.levitor.set_fov("EXEC_DEFAULT", True, horizontal_fov=WIDE)
    assert contents() != before
    assert bpy.context.scene.camera.data.lens == pytest.approx(18.0)
    bpy.ops.ed.undo()
    assert contents() == before
    assert bpy.context.scene.camera.data.lens == lens
    second = everything(stage)[0]
    assert second.scene.depth == first.scene.depth
    assert (second.moved_from_rest == first.moved_from_rest).all()
    bpy.ops.ed.redo()
    assert bpy.context.scene.levitor.lift.levitor.horizontal_fov == pytest.approx(WIDE)


def test_a_zoom_keeps_its_ratio(stage):
    stage.lift()
    stage.instance("Box")
    data = bpy.context.scene.camera.data
    for frame, lens in ((1, data.lens), (9, data.lens * 2)):
        data.lens = lens
        data.keyframe_insert("lens", frame=frame)
    bpy.context.scene.frame_set(1)
    bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    shot, _ = stage.read(9)
    np.testing.assert_allclose(shot.intrinsics[[0, -1], 0, 0], [FOCAL, 2 * FOCAL], rtol=1e-6)
    assert shot.intrinsics[0, 0, 0] == pytest.approx(FOCAL, abs=1e-12)


def test_the_field_in_the_panel_does_the_same(stage):
    lift = stage.lift().levitor
    assert lift.horizontal_fov == pytest.approx(math.degrees(2 * math.atan(32 / 60)))
    lift.horizontal_fov = WIDE
    at, expected = seen(stage, lift.background)
    assert np.abs(at - expected).max() < 0.01
    assert (lift.fov_source, lift.fov_said) == ("set by hand", "")


def test_dragging_the_field_ends_where_it_began(stage):
    lift = stage.lift().levitor
    handle = stage.instance("Box", depth=4.0)
    bpy.ops.levitor.key_handle(instance="Box", frame=1)
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(1.0, 0, 0))
    for degrees in np.random.default_rng(0).uniform(20, 100, 60):
        lift.horizontal_fov = degrees
    lift.horizontal_fov = WIDE
    shot, _ = stage.read(9)
    np.testing.assert_allclose(shot.moved_from_rest[0, 0], np.eye(4), atol=1e-5)
    assert shot.moved_from_rest[-1, 0, 0, 3] == pytest.approx(1.0, abs=1e-4)
    assert shot.intrinsics[0, 0, 0] == pytest.approx(FOCAL, rel=1e-6)
    np.testing.assert_allclose(handle.location, stage.lifts.rest_of(handle)[:3, 3], atol=1e-5)


def test_discs_stay_as_wide_as_their_pixel(stage):
    lift = stage.lift().levitor
    bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    graph = bpy.context.evaluated_depsgraph_get()
    evaluated = lift.background.evaluated_get(graph).evaluated_geometry()
    cloud = evaluated.pointcloud
    radius = np.empty(64 * 48, np.float32)
    cloud.attributes["radius"].data.foreach_get("value", radius)
    np.testing.assert_allclose(radius, stage.depth.ravel() * 0.95 / FOCAL, rtol=1e-5)


def test_a_handle_under_a_turning_parent_goes_along(stage):
    stage.lift()
    handle = stage.instance("Box", depth=4.0)
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.location, parent.rotation_euler = (1, 2, 3), (0.3, 0.2, 0.1)
    bpy.context.view_layer.update()
    handle.parent = parent
    handle.matrix_parent_inverse = parent.matrix_world.inverted()
    for frame, turn in ((1, 0.1), (9, 0.3)):
        parent.rotation_euler.z = turn
        parent.keyframe_insert("rotation_euler", frame=frame)
    bpy.context.scene.frame_set(1)
    bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(
        handle.matrix_world, stage.lifts.rest_of(handle), atol=1e-5, rtol=1e-5
    )
    shot, _ = stage.read(9)
    np.testing.assert_allclose(shot.moved_from_rest[0, 0], np.eye(4), atol=1e-4)


def test_a_handle_under_another_handle_rests_at_its_own_place(stage):
    stage.lift()
    one = stage.instance("One", rows=slice(2, 8), columns=slice(2, 8), depth=3.0)
    two = stage.instance("Two", rows=slice(30, 40), columns=slice(40, 60), depth=6.0)
    bpy.context.view_layer.update()
    two.parent = one
    two.matrix_parent_inverse = one.matrix_world.inverted()
    bpy.ops.levitor.key_handle(instance="One", frame=1)
    bpy.ops.levitor.key_handle(instance="One", frame=9, move=(0.5, 0, 0))
    bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    shot, _ = stage.read(9)
    np.testing.assert_allclose(shot.moved_from_rest[0], np.tile(np.eye(4), (2, 1, 1)), atol=1e-4)
    np.testing.assert_allclose(shot.moved_from_rest[-1, :, 0, 3], [0.5, 0.5], atol=1e-4)


def test_what_a_constraint_holds_back_is_named(stage):
    stage.lift()
    handle = stage.instance("Box", depth=4.0)
    target = bpy.data.objects.new("Target", None)
    bpy.context.scene.collection.objects.link(target)
    target.location = handle.location
    handle.constraints.new("COPY_LOCATION").target = target
    lift = bpy.context.scene.levitor.lift.levitor
    lift.horizontal_fov = WIDE
    assert "What holds the handle of 'Box'" in lift.fov_said
    assert "at frame 1" in lift.fov_said
    handle.constraints.clear()
    np.testing.assert_allclose(handle.location, stage.lifts.rest_of(handle)[:3, 3], atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 171.0, -5.0])
def test_a_field_of_view_that_no_lens_has_changes_nothing(stage, degrees):
    stage.lift()
    before = contents()
    with pytest.raises(RuntimeError, match=f"view of {degrees:g} degrees is not between 1 and 170"):
        bpy.ops.levitor.set_fov(horizontal_fov=degrees)
    assert contents() == before


def test_points_in_edit_mode_are_left_alone_and_the_field_says_so(stage):
    lift = stage.lift().levitor
    bpy.context.view_layer.objects.active = lift.background
    bpy.ops.object.mode_set(mode="EDIT")
    before = lift.horizontal_fov
    with pytest.raises(RuntimeError, match="are in edit mode"):
        bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    lift.horizontal_fov = WIDE
    assert "are in edit mode" in lift.fov_said
    bpy.ops.object.mode_set(mode="OBJECT")
    assert lift.horizontal_fov == before


def test_a_change_that_goes_wrong_at_its_end_changes_nothing(stage, addon, monkeypatch):
    lift = stage.lift().levitor
    stage.instance("Box", depth=4.0)
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(1, 0, 0))
    before, first = contents(), everything(stage)[0]
    relift = module(addon, "scene.lift_edits")

    def fail(*values):
        raise MemoryError("no memory")

    monkeypatch.setattr(relift, "_zoom", fail)
    with pytest.raises(MemoryError):
        relift.set_fov(bpy.context.scene, bpy.context.scene.levitor.lift, WIDE)
    assert contents() == before
    second = everything(stage)[0]
    assert second.scene.depth == first.scene.depth
    assert (second.moved_from_rest == first.moved_from_rest).all()
    assert lift.fov_source == ""


def test_a_mesh_that_another_object_shows_stays(stage):
    background = stage.lift().levitor.background
    mine = bpy.data.objects.new("Mine", background.data)
    points = stage.cloud.read(background).position
    bpy.ops.levitor.set_fov(horizontal_fov=WIDE)
    assert (stage.cloud.read(mine).position == points).all()
    assert mine.data != background.data


def test_a_photo_is_lifted_with_what_its_file_says(connected, flower, tmp_path):
    code = (
        "import sys; from PIL import Image; image = Image.open(sys.argv[1]);"
        "exif = image.getexif(); exif.get_ifd(0x8769)[0xA405] = 35;"
        "image.save(sys.argv[2], exif=exif)"
    )
    told = tmp_path / "told.jpg"
    in_backend(code, flower, told)
    found = {}
    for path in (flower, told):
        bpy.ops.levitor.lift(filepath=str(path), max_side=64, wait=240.0)
        lift = bpy.context.scene.levitor.lift.levitor
        found[path.stem] = (lift.fov_source, round(lift.horizontal_fov, 2))
    # 35 mm of 36: 54.43 degrees; no camera is told of otherwise
    assert found == {"flower": ("default", 50.0), "told": ("EXIF, 35 mm", 54.43)}
    bpy.context.scene.levitor.horizontal_fov = 70.0
    bpy.ops.levitor.lift(filepath=str(told), max_side=64, wait=240.0)
    lift = bpy.context.scene.levitor.lift.levitor
    assert (lift.fov_source, round(lift.horizontal_fov, 2)) == ("given", 70.0)
    # And no backend is needed to change it
    bpy.ops.levitor.disconnect()
    bpy.ops.levitor.set_fov(horizontal_fov=40.0)
    assert lift.horizontal_fov == pytest.approx(40.0)


def test_models_are_offered_as_the_backend_lists_them_and_a_choice_is_kept_to(
    connected, addon, flower
):
    props = module(addon, "props")
    assert props._names_of("depth") == ["auto", "ground plane"]
    assert props._names_of("automatic segments") == ["auto", "Felzenszwalb"]
    settings = bpy.context.scene.levitor
    settings.depth_model = "ground plane"
    bpy.ops.levitor.lift(filepath=str(flower), max_side=64, wait=240.0)
    assert settings.lift.levitor.depth_model == "ground plane"
    with pytest.raises(RuntimeError, match="weights 'depth-anything-v2-base'"):
        bpy.ops.levitor.lift(
            filepath=str(flower), depth_model="depth-anything-v2-base", max_side=64, wait=240.0
        )
    assert link(addon).welcome is not None
