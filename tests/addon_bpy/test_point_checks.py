"""What is done to points and not to their handle: a shot cannot hold it, and says so."""

import bpy
import pytest

from .conftest import module
from .motions import add, key


@pytest.fixture
def points(stage):
    """The points of an instance whose handle moves."""
    scene = bpy.context.scene
    stage.lift()
    handle = stage.instance("Box", depth=4.0)
    key(handle, "location", tuple(handle.location), (0, 4, 0))
    scene.frame_set(1)
    return scene.levitor.lift.levitor.instances[0].points


def problem(stage) -> str:
    with pytest.raises(stage.lifts.ShotError) as raised:
        stage.read()
    return f"{raised.value.sentence} {raised.value.fix}"


def tree(name, *kinds):
    made = bpy.data.node_groups.new(name, "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        made.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    return made, *(made.nodes.new(kind) for kind in ("NodeGroupInput", "NodeGroupOutput", *kinds))


# Another shape


def bend(points):
    points.modifiers.new("Bend", "SIMPLE_DEFORM")


def bend_in_renders_only(points):
    points.modifiers.new("Bend", "SIMPLE_DEFORM").show_viewport = False


def lattice(points):
    points.modifiers.new("Bend", "LATTICE").object = add("Lattice", bpy.data.lattices.new("L"))


def hook(points):
    points.modifiers.new("Bend", "HOOK").object = add("Puller")


def armature(points):
    points.modifiers.new("Bend", "ARMATURE").object = add("Arm", bpy.data.armatures.new("Arm"))


def array(points):
    points.modifiers.new("Bend", "ARRAY")


def particles(points):
    points.modifiers.new("Bend", "PARTICLE_SYSTEM")


def nodes(points):
    made, given, result, move = tree("Shift", "GeometryNodeTransform")
    move.inputs["Translation"].default_value = (0.5, 0, 0)
    made.links.new(given.outputs[0], move.inputs["Geometry"])
    made.links.new(move.outputs[0], result.inputs[0])
    points.modifiers.new("Bend", "NODES").node_group = made


@pytest.mark.parametrize(
    "deform",
    [bend, bend_in_renders_only, lattice, hook, armature, array, particles, nodes],
    ids=lambda one: one.__name__,
)
def test_a_modifier_of_the_points_own_is_named(stage, points, deform):
    stage.read()
    deform(points)
    assert "The points 'Box' have a modifier 'Bend' of their own" in problem(stage)
    modifier = points.modifiers["Bend"]
    modifier.show_viewport = modifier.show_render = False
    stage.read()


def test_a_shape_key_is_named_and_its_basis_alone_is_none(stage, points):
    points.shape_key_add(name="Basis")
    stage.read()
    points.shape_key_add(name="Up")
    assert "The points 'Box' have a shape key 'Up'" in problem(stage)


def test_keys_on_the_mesh_itself_are_an_animation(stage, points):
    points.data.vertices[0].keyframe_insert("co", frame=1)
    assert "The points 'Box' have an animation" in problem(stage)


def test_a_rigid_body_moves_points_beside_their_handle(stage, points):
    bpy.context.view_layer.objects.active = points
    bpy.ops.rigidbody.world_add()
    bpy.ops.rigidbody.object_add()
    assert "The points 'Box' have a rigid body" in problem(stage)


def test_an_edited_node_group_that_draws_the_points_elsewhere_is_named(stage, points):
    made = module(stage.addon, "scene.point_display").group()
    move = made.nodes.new("GeometryNodeTransform")
    move.inputs["Translation"].default_value = (0.5, 0, 0)
    drawn = next(node for node in made.nodes if node.bl_idname == "GeometryNodeMeshToPoints")
    after = drawn.outputs[0].links[0].to_socket
    made.links.new(drawn.outputs[0], move.inputs["Geometry"])
    made.links.new(move.outputs[0], after)
    assert "The node group 'LeviTor Points' draws the points" in problem(stage)


# Out of sight


def own(name, value=True):
    return lambda ob, layer, inner: setattr(ob, name, value)


def layers(name):
    return lambda ob, layer, inner: setattr(layer, name, True)


def collections(name):
    return lambda ob, layer, inner: setattr(inner, name, True)


HIDDEN = {
    "disabled in renders": own("hide_render"),
    "disabled in viewports": own("hide_viewport"),
    "invisible to cameras": own("visible_camera", False),
    "a holdout": own("is_holdout"),
    "which the view layer leaves out": layers("exclude"),
    "which is a holdout": layers("holdout"),
    "which is seen indirectly only": layers("indirect_only"),
    "which is disabled in viewports": collections("hide_viewport"),
    "which is disabled in renders": collections("hide_render"),
}


@pytest.mark.parametrize("part", ["Box", "LeviTor Background"])
@pytest.mark.parametrize("how", HIDDEN)
def test_points_that_a_render_would_not_show_are_named_with_what_hides_them(
    stage, points, how, part
):
    stage.read()
    ob, inner = bpy.data.objects[part], bpy.data.collections.new("Inner")
    bpy.context.scene.levitor.lift.children.link(inner)
    inner.objects.link(ob)
    bpy.context.scene.levitor.lift.objects.unlink(ob)
    layer = bpy.context.view_layer.layer_collection.children["LeviTor test"].children["Inner"]
    HIDDEN[how](ob, layer, inner)
    said = problem(stage)
    assert f"The points '{part}' are " in said
    assert how in said


def test_points_in_a_second_collection_that_is_shown_are_shown(stage, points):
    away = bpy.data.collections.new("Away")
    bpy.context.scene.collection.children.link(away)
    away.objects.link(points)
    away.hide_render = True
    stage.read()


@pytest.mark.parametrize("path", ["hide_viewport", "hide_render"])
@pytest.mark.parametrize("way", ["keyed", "driven"])
def test_a_handle_whose_visibility_is_animated_is_named(stage, points, path, way):
    handle = points.parent
    if way == "keyed":
        handle.keyframe_insert(path, frame=4)
    else:
        handle.driver_add(path).driver.expression = "frame > 20"
    bpy.context.view_layer.update()
    assert "The visibility of the handle of 'Box' is keyed or driven" in problem(stage)


# Shown twice


def collection_instance(points):
    ob = add("Copy")
    ob.instance_type, ob.instance_collection = "COLLECTION", bpy.context.scene.levitor.lift
    return ob


def nodes_that_show(points, *, as_instance):
    ob = add("Copy", bpy.data.meshes.new("Empty"))
    made, _, result, info = tree("Scatter", "GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = points
    info.inputs["As Instance"].default_value = as_instance
    made.links.new(info.outputs["Geometry"], result.inputs[0])
    ob.modifiers.new("Scatter", "NODES").node_group = made
    return ob


def nodes_with_an_instance(points):
    return nodes_that_show(points, as_instance=True)


def nodes_with_the_points_themselves(points):
    return nodes_that_show(points, as_instance=False)


@pytest.mark.parametrize(
    "copy",
    [
        collection_instance,
        nodes_with_an_instance,
        nodes_with_the_points_themselves,
    ],
    ids=lambda one: one.__name__,
)
def test_points_that_are_shown_a_second_time_are_named_until_the_copy_is_hidden(
    stage, points, copy
):
    stage.read()
    ob = copy(points)
    said = problem(stage)
    assert "'Copy' shows" in said
    assert "a second time" in said
    ob.hide_set(True)
    stage.read()


def test_another_lift_of_the_scene_is_no_copy(stage, points):
    stage.lift(name="second")
    handle = stage.instance("Vase", depth=4.0)
    key(handle, "location", tuple(handle.location), (0, 4, 0))
    bpy.context.scene.frame_set(1)
    for collection in bpy.data.collections:
        collection.hide_viewport = collection.hide_render = False
    stage.read()
