"""From the animated scene to the shot: exact trajectories, and sentences for what cannot be."""

import bpy
import numpy as np
import pytest

from .conftest import contents, module


@pytest.fixture
def box(stage):
    """A handle at depth 4, and the stage it stands on."""
    stage.lift()
    return stage.instance("Box", depth=4.0)


def key(handle, frame, **values):
    for path, value in values.items():
        setattr(handle, path, value)
        handle.keyframe_insert(path, frame=frame)


def linear(ob):
    for bag in ob.animation_data.action.layers[0].strips[0].channelbags:
        for curve in bag.fcurves:
            for point in curve.keyframe_points:
                point.interpolation = "LINEAR"


def problem(stage, frames=0) -> str:
    with pytest.raises(stage.lifts.ShotError) as raised:
        stage.read(frames)
    return f"{raised.value.sentence} {raised.value.fix}"


def test_half_way_between_two_keys_the_handle_is_half_way(stage, box):
    rest = box.location.copy()
    key(box, 1, location=rest)
    key(box, 9, location=rest + type(rest)((0, -1, 0.5)))
    linear(box)
    shot, _ = stage.read(frames=3)
    assert shot.moved_from_rest.shape == (3, 1, 4, 4)
    assert (shot.moved_from_rest[0, 0] == np.eye(4)).all()
    # Blender's -1 in y is nearer by 1 (z - 1), its 0.5 in z is up (y - 0.5).
    np.testing.assert_allclose(shot.moved_from_rest[1, 0, :3, 3], [0, -0.25, -0.5], atol=1e-6)
    np.testing.assert_allclose(shot.moved_from_rest[2, 0, :3, 3], [0, -0.5, -1], atol=1e-6)
    assert (shot.frame_start, shot.frame_end) == (1, 9)


def test_parents_constraints_and_drivers_are_sampled_as_the_artist_sees_them(stage, box):
    scene = bpy.context.scene
    parent, leader = (bpy.data.objects.new(name, None) for name in ("parent", "leader"))
    for ob in (parent, leader):
        scene.collection.objects.link(ob)
    key(parent, 1, location=(0, 0, 0), rotation_euler=(0, 0, 0))
    key(parent, 9, location=(1, 1, 0), rotation_euler=(0.1, 0.2, 0.3))
    box.parent = parent
    leader.driver_add("location", 2).driver.expression = "(frame - 1) * 0.1"
    follow = box.constraints.new("COPY_LOCATION")
    follow.target, follow.use_x, follow.use_y, follow.use_offset = leader, False, False, True
    scene.frame_set(4, subframe=0.25)
    now = scene.frame_current, scene.frame_subframe, box.matrix_world.copy()
    count = len(bpy.data.scenes)
    times = stage.shot.frame_times(1, 9, 9)
    sampling = __import__(f"{stage.addon.__name__}.scene.sampling", fromlist=["_"])
    matrices, views, lenses = sampling.sample(scene, [box, leader], scene.camera, times)
    assert (scene.frame_current, scene.frame_subframe, box.matrix_world) == now
    assert len(bpy.data.scenes) == count
    assert views.shape == (9, 4, 4)
    assert len(lenses) == 9
    for k, time in enumerate(times):
        scene.frame_set(int(time))
        graph = bpy.context.evaluated_depsgraph_get()
        for n, ob in enumerate((box, leader)):
            assert (matrices[k, n] == np.array(ob.evaluated_get(graph).matrix_world)).all()
    assert matrices[8, 1, 2, 3] == pytest.approx(0.8)


def test_an_animated_lens_gives_intrinsics_of_every_frame(stage, box):
    eye = bpy.context.scene.camera
    lens = eye.data.lens
    key(eye.data, 1, lens=lens)
    key(eye.data, 9, lens=lens * 2)
    linear(eye.data)
    shot, _ = stage.read(frames=3)
    assert (shot.intrinsics[0] == stage.k).all()
    assert shot.intrinsics[:, 0, 0].tolist() == pytest.approx([60, 90, 120])
    assert shot.intrinsics[2, 1, 1] == pytest.approx(120)


