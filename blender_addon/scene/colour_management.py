"""Colour management: whether the photo's colours are shown as they are, and settings for it.

A colour attribute holds scene-linear numbers, and since 5.0 a file chooses what those mean:
Rec.709, which is sRGB's, Rec.2020 or ACEScg. When the choice changes, Blender converts the
attributes of points, or does not: that differs between its versions and is the artist's to choose.
So what a cloud's numbers mean is read from the numbers: they came from bytes, and in the space that
they are in, and in no other, they still lie on the 256 values of sRGB's bytes. Greys do so in
every space, so the most saturated points are asked first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from bpy.types import Mesh, Scene
from mathutils import Color

from ..core import photo_cloud
from ..core.coords import Array
from .rollback import Rollback

SAMPLES = 64
EXACT = 2e-5
"""How far from a byte's value a channel may be, after a matrix and back in 32 bits."""
_STANDARD: tuple[tuple[str, Any, str], ...] = (
    ("view_transform", "Standard", "view transform"),
    ("look", "None", "look"),
    ("exposure", 0.0, "exposure"),
    ("gamma", 1.0, "gamma"),
    ("use_curve_mapping", False, "curves"),
    ("use_white_balance", False, "white balance"),
)
"""Of a scene's view settings: what shows colours as they are, and what each is called."""
_DISPLAYS = ("sRGB", "Display P3")
"""Displays on which a view shows a colour as what it is."""
_asked: OrderedDict[tuple[int, int], list[int]] = OrderedDict()
"""Which points of a mesh tell its space, by its identity and its number of points: panels ask at
each redraw. A space changes colours, but hardly which are the most saturated."""
_ASKED = 256
"""So many meshes are remembered."""


def _from_srgb(name: str = "from_rec709_linear_to_scene_linear") -> Array:
    """(3, 3) float64: what Blender makes of linear colours of a space in the file's own one."""
    convert = getattr(Color, name)
    return np.array([convert(Color(unit)) for unit in np.eye(3)], np.float64).T


def working_from_srgb() -> Array:
    """(3, 3) float64: linear sRGB in the working space of the file; exactly 1 where it is that."""
    found = _from_srgb()
    return np.eye(3) if np.allclose(found, np.eye(3), atol=1e-5) else found


def _spaces() -> list[Array]:
    """Where colours of points may be: (3, 3) from linear sRGB each, the working space first."""
    working = _from_srgb()
    found = [working_from_srgb(), np.eye(3)]
    for name in ("from_rec2020_linear_to_scene_linear", "from_acescg_to_scene_linear"):
        if hasattr(Color, name):  # since 5.0
            found.append(np.linalg.inv(_from_srgb(name)) @ working)
    return found


def _telling(colour: Array) -> Array:
    """Indices of those of (n, 3 or more) ``colour`` that tell the space of all.

    They are the most saturated, since greys fit each space, and some from everywhere, since the
    most saturated may be an artist's paint, which never came from bytes.
    """
    if len(colour) <= 2 * SAMPLES:
        return np.arange(len(colour))
    everywhere = np.arange(0, len(colour), len(colour) // SAMPLES)
    red, green, blue = colour[:, 0], colour[:, 1], colour[:, 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return np.concatenate([np.argpartition(spread, -SAMPLES)[-SAMPLES:], everywhere])


def _space_of(colour: Array) -> Array:
    """The one of the spaces in which most of (n, 3 or more) ``colour`` came from bytes."""
    sample = colour[_telling(colour), :3].astype(np.float64)
    best, most = np.eye(3), -1.0
    for space in _spaces():
        linear = sample @ np.linalg.inv(space).T
        off = np.abs(linear - photo_cloud.LINEAR[photo_cloud.to_bytes(linear.astype(np.float32))])
        share = float((off < EXACT).all(1).mean()) if len(sample) else 0.0
        if share > most:
            best, most = space, share
    return best


def to_working(colour: Array) -> Array:
    """(n, 4) float32 scene-linear colours of points, from linear sRGB to the working space."""
    return _turned(colour, working_from_srgb())


def from_stored(colour: Array) -> Array:
    """The same from whichever space a cloud's colours are in, to linear sRGB."""
    space = _space_of(colour)
    return colour if np.array_equal(space, np.eye(3)) else _turned(colour, np.linalg.inv(space))


def _turned(colour: Array, matrix: Array) -> Array:
    if np.array_equal(matrix, np.eye(3)):
        return colour
    found = colour.copy()
    found[:, :3] = colour[:, :3] @ matrix.T.astype(np.float32)
    return found


def _colours_of(mesh: Mesh) -> Array:
    """(n, 4) float32: the colours of a cloud as they are stored."""
    data = mesh.attributes["Col"].data
    colour = np.empty(len(data) * 4, np.float32)
    data.foreach_get("color", colour)
    return colour.reshape(-1, 4)


def fits(mesh: Mesh) -> bool:
    """Whether the colours of a cloud are in the working space of the file."""
    source = mesh.attributes.get("Col")
    if source is None or not len(source.data):
        return True
    key = (mesh.session_uid, len(source.data))
    if key not in _asked:
        _asked[key] = _telling(_colours_of(mesh)).tolist()
        if len(_asked) > _ASKED:
            _asked.popitem(last=False)
    sample = np.array([source.data[n].color for n in _asked[key]])
    return bool(np.allclose(_space_of(sample), working_from_srgb()))


def differences(scene: Scene) -> list[str]:
    """What keeps ``scene`` from showing the photo's own colours, in a few words each."""
    settings, found = scene.view_settings, list[str]()
    for name, value, called in _STANDARD:
        if (now := getattr(settings, name, value)) != value:
            if isinstance(now, float):
                found.append(f"{called} {now:g}")
            else:
                found.append(called if isinstance(now, bool) else f"{called} '{now}'")
    if (display := scene.display_settings.display_device) not in _DISPLAYS:
        found.append(f"display '{display}'")
    collection = scene.levitor.lift
    if collection is not None:
        lift = collection.levitor
        owners = [lift.background, *(item.points for item in lift.instances)]
        if not all(fits(ob.data) for ob in owners if ob is not None and not ob.data.is_editmode):
            found.append("points in another working space than the file's")
    return found


def settle(scene: Scene, rollback: Rollback) -> None:
    """Make the view show colours as they are, as far as this Blender has what it takes."""
    settings = scene.view_settings
    for name, value, _ in _STANDARD:
        if hasattr(settings, name):
            rollback.keep(settings, name)
            try:
                setattr(settings, name, value)
            except TypeError:  # another colour management than Blender's own
                continue
    if scene.display_settings.display_device not in _DISPLAYS:
        rollback.keep(scene.display_settings, "display_device")
        scene.display_settings.display_device = _DISPLAYS[0]


def rewrite(mesh: Mesh) -> None:
    """Bring the colours of a cloud into the working space of the file."""
    shown = to_working(from_stored(_colours_of(mesh)))
    mesh.attributes["Col"].data.foreach_set(
        "color", np.ascontiguousarray(shown, np.float32).ravel()
    )
    mesh.update()
