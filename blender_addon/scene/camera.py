"""The camera that took the photo, and lenses read from any camera."""

from __future__ import annotations

import math

import bpy
import numpy as np
from bpy.types import Camera, Object, Scene
from mathutils import Vector

from ..core import coords
from ..core.coords import Array, Lens

_SOLID = frozenset({"MESH", "CURVE", "SURFACE", "META", "FONT", "VOLUME"})


def make(intrinsics: Array, width: int, height: int, far: float) -> Object:
    """A camera at the world's origin, looking along +y, that projects like ``intrinsics``."""
    data = bpy.data.cameras.new("LeviTor Camera")
    lens = coords.lens_of(intrinsics, width, height)
    data.type = "PERSP"
    data.sensor_fit = "HORIZONTAL"  # AUTO would measure a portrait photo by its height
    data.sensor_width, data.sensor_height = lens.sensor
    data.lens = lens.focal
    data.shift_x, data.shift_y = lens.shift
    data.clip_start, data.clip_end = 0.01, max(100.0, far * 4)
    camera = bpy.data.objects.new("LeviTor Camera", data)
    camera.rotation_euler = (math.pi / 2, 0, 0)
    return camera


def use(scene: Scene, camera: Object, intrinsics: Array, width: int, height: int) -> None:
    """Look through ``camera`` and render at the photo's size."""
    render = scene.render
    render.resolution_x, render.resolution_y = width, height
    render.resolution_percentage = 100
    aspect = coords.lens_of(intrinsics, width, height).aspect
    render.pixel_aspect_x, render.pixel_aspect_y = aspect
    scene.camera = camera


def around(scene: Scene, eye: Object) -> list[Object]:
    """Objects that one sees from inside when one looks through ``eye``, like the start-up cube."""
    found = []
    for ob in scene.objects:
        if ob.type not in _SOLID or ob.hide_viewport or not ob.visible_get():
            continue
        corners = np.array([ob.matrix_world @ Vector(corner) for corner in ob.bound_box])
        seat = np.array(eye.location)
        if (corners.min(0) <= seat).all() and (seat <= corners.max(0)).all():
            found.append(ob)
    return found


def lens_of(data: Camera, scene: Scene) -> Lens:
    """The lens of (evaluated) camera data, with the pixel aspect of the artist's scene."""
    render = scene.render
    return Lens(
        focal=data.lens,
        sensor=(data.sensor_width, data.sensor_height),
        fit=data.sensor_fit,
        shift=(data.shift_x, data.shift_y),
        aspect=(render.pixel_aspect_x, render.pixel_aspect_y),
    )