def test_a_camera_that_goes_forward_by_one_comes_nearer_by_one(stage, box):
    eye = bpy.context.scene.camera
    key(eye, 1, location=(0, 0, 0))
    key(eye, 9, location=(0, 1, 0))
    shot, _ = stage.read(frames=2)
    assert (shot.camera_from_world[0] == np.eye(4)).all()
    np.testing.assert_allclose(shot.camera_from_world[1] @ [0, 0, 5, 1], [0, 0, 4, 1], atol=1e-6)


def test_a_handle_behind_the_camera_is_named_with_its_frame(stage, box):
    key(box, 1, location=box.location)
    key(box, 9, location=(0, -3, 0))
    assert "'Box' is behind the camera at frame 9 (depth -3)" in problem(stage, 2)


def test_nothing_that_moves_is_said(stage, box):
    assert "Nothing moves in this shot (1 moving instances" in problem(stage)


def test_one_frame_is_too_few(stage, box):
    assert "The shot has 1 frame" in problem(stage, frames=1)


def test_a_handle_that_is_nowhere_is_named_with_its_frame(stage, box):
    # Blender turns what a driver or a curve says into 0; an object's own value it keeps.
    box.location.x = float("nan")
    assert "'Box' has no position at frame 1" in problem(stage)


def test_a_stretched_handle_is_named_with_its_frame(stage, box):
    key(box, 1, scale=(1, 1, 1))
    key(box, 9, scale=(1, 2, 1))
    assert "'Box' is stretched, sheared or mirrored at frame 9" in problem(stage, 2)


def test_a_handle_that_does_not_start_at_rest_is_told_to_be_keyed_there(stage, box):
    key(box, 1, location=box.location + type(box.location)((1, 0, 0)))
    assert "'Box' is not at rest at the first frame 1" in problem(stage)


def test_a_static_instance_that_moves_is_named(stage, box):
    stage.instance("Vase", rows=slice(30, 40), moving=False)
    vase = bpy.context.scene.levitor.lift.levitor.instances["Vase"].handle
    key(box, 1, location=box.location)
    key(box, 9, location=box.location + type(box.location)((1, 0, 0)))
    vase.location.z += 1
    assert "'Vase' is set to stay, but its handle is not at rest at frame 1" in problem(stage)


def test_static_instances_are_numbered_after_moving_ones(stage):
    stage.lift()
    stage.instance("Vase", rows=slice(30, 40), moving=False)
    box = stage.instance("Box", rows=slice(0, 9))
    key(box, 1, location=box.location)
    key(box, 9, location=box.location + type(box.location)((1, 0, 0)))
    shot, blobs = stage.read()
    assert [(i.id, i.name, i.moving) for i in shot.instances] == [
        (1, "Box", True),
        (2, "Vase", False),
    ]
    ids = np.frombuffer(blobs[shot.instance_map.sha256], np.int32).reshape(48, 64)
    assert (ids[0:9, 10:20] == 1).all()
    assert (ids[30:40, 10:20] == 2).all()
    assert (ids[:, 32:] == 3).all()
    assert (
        np.frombuffer(blobs[shot.scene.image.sha256], np.uint8).tobytes() == stage.image.tobytes()
    )


def test_deleted_points_are_counted(stage, box):
    import bmesh

    mesh = bpy.context.scene.levitor.lift.levitor.background.data
    edit = bmesh.new()
    edit.from_mesh(mesh)
    edit.verts.ensure_lookup_table()
    for vertex in edit.verts[:7]:
        edit.verts.remove(vertex)
    edit.to_mesh(mesh)
    edit.free()
    assert "7 of the photo's 3072 points were deleted" in problem(stage)


def test_a_deleted_handle_is_named(stage, box):
    bpy.data.collections["LeviTor test"].objects.unlink(box)
    assert "The handle of 'Box' is not in the scene any more" in problem(stage)


