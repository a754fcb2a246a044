"""A lifted photo's data in the .blend, on its collection: instances, clicks, and what it fixed."""

from __future__ import annotations

import bpy
from bpy.props import CollectionProperty, PointerProperty
from bpy.types import Context, PropertyGroup

from .core import fov
from .props_kinds import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    StringProperty,
)
from .scene import flattening, ground_backdrop, handles, lift_edits, lifts, relative_paths


def _keep_unique(self: LEVITOR_PG_instance, context: Context) -> None:
    handles.keep_name_unique(self)


def _flatten(self: LEVITOR_PG_instance, context: Context) -> None:
    flattening.flatten_from_field(self)


def _select_chosen(self: LEVITOR_PG_lift, context: Context) -> None:
    handles.select_listed(context.scene, self)


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
    return lift_edits.fov_of(self.id_data)


def _set_fov(self: LEVITOR_PG_lift, value: float) -> None:
    lift_edits.set_fov_from_field(self.id_data, value)


def _scene_kind(self: LEVITOR_PG_lift) -> int:
    return ground_backdrop.kind_of(self.id_data)


def _set_scene_kind(self: LEVITOR_PG_lift, value: int) -> None:
    ground_backdrop.set_from_field(self.id_data, kind=value)


def _horizon(self: LEVITOR_PG_lift) -> float:
    return lifts.photo_of(self.id_data).horizon


def _set_horizon(self: LEVITOR_PG_lift, value: float) -> None:
    ground_backdrop.set_from_field(self.id_data, height=value)


class LEVITOR_PG_lift(PropertyGroup):
    """A lifted photo; lives on the collection that holds its objects."""

    uid: StringProperty(name="Identifier", description="Name of this lift, kept for ever")
    photo: StringProperty(
        name="Photo", description="File the lift was made from", update=relative_paths.stamp
    )
    place: StringProperty(name="Place", description="Mark of the place its path is written for")
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
        items=ground_backdrop.KINDS,
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
