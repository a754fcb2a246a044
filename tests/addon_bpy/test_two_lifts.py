"""Two lifts in one scene, and one lift in two scenes: what is changed is what was meant."""

import bpy
import numpy as np
import pytest

WIDE = 90.0


def positions(stage, collection):
    lift = collection.levitor
    parts = [lift.background, *(item.points for item in lift.instances)]
    return [stage.cloud.read(ob).position.copy() for ob in parts]


def same(stage, collection, before):
    now = positions(stage, collection)
    return all((a == b).all() for a, b in zip(now, before, strict=True))


@pytest.fixture
def two(stage):
    """Two lifts in one scene, each with an instance; the second is worked on."""
    first = stage.lift(name="first")
    stage.instance("Box", depth=4.0)
    second = stage.lift(name="second")
    stage.instance("Box", rows=slice(5, 15), depth=5.0)
    return first, second


def test_the_field_of_view_of_each_lift_is_its_own(stage, two):
    first, second = two
    before = positions(stage, second)
    lens = second.levitor.camera.data.lens
    first.levitor.horizontal_fov = WIDE
    assert first.levitor.horizontal_fov == pytest.approx(WIDE)
    assert second.levitor.horizontal_fov == pytest.approx(56.145, abs=1e-3)
    assert same(stage, second, before)
    assert second.levitor.camera.data.lens == lens
    assert first.levitor.camera.data.lens == pytest.approx(lens * 32 / 60)
    before = positions(stage, first)
    bpy.ops.levitor.set_fov(horizontal_fov=30.0)
    assert second.levitor.horizontal_fov == pytest.approx(30.0)
    assert same(stage, first, before)


def test_flattening_an_instance_leaves_its_namesake_in_the_other_lift(stage, two):
    first, second = two
    rng = np.random.default_rng(0)
    for lift in two:
        points = lift.levitor.instances[0].points
        count = len(points.data.vertices)
        stage.cloud.place(
            points.data,
            stage.cloud.read(points).position,
            rng.uniform(3, 6, count).astype(np.float32),
        )
    before = positions(stage, second)
    first.levitor.instances[0].flatten = 1.0
    assert same(stage, second, before)
    assert len(np.unique(stage.cloud.read(first.levitor.instances[0].points).depth)) == 1
    assert len(np.unique(stage.cloud.read(second.levitor.instances[0].points).depth)) > 50


def test_in_a_full_copy_of_the_scene_the_field_of_view_is_the_copys_own(stage):
    original = stage.lift()
    stage.instance("Box", depth=4.0)
    bpy.ops.scene.new(type="FULL_COPY")
    copied = bpy.context.scene.levitor.lift
    assert copied != original
    before = positions(stage, original)
    copied.levitor.horizontal_fov = WIDE
    assert copied.levitor.horizontal_fov == pytest.approx(WIDE)
    assert original.levitor.horizontal_fov == pytest.approx(56.145, abs=1e-3)
    assert same(stage, original, before)
    before = positions(stage, copied)
    original.levitor.horizontal_fov = 30.0
    assert same(stage, copied, before)
    assert copied.levitor.horizontal_fov == pytest.approx(WIDE)


def test_a_linked_copy_of_the_scene_shows_the_same_lift_with_its_new_lens(stage):
    lift = stage.lift()
    stage.instance("Box", depth=4.0)
    original = bpy.context.scene
    bpy.ops.scene.new(type="LINK_COPY")
    assert bpy.context.scene.levitor.lift == lift
    lift.levitor.horizontal_fov = WIDE
    assert lift.levitor.fov_said == ""
    for scene in (original, bpy.context.scene):
        assert scene.camera.data.lens == pytest.approx(36 * 32 / 64, rel=1e-4)
