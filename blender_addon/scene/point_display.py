"""How points look: one node group for all clouds, one material that shows what is picked."""

from __future__ import annotations

import bpy
from bpy.types import GeometryNodeTree, Material, Modifier, Object, Scene

from .rollback import Rollback

NAME = "LeviTor Points"
HIGHLIGHT_SHARE = 0.65


def shared() -> list[Material | GeometryNodeTree]:
    """The material and the node group that all clouds share, as far as they were made."""
    known = bpy.data.materials.get(NAME), bpy.data.node_groups.get(NAME)
    return [item for item in known if item is not None]


def use_own_colours(scene: Scene, rollback: Rollback) -> bool:
    """Show colours as they are; False where this Blender's colour management has no such view."""
    settings = scene.view_settings
    rollback.keep(settings, "view_transform")
    try:
        settings.view_transform = "Standard"  # AgX and Filmic would bend them
    except TypeError:
        return False
    return True


def material() -> Material:
    """Emission of the attribute ``Col``, mixed with its opposite colour where ``Pick`` is 1.

    One colour for all would not be seen on things of that colour; on a middle grey, which is its
    own opposite, the outline of the pick is what tells.
    """
    if (known := bpy.data.materials.get(NAME)) is not None:
        return known
    made = bpy.data.materials.new(NAME)
    if bpy.app.version < (5, 0, 0):
        made.use_nodes = True  # always on since 5.0
    tree = made.node_tree
    tree.nodes.clear()
    colour, pick = (tree.nodes.new("ShaderNodeAttribute") for _ in range(2))
    colour.attribute_name, pick.attribute_name = "Col", "Pick"
    colour.attribute_type = pick.attribute_type = "GEOMETRY"
    share = tree.nodes.new("ShaderNodeMath")
    share.operation = "MULTIPLY"
    share.inputs[1].default_value = HIGHLIGHT_SHARE
    photo, highlight = (tree.nodes.new("ShaderNodeEmission") for _ in range(2))
    opposite = tree.nodes.new("ShaderNodeInvert")
    mix = tree.nodes.new("ShaderNodeMixShader")
    out = tree.nodes.new("ShaderNodeOutputMaterial")
    for a, b in (
        (pick.outputs["Fac"], share.inputs[0]),
        (colour.outputs["Color"], photo.inputs["Color"]),
        (colour.outputs["Color"], opposite.inputs["Color"]),
        (opposite.outputs["Color"], highlight.inputs["Color"]),
        (share.outputs[0], mix.inputs[0]),
        (photo.outputs[0], mix.inputs[1]),
        (highlight.outputs[0], mix.inputs[2]),
        (mix.outputs[0], out.inputs["Surface"]),
    ):
        tree.links.new(a, b)
    for column, node in enumerate((colour, pick, share, photo, opposite, highlight, mix, out)):
        node.location = (200 * column, 0)
    return made


def group() -> GeometryNodeTree:
    """Points as discs that grow with their depth, so that each covers its pixel of the photo."""
    if (known := bpy.data.node_groups.get(NAME)) is not None:
        return known
    made = bpy.data.node_groups.new(NAME, "GeometryNodeTree")
    socket = made.interface.new_socket
    socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    size = socket("Point Size", in_out="INPUT", socket_type="NodeSocketFloat")
    size.description = "Diameter of a point in pixels of the photo"
    size.default_value, size.min_value = 1.9, 0.0
    pixel = socket("Pixel", in_out="INPUT", socket_type="NodeSocketFloat")
    pixel.description = "Width of a pixel at depth 1"
    pixel.default_value, pixel.min_value = 0.001, 0.0
    add = made.nodes.new
    given, result = add("NodeGroupInput"), add("NodeGroupOutput")
    depth = add("GeometryNodeInputNamedAttribute")
    depth.data_type = "FLOAT"
    depth.inputs["Name"].default_value = "depth"
    half, scaled, radius = (add("ShaderNodeMath") for _ in range(3))
    for node in (half, scaled, radius):
        node.operation = "MULTIPLY"
    half.inputs[1].default_value = 0.5
    points = add("GeometryNodeMeshToPoints")
    points.mode = "VERTICES"
    shade = add("GeometryNodeSetMaterial")
    shade.inputs["Material"].default_value = material()
    for a, b in (
        (given.outputs["Point Size"], half.inputs[0]),
        (half.outputs[0], scaled.inputs[0]),
        (given.outputs["Pixel"], scaled.inputs[1]),
        (scaled.outputs[0], radius.inputs[0]),
        (depth.outputs["Attribute"], radius.inputs[1]),
        (given.outputs["Geometry"], points.inputs["Mesh"]),
        (radius.outputs[0], points.inputs["Radius"]),
        (points.outputs[0], shade.inputs["Geometry"]),
        (shade.outputs[0], result.inputs["Geometry"]),
    ):
        made.links.new(a, b)
    for column, node in enumerate((given, depth, half, scaled, radius, points, shade, result)):
        node.location = (200 * column, 0)
    return made


def show(ob: Object, pixel: float) -> None:
    """Draw the vertices of ``ob`` as points; ``pixel`` is a pixel's width at depth 1."""
    modifier = ob.modifiers.new(NAME, "NODES")
    modifier.node_group = group()
    set_input(modifier, "Pixel", pixel)


def is_own(modifier: Modifier) -> bool:
    """Whether ``modifier`` is the one of :func:`show`."""
    if modifier.type != "NODES" or modifier.node_group is None:
        return False
    # A lift that was linked or appended from another file brings its own group along.
    return modifier.node_group.name.partition(".")[0] == NAME


def set_input(modifier: Modifier, name: str, value: float) -> None:
    """Set an input of a geometry-nodes modifier by its name."""
    identifier = modifier.node_group.interface.items_tree[name].identifier
    if hasattr(modifier, "properties"):  # since 5.2
        getattr(modifier.properties.inputs, identifier).value = value
    else:
        modifier[identifier] = value
