"""Whatever moves a handle or the camera in the artist's scene moves it in the shot, and alike."""

import bpy
import numpy as np
import pytest

from .conftest import contents, module
from .motions import ASIDE, FIRST, LAST, PLAYED, add, key, rigid_body, scene_property

TIMES = [float(frame) for frame in range(FIRST, LAST + 1)]
BETWEEN = [1.0, 1.5, 2.25, 4.75, 6.5, 9.0]


@pytest.fixture
def handle(stage):
    stage.lift()
    handlers = bpy.app.handlers.frame_change_pre
    before, names = list(handlers), dict(bpy.app.driver_namespace)
    yield stage.instance("Box", depth=4.0)
    handlers[:] = before
    bpy.app.driver_namespace.clear()
    bpy.app.driver_namespace.update(names)


def seen(handle, eye):
    graph = bpy.context.view_layer.depsgraph
    lens = eye.evaluated_get(graph).data.lens
    return np.append(np.array(handle.evaluated_get(graph).matrix_world).ravel(), lens)


def truth(scene, handle, eye, times, begin=FIRST):
    """What the artist sees who plays the scene from its start, and then looks between frames."""
    found = {}
    for frame in range(begin - 1, int(times[-1]) + 1):
        scene.frame_set(frame)
        found[float(frame)] = seen(handle, eye)
    for time in times:
        if time not in found:
            scene.frame_set(int(time), subframe=time % 1)
            found[time] = seen(handle, eye)
    scene.frame_set(FIRST)
    return np.array([found[time] for time in times])


@pytest.mark.parametrize("times", [TIMES, BETWEEN], ids=["frames", "between frames"])
@pytest.mark.parametrize(
    ("source", "played"),
    [pytest.param(one, False, id=one.__name__) for one in ASIDE]
    + [pytest.param(one, True, id=one.__name__) for one in PLAYED],
)
def test_a_shot_moves_as_the_scene_does(stage, handle, source, played, times):
    scene, eye = bpy.context.scene, bpy.context.scene.camera
    source(scene, handle, eye)
    scene.frame_set(FIRST)
    sampling = module(stage.addon, "scene.sampling")
    reasons = module(stage.addon, "scene.dependencies").reasons([handle, eye])
    assert bool(reasons) == played, reasons
    matrices, _, lenses = sampling.sample(scene, [handle], eye, times)
    got = np.array(
        [[*pose.ravel(), lens.focal] for pose, lens in zip(matrices[:, 0], lenses, strict=True)]
    )
    right = truth(scene, handle, eye, times)
    assert np.abs(right - right[0]).max() > 0.05
    np.testing.assert_allclose(got, right, atol=2e-5)


def test_a_shot_that_begins_after_a_simulation_did_is_in_the_middle_of_it(stage, handle):
    scene, eye, times = bpy.context.scene, bpy.context.scene.camera, [11.0, 11.5, 15.0, 19.0]
    rigid_body(scene, handle, eye)
    scene.frame_start, scene.frame_end = 11, 19
    scene.frame_set(11)
    matrices, _, _ = module(stage.addon, "scene.sampling").sample(scene, [handle], eye, times)
    right = truth(scene, handle, eye, times)
    assert right[0, 11] < 0.1  # it has fallen from 0.6
    np.testing.assert_allclose(matrices.reshape(4, 16), right[:, :16], atol=2e-5)


