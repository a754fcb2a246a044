"""The extension's data in the .blend: settings on the scene, a lifted photo on its collection.

Numbers that must survive as doubles (intrinsics, near, far, rest matrices) are custom properties
on the collection and on the handles instead, since Blender's float properties have 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy
from bpy.props import CollectionProperty, PointerProperty
from bpy.types import Context, PropertyGroup

from .link import pump
from .link.wire import messages, photo_formats
from .props_kinds import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    StringProperty,
)
from .props_lift import LEVITOR_PG_click, LEVITOR_PG_instance, LEVITOR_PG_lift
from .scene import flattening, ground_backdrop, horizon_line, lifts, relative_paths

LIFT = messages.LiftRequest(image=messages.Blob(sha256="", size=0, media=""))
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


class LEVITOR_PG_chosen(PropertyGroup):
    """An instance that an option names; its handle stays, whatever its name and place are."""

    handle: PointerProperty(
        name="Handle", description="Empty that moves the instance", type=bpy.types.Object
    )


class LEVITOR_PG_option(PropertyGroup):
    """A setting of an engine; ``scene/options.py`` gives each a custom property for its value."""

    name: StringProperty(name="Name", description="Engine and option, as in draft.softness")
    engine: StringProperty(name="Engine", description="Engine whose setting it is")
    label: StringProperty(name="Label", description="What the field is called")
    option: StringProperty(name="Option", description="What the backend said of it, as JSON")
    slider: BoolProperty(name="Slider", description="Whether it has a least and a greatest value")
    chosen: CollectionProperty(type=LEVITOR_PG_chosen)


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
    horizon_line.show(context.scene, self.horizon)


def _fov_by_hand(self: LEVITOR_PG_scene, context: Context) -> None:
    self.fov_from_photo = False  # who sets a number means it


class LEVITOR_PG_scene(PropertyGroup):
    """Settings of the next lift, instance and render."""

    photo: StringProperty(
        name="Photo",
        description="Photo to lift into a point cloud",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=relative_paths.stamp,
    )
    place: StringProperty(name="Place", description="Mark of the place its paths are written for")
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
        items=ground_backdrop.CHOICES,
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
        description=f"Depth map to use instead of the backend's: {photo_formats.DEPTH_MAP_WORDS}",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=relative_paths.stamp,
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
    (bpy.types.Mesh, flattening.FLATTEN, FloatProperty(name="Flatten")),
    (bpy.types.Mesh, lifts.LIFT, StringProperty(name="Lift")),
)
"""Custom properties on things that can be animated. Blender asks a property that is declared under
a custom property's name whether that can be keyed; the value stays where it was, a double."""

CLASSES = (
    LEVITOR_PG_instance,
    LEVITOR_PG_click,
    LEVITOR_PG_lift,
    LEVITOR_PG_chosen,
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
