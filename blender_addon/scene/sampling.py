"""Where handles and camera are at any frame.

Two ways. A scene with only the sampled objects, thrown away again, gives the same matrices as the
artist's scene, parents, constraints and drivers included, and takes milliseconds. What such a scene
cannot know (:mod:`dependencies` finds it) is read in the artist's own scene, which is played for it
and put back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from bpy.types import ID, Depsgraph, Object, Scene, ViewLayer

from ..core.coords import Array, Lens
from ..link.wire import ShotError
from . import camera as cameras
from . import dependencies, keyframes, viewport

SAMPLE_SCENE = "_levitor_sample"
_COPIED = (
    "fps",
    "fps_base",
    "frame_map_old",
    "frame_map_new",
    "use_simplify",
    "simplify_subdivision",
)
Look = Callable[[int, Depsgraph], None]
"""Keeps what is seen at sample k."""


def sample(
    scene: Scene,
    handles: Sequence[Object],
    eye: Object,
    times: Sequence[float],
    *,
    may_play: bool = True,
) -> tuple[Array, Array, list[Lens]]:
    """Poses at ``times``, which are Blender frames with subframes, in order.

    Args:
        scene: the artist's.
        handles: what is sampled.
        eye: the camera.
        times: when.
        may_play: whether the artist's scene may be played where that is needed.

    Returns:
        handles (F, N, 4, 4) and camera (F, 4, 4) in Blender's world, float64, and F lenses.

    Raises:
        ShotError: the scene must be played and may not be, or would not show the truth.
    """
    objects = list(dict.fromkeys([*handles, eye]))
    matrices = np.empty((len(times), len(handles), 4, 4))
    views = np.empty((len(times), 4, 4))
    lenses: dict[int, Lens] = {}

    def look(k: int, graph: Depsgraph) -> None:
        for n, ob in enumerate(handles):
            matrices[k, n] = _evaluated(ob, graph).matrix_world
        seen = _evaluated(eye, graph)
        views[k] = seen.matrix_world
        lenses[k] = cameras.lens_of(seen.data, scene)

    if reasons := dependencies.reasons(objects):
        _check(scene, reasons, may_play)
        _play(scene, times, look, whole=any(reason.played for reason in reasons))
    else:
        _aside(scene, objects, times, look)
    return matrices, views, [lenses[k] for k in range(len(times))]


def _evaluated(ob: Object, graph: Depsgraph) -> Object:
    found = ob.evaluated_get(graph)
    if not found.is_evaluated:
        raise ShotError(
            "hidden",
            f"'{ob.name}' is in no collection that this view layer shows, so it does not move.",
            "Switch its collection on in the Outliner (check box).",
        )
    return found


def _aside(scene: Scene, objects: Sequence[Object], times: Sequence[float], look: Look) -> None:
    """Sample in a scene of their own."""
    aside = bpy.data.scenes.new(SAMPLE_SCENE)
    try:
        for name in _COPIED:
            setattr(aside.render, name, getattr(scene.render, name))
        aside.frame_start, aside.frame_end = scene.frame_start, scene.frame_end
        for ob in objects:
            aside.collection.objects.link(ob)
        for k, time in enumerate(times):
            _go(aside, time)
            look(k, aside.view_layers[0].depsgraph)
    finally:
        bpy.data.scenes.remove(aside)


def _check(scene: Scene, reasons: Sequence[dependencies.Reason], may_play: bool) -> None:
    what = reasons[0].what
    if not may_play:
        raise ShotError(
            "played",
            f"The shot depends on {what}; to see what that does, the whole scene has to be played, "
            "which Live does not do by itself.",
            "Use Preview Control.",
        )
    if scene != bpy.context.scene and any(reason.played for reason in reasons):
        raise ShotError(
            "other_scene",
            f"The shot depends on {what}, which Blender only plays in the scene of the window; "
            f"'{scene.name}' is not that.",
            f"Switch the window to '{scene.name}'.",
        )


def _play(scene: Scene, times: Sequence[float], look: Look, *, whole: bool) -> None:
    """Sample in the artist's scene.

    Args:
        scene: the artist's.
        times: when.
        look: keeps what is seen.
        whole: whether every frame follows from the one before it: then all are gone through, from
            where the first simulation begins. What lies between two frames is looked at after that,
            since simulations know it from both.
    """
    layer = viewport.layer_of(scene)
    numbered = list(enumerate(times))
    steps: list[tuple[int | None, float]] = list(numbered)
    if whole:
        at = {time: k for k, time in numbered}
        first, last = min(_first_frame(scene), math.floor(times[0])), math.ceil(times[-1])
        steps = [(at.get(frame), float(frame)) for frame in range(first, last + 1)]
        steps += [(k, time) for k, time in numbered if time != math.floor(time)]
    manager = bpy.context.window_manager
    with _put_back(scene, layer):
        manager.progress_begin(0, len(steps))
        try:
            _go(
                scene, steps[0][1] - 1
            )  # what is not keyed yet stays on a frame that does not change
            for done, (k, time) in enumerate(steps):
                _go(scene, time)
                if k is not None:
                    look(k, layer.depsgraph)
                manager.progress_update(done)
        finally:
            manager.progress_end()


def _go(scene: Scene, time: float) -> None:
    whole = math.floor(time)
    scene.frame_set(whole, subframe=time - whole)


def _first_frame(scene: Scene) -> int:
    """Where the first simulation of the scene begins that is not baked."""
    frames = [scene.frame_start]
    caches: list[Any] = []
    if scene.rigidbody_world is not None:
        caches.append(scene.rigidbody_world.point_cache)
    for modifier in (modifier for ob in scene.objects for modifier in ob.modifiers):
        match modifier.type:
            case "CLOTH" | "SOFT_BODY":
                caches.append(modifier.point_cache)
            case "PARTICLE_SYSTEM":
                caches.append(modifier.particle_system.point_cache)
            case "DYNAMIC_PAINT" if modifier.canvas_settings is not None:
                caches += [one.point_cache for one in modifier.canvas_settings.canvas_surfaces]
            case "FLUID" if modifier.domain_settings is not None:
                frames.append(modifier.domain_settings.cache_frame_start)
            case "NODES" if scene.use_custom_simulation_range:
                frames.append(scene.simulation_frame_start)
            case _:
                pass
    return min(frames + [cache.frame_start for cache in caches if not cache.is_baked])


@contextmanager
def _put_back(scene: Scene, layer: ViewLayer) -> Iterator[None]:
    """Afterwards the scene is on its frame, and what stood elsewhere than its keys say does too."""
    layer.update()
    frame, part = scene.frame_current, scene.frame_subframe
    before = list(_channels(layer))
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=part)
        # Data that a handler removed while the scene was played cannot be restored.
        changed = [one for one in before if _value(*one[:3]) not in (None, one[3])]
        for owner, path, index, value in changed:
            _set(owner, path, index, value)
        if changed:
            layer.update()


def _channels(layer: ViewLayer) -> Iterator[tuple[ID, str, int, Any]]:
    """What is keyed, with the values it has now: change of the frame sets it to its keys'."""
    for owner in {item.original for item in layer.depsgraph.ids}:
        for path, index in keyframes.animated(owner):
            if (value := _value(owner, path, index)) is not None:
                yield owner, path, index, value


def _value(owner: ID, path: str, index: int) -> Any:
    """A number or a text; None where a stray curve names nothing that could be keyed."""
    try:
        whole = owner.path_resolve(path)
        value = whole if isinstance(whole, str | float | int) else whole[index]
    except (ValueError, TypeError, LookupError):
        return None  # something that is gone, is no array or ends before this index
    return value if isinstance(value, str | float | int) else None


_LAST = re.compile(r'(?:\["((?:\\.|[^"\\])*)"\]|(?:^|\.)(\w+))$')
"""The last step of a path: a custom property's name, or a property's."""


def _set(owner: ID, path: str, index: int, value: Any) -> None:
    whole, last = owner.path_resolve(path), _LAST.search(path)
    if not isinstance(whole, str | float | int):
        whole[index] = value
    elif last is not None:
        before = path[: last.start()]
        holder = owner.path_resolve(before) if before else owner
        if last[2] is None:
            holder[bpy.utils.unescape_identifier(last[1])] = value
        else:
            setattr(holder, last[2], value)
