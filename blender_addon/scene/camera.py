"""The camera that took the photo, and lenses read from any camera."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import bpy
import numpy as np
from bpy.types import Camera, Object, Scene, ViewLayer
from mathutils import Matrix, Vector

from ..core import coords
from ..core.coords import Array, Lens
from ..core.shot import PhotoCamera
from ..link.wire import ShotError, rules
from . import keyframes

_RAYS = 5
"""Rays are cast in a grid of this many columns and rows."""
_FEW = 3
"""So many of the rays have to hit what counts as standing before the photo."""
_EYE_END = 0.01
"""Where rays begin: what the camera touches is not in its way."""
_MOST_PASSED = 32
_REST = Matrix.Rotation(math.pi / 2, 4, "X")
USED = (
    "resolution_x",
    "resolution_y",
    "resolution_percentage",
    "pixel_aspect_x",
    "pixel_aspect_y",
)
"""What :func:`use` sets of the scene's render settings."""
_LENS = ("lens", "sensor_width", "sensor_height", "shift_x", "shift_y")


def make(intrinsics: Array, width: int, height: int, far: float) -> Object:
    """A camera at the world's origin, looking along +y, that projects like ``intrinsics``."""
    data = bpy.data.cameras.new("LeviTor Camera")
    _set_lens(data, intrinsics, width, height)
    data.clip_start, data.clip_end = 0.01, max(100.0, far * 4)
    camera = bpy.data.objects.new("LeviTor Camera", data)
    camera.rotation_euler = (math.pi / 2, 0, 0)
    return camera


def _set_lens(data: Camera, intrinsics: Array, width: int, height: int) -> None:
    lens = coords.lens_of(intrinsics, width, height)
    data.type = "PERSP"
    data.sensor_fit = "HORIZONTAL"  # AUTO would measure a portrait photo by its height
    data.sensor_width, data.sensor_height = lens.sensor
    data.lens = lens.focal
    data.shift_x, data.shift_y = lens.shift


def use(scene: Scene, camera: Object, intrinsics: Array, width: int, height: int) -> None:
    """Look through ``camera`` and render at the photo's size."""
    use_size(scene, intrinsics, width, height)
    scene.camera = camera


def use_size(scene: Scene, intrinsics: Array, width: int, height: int) -> None:
    """Render at the photo's size, in its pixel shape."""
    render = scene.render
    render.resolution_x, render.resolution_y = width, height
    render.resolution_percentage = 100
    aspect = coords.lens_of(intrinsics, width, height).aspect
    render.pixel_aspect_x, render.pixel_aspect_y = aspect


def blockers(scene: Scene, layer: ViewLayer, photo: PhotoCamera) -> list[Object]:
    """Objects that stand before the photo: a few of the rays through it hit them before ``near``.

    So does the start-up cube, with the camera inside; a ground on which the camera lies does not.
    """
    layer.update()  # without it, what was just made or moved is where it was before
    hits = Counter[str]()
    inverse = np.linalg.inv(photo.intrinsics)
    # Off the grid's middle: a ray within a plane that the camera lies on would hit it at random.
    share = (np.arange(_RAYS) + 0.513) / _RAYS
    for x, y in itertools.product(share * photo.width, share * photo.height):
        slope = coords.to_blender(inverse @ (x, y, 1.0))
        passed, at = set[str](), _EYE_END
        while at < photo.near and len(passed) < _MOST_PASSED:
            length = float(np.linalg.norm(slope)) * (photo.near - at)
            hit, place, _, _, ob, _ = scene.ray_cast(
                layer.depsgraph, Vector(slope * at), Vector(slope), distance=length
            )
            if not hit:
                break
            passed.add(ob.name)
            at = max(float(place.y), at) * (1 + 1e-4)
        hits.update(passed)
    found = [scene.objects.get(name) for name, count in hits.items() if count >= _FEW]
    return [
        ob
        for ob in found
        if ob is not None
        and ob.visible_get(view_layer=layer)
        and ob.display_type not in ("BOUNDS", "WIRE")
    ]


def problem(scene: Scene, eye: Object, photo: PhotoCamera) -> ShotError | None:
    """What keeps the lens of ``eye``, on this frame, from being the one that took the photo."""
    data = eye.data
    if data.type != "PERSP":
        return ShotError(
            "camera",
            f"The camera '{eye.name}' is not a perspective camera but {data.type}.",
            "Use Reset Camera, or change its type in the camera settings.",
        )
    if (found := pixel_aspect(scene, photo)) is not None:
        return found
    now = coords.intrinsics_of(lens_of(data, scene), photo.width, photo.height)
    if np.abs(now - photo.intrinsics).max() <= rules.STILL * photo.intrinsics[0, 0]:
        return None
    focal, x, y = (float(now[i]) for i in ((0, 0), (0, 2), (1, 2)))
    true_focal, true_x, true_y = (float(photo.intrinsics[i]) for i in ((0, 0), (0, 2), (1, 2)))
    return ShotError(
        "lens",
        f"At frame {scene.frame_current} the lens is not the photo's: its focal length is "
        f"{focal:.4g} pixels, not {true_focal:.4g}, and its centre ({x:.4g}, {y:.4g}), "
        f"not ({true_x:.4g}, {true_y:.4g}).",
        f"Go to frame {scene.frame_start}, or use Reset Camera.",
    )


def pixel_aspect(scene: Scene, photo: PhotoCamera) -> ShotError | None:
    """What to say where the scene's pixels have another shape than the photo's."""
    render = scene.render
    right = coords.lens_of(photo.intrinsics, photo.width, photo.height).aspect
    x, y = render.pixel_aspect_x, render.pixel_aspect_y
    if abs(y / x - right[1] / right[0]) <= 1e-4 * right[1] / right[0]:
        return None
    return ShotError(
        "pixel_aspect",
        f"The scene's pixel aspect is {x:g} to {y:g}, but the photo was lifted with "
        f"{right[0]:g} to {right[1]:g}.",
        "Set Output > Format > Aspect back, or use Reset Camera.",
    )


def reset(scene: Scene, eye: Object, photo: PhotoCamera) -> None:
    """Put the photo's camera back to where and how it took the photo, and look through it.

    Channels that are keyed get a key here, since the next change of frame would undo it otherwise.
    """
    for owner in (eye, eye.data):
        keyframes.check(owner)
    eye.parent = None
    eye.delta_location = (0, 0, 0)
    eye.delta_rotation_euler = (0, 0, 0)
    eye.delta_rotation_quaternion = (1, 0, 0, 0)
    eye.delta_scale = (1, 1, 1)
    eye.matrix_basis = _REST
    if keyframes.rotation(eye) == "rotation_euler":
        eye.rotation_euler = _REST.to_euler(eye.rotation_mode)
    _set_lens(eye.data, photo.intrinsics, photo.width, photo.height)
    use(scene, eye, photo.intrinsics, photo.width, photo.height)
    for owner, names in ((eye, keyframes.channels(eye)), (eye.data, _LENS)):
        for name in names:
            if next(keyframes.curves(owner, name), None) is not None:
                keyframes.insert(owner, name, scene.frame_current)


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
