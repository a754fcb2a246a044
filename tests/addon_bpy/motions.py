"""Ways in which an artist makes a handle or the camera move from frame 1 to 9."""

import bpy
import numpy as np

FIRST, LAST = 1, 9


def add(name, data=None, at=(0, 5, 0)):
    ob = bpy.data.objects.new(name, data)
    ob.location = at
    bpy.context.scene.collection.objects.link(ob)
    return ob


def grid(at=(0, 5, 2), size=4, hole=False):
    """A square of quads in the xy plane."""
    xs = np.linspace(-0.5, 0.5, size + 1)
    points = [(x, y, 0) for y in xs for x in xs]
    n = size + 1
    faces = [
        (r * n + c, r * n + c + 1, (r + 1) * n + c + 1, (r + 1) * n + c)
        for r in range(size)
        for c in range(size)
    ]
    mesh = bpy.data.meshes.new("Grid")
    mesh.from_pydata(points, [], faces)
    return add("Grid", mesh, at)


def key(ob, path, *values):
    """Key ``values`` from the first frame to the last; the last stays."""
    for frame, value in zip(np.linspace(FIRST, LAST, len(values)), values, strict=True):
        if path.startswith("["):
            ob[path[2:-2]] = value
        else:
            setattr(ob, path, value)
        ob.keyframe_insert(path, frame=frame)


def on_vertex(handle, ob, vertex=6):
    handle.parent, handle.parent_type = ob, "VERTEX"
    handle.parent_vertices = (vertex,) * 3


def child_of(handle, ob, bone=""):
    constraint = handle.constraints.new("CHILD_OF")
    constraint.target, constraint.subtarget = ob, bone
    bpy.context.view_layer.update()  # Blender takes the inverse from how things stand now


def driven(handle, expression, kind=None, item=None, path=""):
    driver = handle.driver_add("location", 0).driver
    driver.expression = expression
    if kind is None:
        return
    variable = driver.variables.new()
    variable.name = "v"
    variable.type = "CONTEXT_PROP" if kind == "CONTEXT" else "SINGLE_PROP"
    target = variable.targets[0]
    if kind != "CONTEXT":
        target.id_type, target.id = kind, item
    target.data_path = path