def test_a_handle_that_is_disabled_in_viewports_is_named_since_it_would_stand_still(stage, box):
    rest = box.location.copy()
    key(box, 1, location=rest)
    key(box, 9, location=rest + type(rest)((0, -1, 0.5)))
    box.hide_viewport = True
    assert "'Box' is disabled in viewports" in problem(stage)
    box.hide_viewport = False
    box.hide_set(True)  # the eye icon hides it from sight alone
    assert stage.read()[0].moved_from_rest.shape[1] == 1


def test_points_that_were_moved_themselves_are_named(stage, box):
    bpy.context.scene.levitor.lift.levitor.background.location.x = 1
    assert "'LeviTor Background' were moved" in problem(stage)


def test_an_orthographic_camera_is_refused(stage, box):
    bpy.context.scene.camera.data.type = "ORTHO"
    assert "'LeviTor Camera' is not a perspective camera" in problem(stage)


def test_sampling_that_fails_leaves_no_scene_behind(stage, box):
    before = contents()
    sampling, scene = module(stage.addon, "scene.sampling"), bpy.context.scene
    with pytest.raises(ValueError, match="NaN"):
        sampling.sample(scene, [box], scene.camera, [1.0, float("nan")])
    assert contents() == before


def test_a_pixel_aspect_that_is_not_the_photos_is_named_with_both(stage, box):
    bpy.context.scene.render.pixel_aspect_y = 2
    assert "pixel aspect is 1 to 2, but the photo was lifted with 1 to 1" in problem(stage)


def test_points_with_a_constraint_of_their_own_are_named(stage, box):
    points = bpy.context.scene.levitor.lift.levitor.instances["Box"].points
    points.constraints.new("COPY_LOCATION").name = "Follow"
    assert "The points 'Box' have a constraint 'Follow' of their own" in problem(stage)
    points.constraints[0].mute = True
    assert "Nothing moves" in problem(stage)


def test_points_with_keys_of_their_own_are_named(stage, box):
    background = bpy.context.scene.levitor.lift.levitor.background
    background.keyframe_insert("location", frame=1)
    assert "The points 'LeviTor Background' have an animation of their own" in problem(stage)


@pytest.mark.parametrize(("name", "total"), [("LeviTor Background", 3072 - 100), ("Box", 100)])
def test_points_moved_in_edit_mode_are_counted(stage, box, name, total):
    mesh = bpy.data.objects[name].data
    for vertex in list(mesh.vertices)[3:8]:
        vertex.co.z += 0.01
    assert f"5 of the {total} points of '{name}' were moved in edit mode" in problem(stage)


def test_a_marker_that_switches_the_camera_during_the_shot_is_named(stage, box):
    scene = bpy.context.scene
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    markers = {frame: scene.timeline_markers.new(f"m{frame}", frame=frame) for frame in (1, 5, 12)}
    markers[1].camera, markers[12].camera = scene.camera, other
    assert "Nothing moves" in problem(stage)  # frame 12 comes after the shot
    markers[5].camera = other
    said = problem(stage)
    assert "marker 'm5' at frame 5 switches to the camera 'Other', but a shot has one" in said


def test_a_shot_is_saved_to_a_file_that_holds_it_whole(stage, box, tmp_path):
    key(box, 1, location=box.location)
    key(box, 9, location=box.location + type(box.location)((1, 0, 0)))
    path = tmp_path / "box.shot"
    assert bpy.ops.levitor.save_shot(filepath=str(path), seed=5) == {"FINISHED"}
    content = __import__(f"{stage.addon.__name__}.link.wire", fromlist=["_"]).content
    shot, blobs = content.unpack_shot(path.read_bytes())
    assert shot.seed == 5
    assert shot.moved_from_rest.shape == (9, 1, 4, 4)
    assert len(blobs) == 3
    assert list(tmp_path.iterdir()) == [path]