@pytest.mark.parametrize("source", ASIDE, ids=lambda one: one.__name__)
def test_both_ways_of_sampling_agree_where_either_will_do(stage, handle, source, monkeypatch):
    scene, eye = bpy.context.scene, bpy.context.scene.camera
    source(scene, handle, eye)
    sampling, dependencies = (
        module(stage.addon, f"scene.{name}") for name in ("sampling", "dependencies")
    )
    aside = sampling.sample(scene, [handle], eye, BETWEEN)
    because = [dependencies.Reason(what="a test", played=True)]
    monkeypatch.setattr(dependencies, "reasons", lambda objects: because)
    played = sampling.sample(scene, [handle], eye, BETWEEN)
    for one, other in zip(aside[:2], played[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert aside[2] == played[2]


@pytest.mark.parametrize("source", [rigid_body, scene_property], ids=lambda one: one.__name__)
def test_playing_the_scene_leaves_everything_as_it_was(stage, handle, source):
    scene, eye = bpy.context.scene, bpy.context.scene.camera
    source(scene, handle, eye)
    truth(scene, handle, eye, TIMES)
    other = add("Other")
    key(other, "location", (0, 0, 0), (1, 1, 1))
    key(other, '["own"]', 1.0, 2.0)
    key(scene, '["mood"]', 1.0, 2.0)
    scene.frame_set(5, subframe=0.5)
    other.location, other["own"], scene["mood"] = (7, 8, 9), 5.0, 6.0  # moved, but not keyed yet
    other.select_set(True)
    handle.select_set(False)
    bpy.context.view_layer.objects.active = other
    bpy.context.view_layer.update()
    before, where = contents(), handle.matrix_world.copy()
    sampling = module(stage.addon, "scene.sampling")
    matrices, _, _ = sampling.sample(scene, [handle], eye, TIMES)
    assert np.abs(matrices - matrices[0]).max() > 0.01
    assert contents() == before
    assert (scene.frame_current, scene.frame_subframe) == (5, 0.5)
    assert (tuple(other.location), other["own"], scene["mood"]) == ((7, 8, 9), 5.0, 6.0)
    assert tuple(other.matrix_world.translation) == (7, 8, 9)
    np.testing.assert_allclose(handle.matrix_world, where, atol=1e-5)
    assert other in bpy.context.selected_objects
    assert handle not in bpy.context.selected_objects
    assert bpy.context.view_layer.objects.active == other
    assert scene.camera == eye


def test_playing_that_fails_puts_the_frame_back(stage, handle):
    scene = bpy.context.scene
    scene_property(scene, handle, scene.camera)
    scene.frame_set(4)
    sampling = module(stage.addon, "scene.sampling")
    with pytest.raises(ValueError, match="NaN"):
        sampling.sample(scene, [handle], scene.camera, [1.0, float("nan")])
    assert scene.frame_current == 4


@pytest.mark.parametrize(
    ("path", "index"),
    [
        pytest.param("location", 7, id="past the end"),
        pytest.param("parent", 0, id="of no object"),
        pytest.param("matrix_world", 1, id="of a row"),
        pytest.param("gone", 0, id="of nothing"),
    ],
)
def test_a_stray_curve_of_any_object_does_not_keep_the_scene_from_being_played(
    stage, handle, path, index
):
    scene, other = bpy.context.scene, add("Other")
    scene_property(scene, handle, scene.camera)
    key(other, "location", (0, 0, 0), (1, 1, 1))
    curve = next(module(stage.addon, "scene.keyframes").curves(other, "location"))
    curve.data_path, curve.array_index = path, index
    matrices, _, _ = module(stage.addon, "scene.sampling").sample(
        scene, [handle], scene.camera, TIMES
    )
    assert np.abs(matrices - matrices[0]).max() > 0.01


def test_the_scene_is_not_played_without_leave_and_the_reason_is_named(stage, handle):
    scene = bpy.context.scene
    rigid_body(scene, handle, scene.camera)
    scene.frame_set(4)
    edits = module(stage.addon, "scene.edit_counter")
    edits.seen()
    sampling = module(stage.addon, "scene.sampling")
    with pytest.raises(stage.lifts.ShotError, match="the rigid body 'Grid'"):
        sampling.sample(scene, [handle], scene.camera, TIMES, may_play=False)
    assert not edits.pending(0.0)  # the frame was not changed


def test_a_simulation_in_a_scene_that_no_window_shows_is_refused(stage, handle):
    scene = bpy.context.scene
    rigid_body(scene, handle, scene.camera)
    bpy.context.window.scene = bpy.data.scenes.new("Elsewhere")
    sampling = module(stage.addon, "scene.sampling")
    with pytest.raises(stage.lifts.ShotError, match="only plays in the scene of the window"):
        sampling.sample(scene, [handle], scene.camera, TIMES)


def away(ob):
    """Put ``ob`` into a collection that the view layer leaves out."""
    collection = bpy.data.collections.new("Away")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(ob)
    bpy.context.view_layer.layer_collection.children["Away"].exclude = True


def test_a_handle_of_the_lift_moves_though_the_view_layer_leaves_it_out(stage, handle):
    scene = bpy.context.scene
    scene_property(scene, handle, scene.camera)
    right = truth(scene, handle, scene.camera, TIMES)
    scene.levitor.lift.objects.unlink(handle)
    away(handle)
    matrices, _, _ = module(stage.addon, "scene.sampling").sample(
        scene, [handle], scene.camera, TIMES
    )
    np.testing.assert_allclose(matrices.reshape(len(TIMES), 16), right[:, :16], atol=1e-6)


def test_what_the_played_scene_does_not_hold_is_refused_rather_than_still(stage, handle):
    scene, other = bpy.context.scene, bpy.data.objects.new("Other", None)
    scene_property(scene, other, scene.camera)
    away(other)
    sampling = module(stage.addon, "scene.sampling")
    with pytest.raises(stage.lifts.ShotError, match="in no collection that this view layer shows"):
        sampling.sample(scene, [other], scene.camera, TIMES)