def nodes(ob, *, simulation=False):
    """Geometry nodes that carry ``ob`` along x with time, or by a step a frame."""
    tree = bpy.data.node_groups.new("Move", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    given, result, move, offset = (
        tree.nodes.new(kind)
        for kind in (
            "NodeGroupInput",
            "NodeGroupOutput",
            "GeometryNodeTransform",
            "ShaderNodeCombineXYZ",
        )
    )
    tree.links.new(offset.outputs[0], move.inputs["Translation"])
    if simulation:
        begin, end = (tree.nodes.new(f"GeometryNodeSimulation{side}put") for side in ("In", "Out"))
        begin.pair_with_output(end)
        offset.inputs[0].default_value = 0.1
        tree.links.new(given.outputs[0], begin.inputs["Geometry"])
        tree.links.new(begin.outputs["Geometry"], move.inputs["Geometry"])
        tree.links.new(move.outputs[0], end.inputs["Geometry"])
        tree.links.new(end.outputs["Geometry"], result.inputs[0])
    else:
        time = tree.nodes.new("GeometryNodeInputSceneTime")
        tree.links.new(time.outputs["Seconds"], offset.inputs[0])
        tree.links.new(given.outputs[0], move.inputs["Geometry"])
        tree.links.new(move.outputs[0], result.inputs[0])
    ob.modifiers.new("Move", "NODES").node_group = tree


def armature():
    data = bpy.data.armatures.new("Arm")
    ob = add("Arm", data)
    layer = bpy.context.view_layer
    layer.objects.active = ob
    bpy.ops.object.mode_set(mode="EDIT")
    for name, parent in (("A", None), ("B", "A"), ("C", "B")):
        bone = data.edit_bones.new(name)
        bone.head = (0, 0.02, len(data.edit_bones) - 1)
        bone.tail = (0, 0, len(data.edit_bones))
        if parent:
            bone.parent, bone.use_connect = data.edit_bones[parent], True
    bpy.ops.object.mode_set(mode="OBJECT")
    return ob


# What needs no more than the frame.


def keys(scene, handle, eye):
    key(handle, "location", (0, 4, 0), (0.5, 4, 0.2))


def strips(scene, handle, eye):
    keys(scene, handle, eye)
    data = handle.animation_data
    data.nla_tracks.new().strips.new("S", 1, data.action).scale = 0.5
    data.action = None


def parents(scene, handle, eye):
    upper, lower = add("Upper"), add("Lower")
    lower.parent = upper
    handle.parent = lower
    key(upper, "rotation_euler", (0, 0, 0), (0.3, 0.2, 0.4))


def bone(scene, handle, eye):
    ob = armature()
    child_of(handle, ob, "C")
    ob.pose.bones["A"].rotation_mode = "XYZ"
    ob.pose.bones["A"].keyframe_insert("rotation_euler", frame=FIRST)
    ob.pose.bones["A"].rotation_euler.x = 1
    ob.pose.bones["A"].keyframe_insert("rotation_euler", frame=LAST)


def inverse_kinematics(scene, handle, eye):
    ob, goal = armature(), add("Goal", at=(0, 5, 3))
    key(goal, "location", (0, 5, 2.9), (1, 5, 1.5))
    ob.pose.bones["C"].constraints.new("IK").target = goal
    child_of(handle, ob, "C")


def path(scene, handle, eye):
    curve = bpy.data.curves.new("Path", "CURVE")
    curve.dimensions, curve.use_path, curve.path_duration = "3D", True, 8
    spline = curve.splines.new("POLY")
    spline.points.add(2)
    for point, place in zip(spline.points, ((0, 0, 0), (1, 0, 0), (1, 0, 1)), strict=True):
        point.co = (*place, 1)
    key(curve, "eval_time", 0.0, 8.0)
    handle.constraints.new("FOLLOW_PATH").target = add("Path", curve)


def shape_key(scene, handle, eye):
    ob = grid()
    ob.shape_key_add(name="Basis")
    up = ob.shape_key_add(name="Up")
    for point in up.data:
        point.co.z += 1
    key(up, "value", 0.0, 1.0)
    on_vertex(handle, ob)


def hook(scene, handle, eye):
    ob, puller = grid(), add("Puller", at=(0, 5, 2))
    modifier = ob.modifiers.new("Hook", "HOOK")
    modifier.object = puller
    modifier.vertex_indices_set(range(25))
    key(puller, "location", (0, 5, 2), (0.5, 5, 3))
    on_vertex(handle, ob)


def arithmetic(scene, handle, eye):
    driven(handle, "sin(frame) + max(frame, 3) ** 2 % 0.7")


def object_property(scene, handle, eye):
    ob = add("Control")
    key(ob, '["slide"]', 0.0, 1.0)
    driven(handle, "v * 2", "OBJECT", ob, '["slide"]')


def zoom(scene, handle, eye):
    key(eye.data, "lens", eye.data.lens, eye.data.lens * 2)


ASIDE = (
    keys,
    strips,
    parents,
    bone,
    inverse_kinematics,
    path,
    shape_key,
    hook,
    arithmetic,
    object_property,
    zoom,
)

# What only the artist's scene shows.


def rigid_body(scene, handle, eye):
    cube = grid(at=(0, 6, 3))
    bpy.context.view_layer.objects.active = cube
    bpy.ops.rigidbody.world_add()
    bpy.ops.rigidbody.object_add()
    cube.rigid_body.collision_shape = "BOX"
    child_of(handle, cube)


def baked_rigid_body(scene, handle, eye):
    rigid_body(scene, handle, eye)
    cache = scene.rigidbody_world.point_cache
    cache.frame_start, cache.frame_end = FIRST, LAST
    with bpy.context.temp_override(point_cache=cache):
        bpy.ops.ptcache.bake(bake=True)


def cloth(scene, handle, eye):
    ob = grid()
    ob.modifiers.new("Cloth", "CLOTH")
    on_vertex(handle, ob)


def soft_body(scene, handle, eye):
    ob = grid()
    ob.modifiers.new("Soft", "SOFT_BODY").settings.use_goal = False
    on_vertex(handle, ob)


def geometry_nodes(scene, handle, eye):
    ob = grid()
    nodes(ob)
    on_vertex(handle, ob)


def geometry_simulation(scene, handle, eye):
    ob = grid()
    nodes(ob, simulation=True)
    on_vertex(handle, ob)


def ocean(scene, handle, eye):
    ob = grid()
    modifier = ob.modifiers.new("Ocean", "OCEAN")
    modifier.geometry_mode = "DISPLACE"
    key(modifier, "time", 0.0, 5.0)
    on_vertex(handle, ob)


def scene_property(scene, handle, eye):
    key(scene, '["slide"]', 0.0, 1.0)
    driven(handle, "v", "SCENE", scene, '["slide"]')


def view_layer_property(scene, handle, eye):
    layer = scene.view_layers[0]
    layer["slide"] = 0.0
    driven(handle, "v", "SCENE", scene, f'view_layers["{layer.name}"]["slide"]')
    driver = scene.driver_add(f'view_layers["{layer.name}"]["slide"]').driver
    driver.expression = "frame * 0.2"


def active_scene(scene, handle, eye):
    scene.render.resolution_x = 64
    key(scene, "gravity", (0, 0, 0), (0, 0, -5))
    driven(handle, "v * 0.2", "CONTEXT", path="gravity[2]")


def world_property(scene, handle, eye):
    world = bpy.data.worlds.new("World")
    scene.world = world
    key(world, '["slide"]', 0.0, 1.0)
    driven(handle, "v", "WORLD", world, '["slide"]')


def function_of_a_script(scene, handle, eye):
    bpy.app.driver_namespace["slide"] = lambda: bpy.context.scene.frame_float * 0.1
    driven(handle, "slide()")


def known_name_with_another_meaning(scene, handle, eye):
    scene["slide"] = 0.2
    bpy.app.driver_namespace["hypot"] = lambda x, y: scene["slide"] * x
    driven(handle, "hypot(frame, 1)")


def handler(scene, handle, eye):
    def follow(scene, *_):
        if scene.name == "Scene":
            bpy.data.objects["Led"].location.x = scene.frame_float * 0.1

    bpy.app.handlers.frame_change_pre.append(follow)
    child_of(handle, add("Led"))


def tracked_spot(scene, handle, eye):
    picture = bpy.data.images.new("Clip", 32, 24)
    picture.filepath_raw, picture.file_format = f"{bpy.app.tempdir}clip.png", "PNG"
    picture.save()
    clip = bpy.data.movieclips.load(picture.filepath_raw)
    scene.active_clip = clip
    spot = clip.tracking.tracks.new(name="Spot", frame=1)
    for frame in range(FIRST, LAST + 1):
        spot.markers.insert_frame(frame, co=(0.4 + 0.03 * frame, 0.5))
    tracker = add("Tracker")
    tracker.constraints.new("FOLLOW_TRACK").track = "Spot"  # active clip, scene's camera
    child_of(handle, tracker)


def lens_of_the_scene(scene, handle, eye):
    key(scene, '["zoom"]', 40.0, 80.0)
    variable = (driver := eye.data.driver_add("lens").driver).variables.new()
    variable.name, driver.expression = "v", "v"
    target = variable.targets[0]
    target.id_type, target.id, target.data_path = "SCENE", scene, '["zoom"]'


def itasc(scene, handle, eye):
    inverse_kinematics(scene, handle, eye)
    bpy.data.objects["Arm"].pose.ik_solver = "ITASC"


PLAYED = (
    rigid_body,
    baked_rigid_body,
    cloth,
    soft_body,
    geometry_nodes,
    geometry_simulation,
    ocean,
    scene_property,
    view_layer_property,
    active_scene,
    world_property,
    function_of_a_script,
    known_name_with_another_meaning,
    handler,
    tracked_spot,
    lens_of_the_scene,
    itasc,
)
