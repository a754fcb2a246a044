"""Where handles and camera are at any frame, read in a scene that is thrown away again.

The artist's scene would have to jump through all its frames; a scene with only the sampled objects
gives the same matrices, parents, constraints and drivers included, and takes milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import bpy
import numpy as np
from bpy.types import Object, Scene

from ..core.coords import Array, Lens
from . import camera as cameras

SAMPLE_SCENE = "_levitor_sample"
_COPIED = ("fps", "fps_base", "frame_map_old", "frame_map_new")


def sample(
    scene: Scene, handles: Sequence[Object], eye: Object, times: Sequence[float]
) -> tuple[Array, Array, list[Lens]]:
    """Poses at ``times``, which are Blender frames with subframes.

    Returns:
        handles (F, N, 4, 4) and camera (F, 4, 4) in Blender's world, float64, and F lenses.
    """
    objects = list(dict.fromkeys([*handles, eye]))
    matrices = np.empty((len(times), len(handles), 4, 4))
    views = np.empty((len(times), 4, 4))
    lenses: list[Lens] = []
    aside = bpy.data.scenes.new(SAMPLE_SCENE)
    try:
        for name in _COPIED:
            setattr(aside.render, name, getattr(scene.render, name))
        aside.frame_start, aside.frame_end = scene.frame_start, scene.frame_end
        for ob in objects:
            aside.collection.objects.link(ob)
        for k, time in enumerate(times):
            whole = math.floor(time)
            aside.frame_set(whole, subframe=time - whole)
            graph = aside.view_layers[0].depsgraph
            for n, ob in enumerate(handles):
                matrices[k, n] = ob.evaluated_get(graph).matrix_world
            seen = eye.evaluated_get(graph)
            views[k] = seen.matrix_world
            lenses.append(cameras.lens_of(seen.data, scene))
    finally:
        bpy.data.scenes.remove(aside)
    return matrices, views, lenses
