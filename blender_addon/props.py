"""The extension's data in the .blend: settings on the scene, a lifted photo on its collection.

Numbers that must survive as doubles (intrinsics, near, far, rest matrices) are custom properties
on the collection and on the handles instead, since Blender's float properties have 32 bits.

Nothing here can be keyed: a shot has one setting from end to end, and a keying set that takes in
whatever can be animated would give a handle channels that no artist asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import bpy
from bpy import props
from bpy.props import CollectionProperty, PointerProperty
from bpy.types import Context, PropertyGroup

from .core import fov, names
from .link import pump
from .link.wire import ShotError, messages
from .scene import ground, handles, horizon, lifts, relift, shapes

# Not animatable, which is what Blender's own are unless they are told otherwise.
BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty, IntProperty, StringProperty = (
    partial(kind, options=set())
    for kind in (
        props.BoolProperty,
        props.EnumProperty,
        props.FloatProperty,
        props.FloatVectorProperty,
        props.IntProperty,
        props.StringProperty,
    )
)

LIFT = messages.Lift(image=messages.Blob(sha256="", size=0, media=""))
"""How a photo is lifted unless the artist says otherwise."""
LIMITS = messages.Limits()
PREVIEW_OVER = (
    ("DRAFT", "Draft", "Over the draft, in which everything moves"),
    ("PHOTO", "Photo", "Over the still photo, which is quicker"),
)
PREVIEW_SHOW = (
    ("MASKS", "Masks", "Colour what was picked"),
    ("POINTS", "Points", "Draw the control points"),
    ("DEPTH", "Depth", "Show the depth beside"),
)


def _keep_unique(self: LEVITOR_PG_instance, context: Context) -> None:
    items = self.id_data.levitor.instances
    others = [item.name for item in items if item != self]
    if (unique := names.unique(self.name, others)) != self.name:
        self.name = unique  # calls this again, with nothing left to do


def _flatten(self: LEVITOR_PG_instance, context: Context) -> None:
    try:
        shapes.flatten(self.id_data, self)
    except ShotError:  # a field cannot say why; it shows what the points show
        self.flatten = shapes.flatten_of(self.points)


def _select_chosen(self: LEVITOR_PG_lift, context: Context) -> None:
    if 0 <= self.active_instance < len(self.instances):
        handle = self.instances[self.active_instance].handle
        if handle is not None and not handles.is_chosen(context.scene, handle):
            handles.select(context.scene, handle)


class LEVITOR_PG_instance(PropertyGroup):
    """Something picked out of the photo: its points and the handle that moves them."""

    name: StringProperty(
        name="Name", description="Name of the instance", default="Instance", update=_keep_unique
    )
    handle: PointerProperty(
        name="Handle", description="Empty that moves the instance", type=bpy.types.Object
    )
    points: PointerProperty(
        name="Points", description="Points of the instance", type=bpy.types.Object
    )
    moving: BoolProperty(
        name="Moving",
        description="Whether the instance moves in the shot; one that stays can still hide others",
        default=True,
    )
    flatten: FloatProperty(
        name="Flatten",
        description="From 0, the relief of its depth, to 1, a flat cut-out; through the photo's "
        "camera at rest nothing changes",
        default=0.0,
        min=0.0,
        max=1.0,
        options=set(),  # a shot has one shape from end to end
        update=_flatten,
    )
    thickness: FloatProperty(
        name="Thickness",
        description="Depth of the body behind it, in Blender units; its sides are seen when it "
        "turns or the camera goes round it, in drafts and renders only",
        default=0.0,
        min=0.0,
        soft_max=2.0,
        options=set(),
    )


class LEVITOR_PG_click(PropertyGroup):
    """A click of the pick under way, in pixels of the photo."""

    x: FloatProperty(name="X", description="Pixels from the left edge of the photo")
    y: FloatProperty(name="Y", description="Pixels from the top edge of the photo")
    positive: BoolProperty(
        name="Positive", description="Whether the click means the instance", default=True
    )


def _fov(self: LEVITOR_PG_lift) -> float:
    collection = self.id_data
    if "levitor_intrinsics" not in collection:
        return 0.0
    return fov.degrees_of(lifts.photo_of(collection).intrinsics, self.width)


def _set_fov(self: LEVITOR_PG_lift, value: float) -> None:
    try:
        collection = self.id_data
        self.fov_said = relift.set_fov(lifts.scene_of(collection), collection, value)
    except ShotError as error:  # a field has no other way to say it
        self.fov_said = f"{error.sentence} {error.fix}".strip()


def _scene_kind(self: LEVITOR_PG_lift) -> int:
    kind = lifts.photo_of(self.id_data).kind
    return next((n for n, (name, *_) in enumerate(ground.KINDS) if name.lower() == kind), 0)


def _set_scene_kind(self: LEVITOR_PG_lift, value: int) -> None:
    now = lifts.photo_of(self.id_data)
    _set_scene(self, ground.KINDS[value][0].lower(), now.horizon)


def _horizon(self: LEVITOR_PG_lift) -> float:
    return lifts.photo_of(self.id_data).horizon


def _set_horizon(self: LEVITOR_PG_lift, value: float) -> None:
    _set_scene(self, lifts.photo_of(self.id_data).kind, horizon.typed(value))


def _set_scene(self: LEVITOR_PG_lift, kind: str, height: float) -> None:
    try:
        collection = self.id_data
        scene = lifts.scene_of(collection)
        self.scene_said = ground.set_scene(scene, collection, kind, height)
        horizon.show(scene)
    except ShotError as error:  # a field has no other way to say it
        self.scene_said = f"{error.sentence} {error.fix}".strip()


class LEVITOR_PG_lift(PropertyGroup):
    """A lifted photo; lives on the collection that holds its objects."""

    uid: StringProperty(name="Identifier", description="Name of this lift, kept for ever")
    photo: StringProperty(name="Photo", description="File the lift was made from")
    width: IntProperty(name="Width", description="Width of the lifted photo in pixels")
    height: IntProperty(name="Height", description="Height of the lifted photo in pixels")
    camera: PointerProperty(
        name="Camera", description="Camera that took the photo", type=bpy.types.Object
    )
    background: PointerProperty(
        name="Background",
        description="Points that belong to no instance",
        type=bpy.types.Object,
    )
    horizontal_fov: FloatProperty(
        name="Field Of View",
        description="Horizontal field of view of the photo in degrees; points, handles and lens "
        "follow at once, and through the camera nothing changes",
        min=fov.LEAST,
        max=fov.MOST,
        get=_fov,
        set=_set_fov,
        options=set(),
    )
    fov_source: StringProperty(name="From", description="How the field of view is known")
    fov_said: StringProperty(name="Said", description="What the last change of it left to say")
    scene_kind: EnumProperty(
        name="Scene",
        description="What all that was not picked is; points and handles follow at once, and "
        "through the photo's camera nothing changes",
        items=ground.KINDS,
        get=_scene_kind,
        set=_set_scene_kind,
    )
    horizon: FloatProperty(
        name="Horizon",
        description="Height of the ground's horizon, from 0 at the top of the photo to 1 at the "
        "bottom; points and handles follow at once",
        min=0.0,
        max=0.95,
        get=_horizon,
        set=_set_horizon,
    )
    scene_said: StringProperty(name="Said", description="What its last change left to say")
    depth_model: StringProperty(name="Depth", description="What made the depth")
    segment_model: StringProperty(name="Segments", description="What made the segments")
    notes: StringProperty(name="Notes", description="What the backend said about the lift")
    upright: BoolProperty(
        name="Stand Upright",
        description="Stand a picked instance upright at the depth of its lowest row",
    )
    instances: CollectionProperty(type=LEVITOR_PG_instance)
    active_instance: IntProperty(
        name="Instance", description="Instance chosen in the list", update=_select_chosen
    )
    clicks: CollectionProperty(type=LEVITOR_PG_click)
    box: FloatVectorProperty(
        name="Box",
        description="Box of the pick under way: left, top, right, bottom in pixels; zero is none",
        size=4,
    )
    picked: IntProperty(name="Picked", description="Pixels picked so far")
    pick: StringProperty(name="Pick", description="Names the masks that the clicks may have meant")
    candidate: IntProperty(name="Mask", description="Which of these masks is shown", min=0)


class LEVITOR_PG_option(PropertyGroup):
    """A setting of an engine; ``scene/options.py`` gives each a custom property for its value."""

    name: StringProperty(name="Name", description="Engine and option, as in draft.softness")
    engine: StringProperty(name="Engine", description="Engine whose setting it is")
    label: StringProperty(name="Label", description="What the field is called")
    option: StringProperty(name="Option", description="What the backend said of it, as JSON")
    slider: BoolProperty(name="Slider", description="Whether it has a least and a greatest value")


def _engine_names(self: LEVITOR_PG_scene, context: Context, text: str) -> Iterable[str]:
    return [engine.name for engine in pump.link().engines() if text.lower() in engine.name.lower()]


def _names_of(*tasks: str) -> list[str]:
    """``auto``, and what the backend says that it has for these tasks, the best first."""
    welcome = pump.link().welcome
    found = welcome.perception if welcome is not None else ()
    return ["auto", *dict.fromkeys(model.name for model in found if model.task in tasks)]


def _depth_names(self: LEVITOR_PG_scene, context: Context, text: str) -> Iterable[str]:
    return [name for name in _names_of("depth") if text.lower() in name.lower()]


def _segment_names(self: LEVITOR_PG_scene, context: Context, text: str) -> Iterable[str]:
    return [name for name in _names_of("automatic segments") if text.lower() in name.lower()]


def _click_names(self: LEVITOR_PG_scene, context: Context, text: str) -> Iterable[str]:
    return [name for name in _names_of("segments") if text.lower() in name.lower()]


def _show_horizon(self: LEVITOR_PG_scene, context: Context) -> None:
    horizon.show(context.scene, self.horizon)


def _fov_by_hand(self: LEVITOR_PG_scene, context: Context) -> None:
    self.fov_from_photo = False  # who sets a number means it


class LEVITOR_PG_scene(PropertyGroup):
    """Settings of the next lift, instance and render."""

    photo: StringProperty(
        name="Photo",
        description="Photo to lift into a point cloud",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    fov_from_photo: BoolProperty(
        name="From Photo",
        description="Take the field of view from the photo's file, or 50 degrees where it says "
        "nothing of its lens",
        default=True,
    )
    horizontal_fov: FloatProperty(
        name="Field Of View",
        description="Horizontal field of view of the photo in degrees",
        default=LIFT.horizontal_fov,
        min=1.0,
        max=175.0,
        update=_fov_by_hand,
    )
    scene_kind: EnumProperty(
        name="Scene",
        description="What all that will not be picked is, where no model and no map gives depth",
        items=ground.CHOICES,
        default="AUTO",
    )
    horizon: FloatProperty(
        name="Horizon",
        description="Height of a ground's horizon, from 0 at the top of the photo to 1 at the "
        "bottom",
        default=LIFT.horizon,
        min=0.0,
        max=0.95,
        update=_show_horizon,
    )
    near: FloatProperty(
        name="Near", description="Distance of the nearest points", default=LIFT.near, min=0.001
    )
    far: FloatProperty(
        name="Far", description="Distance of the farthest points", default=LIFT.far, min=0.001
    )
    depth_path: StringProperty(
        name="Depth Map",
        description="Depth map to use instead of the backend's: 8 or 16-bit PNG, EXR or .npy",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    nearer_is_larger: BoolProperty(
        name="Nearer Is Larger",
        description="Whether larger values of the depth map are nearer",
        default=True,
    )
    depth_model: StringProperty(
        name="Depth Model",
        description="What makes the depth: auto is the best that the backend has",
        default=LIFT.depth_model,
        search=_depth_names,
    )
    segment_model: StringProperty(
        name="Segment Model",
        description="What finds automatic segments: auto is the best that the backend has",
        default=LIFT.segment_model,
        search=_segment_names,
    )
    depth_size: IntProperty(
        name="Depth Size",
        description="Pixels of the shorter side that a depth network looks at: more shows finer "
        "outlines and takes longer",
        default=LIFT.depth_size,
        min=14,
        max=2072,
    )
    clean_edges: BoolProperty(
        name="Clean Edges",
        description="Leave no points hanging between a thing and what lies behind it",
        default=LIFT.clean_edges,
    )
    max_side: IntProperty(
        name="Longest Side",
        description="A longer photo is scaled down to this many pixels",
        default=LIFT.max_side,
        min=16,
        max=LIMITS.max_side,
    )
    lift: PointerProperty(
        name="Lift", description="The lifted photo that is worked on", type=bpy.types.Collection
    )
    click_model: StringProperty(
        name="Click Model",
        description="What answers a click: auto is the best that the backend has",
        default="auto",
        search=_click_names,
    )
    instance_name: StringProperty(
        name="Name", description="Name of the instance to make", default="Instance"
    )
    moving: BoolProperty(
        name="Moving", description="Whether the instance to make will move", default=True
    )
    engine: StringProperty(
        name="Engine",
        description="Engine that renders the shot; the backend says which it has",
        default="draft",
        search=_engine_names,
    )
    seed: IntProperty(
        name="Seed", description="Same seed, same shot: the same take", default=0, min=0
    )
    frames: IntProperty(
        name="Frames",
        description="Samples of the shot; 0 takes every frame, or as many as the engine makes",
        default=0,
        min=0,
    )
    anchors: BoolProperty(
        name="Static Anchors",
        description="Let what stays in place hold the scene and carry the camera; "
        "engines with control points use it, the draft does not need it",
        default=True,
    )
    engine_options: CollectionProperty(type=LEVITOR_PG_option)
    options_known: StringProperty(
        name="Known Options", description="Names the state of the backend's engines' options"
    )
    place_automatically: BoolProperty(
        name="Place Automatically",
        description="Put a take into the sequencer as soon as it arrives",
        default=True,
    )
    preview_over: EnumProperty(
        name="Over",
        description="What masks and points of the control preview lie on",
        items=PREVIEW_OVER,
        default="DRAFT",
    )
    preview_live: BoolProperty(
        name="Live",
        description="Preview again whenever the shot has changed",
        default=False,
    )
    preview_show: EnumProperty(
        name="Show",
        description="What the control preview shows",
        items=PREVIEW_SHOW,
        default={"MASKS", "POINTS", "DEPTH"},
        options={"ENUM_FLAG"},
    )


OWN = (
    (bpy.types.Object, lifts.REST, FloatVectorProperty(name="Rest", size=16)),
    (bpy.types.Mesh, shapes.FLATTEN, FloatProperty(name="Flatten")),
)
"""Custom properties on things that can be animated. Blender asks a property that is declared under
a custom property's name whether that can be keyed; the value stays where it was, a double."""

CLASSES = (
    LEVITOR_PG_instance,
    LEVITOR_PG_click,
    LEVITOR_PG_lift,
    LEVITOR_PG_option,
    LEVITOR_PG_scene,
)


def attach() -> None:
    """Give scenes and collections their ``levitor`` property, and declare custom properties."""
    bpy.types.Scene.levitor = PointerProperty(type=LEVITOR_PG_scene)
    bpy.types.Collection.levitor = PointerProperty(type=LEVITOR_PG_lift)
    for owner, name, declared in OWN:
        setattr(owner, name, declared)


def detach() -> None:
    """Take the ``levitor`` properties away again."""
    for owner, name, _ in OWN:
        delattr(owner, name)
    del bpy.types.Collection.levitor
    del bpy.types.Scene.levitor
