"""Building a shot: frame times, the instance map, and the message with its blobs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..link.wire import content, frames, messages, rules
from . import coords, photo_cloud
from .coords import Array, Lens
from .photo_cloud import Cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """An instance as the scene holds it.

    Attributes:
        rest: (4, 4) its handle at rest, in Blender's world.
        cloud: its points at rest.
        matrices: (F, 4, 4) its handle at every sample, in Blender's world.
        flatten: 0 keeps its relief, 1 makes a plane of it; ``cloud`` has the relief.
        thickness: of the body behind it, in Blender units.
    """

    name: str
    moving: bool
    rest: Array
    cloud: Cloud
    matrices: Array
    flatten: float = 0.0
    thickness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoCamera:
    """What a lift fixed: size in pixels, the photo's camera, and the depth range.

    Attributes:
        kind: of its scene, ``ground`` or ``backdrop``; empty where a model or a map gave the depth.
        horizon: of a ground, as a fraction of the height from the top.
    """

    height: int
    width: int
    intrinsics: Array
    near: float
    far: float
    kind: Literal["", "ground", "backdrop"] = ""
    horizon: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """How the shot shall be rendered; frames are Blender's, both ends included."""

    frame_start: int
    frame_end: int
    fps: float
    engine: str
    seed: int = 0
    anchors: bool = True
    options: Mapping[str, messages.Scalar] = field(default_factory=dict[str, messages.Scalar])


Take = RenderSettings
"""The name under which scripts that drive the extension know it."""


def sample_count(
    asked: int, start: int, end: int, rule: frames.FrameRule | None, limit: int
) -> int:
    """How many samples a shot has.

    Args:
        asked: what was asked for; 0 leaves it to the engine, and then to the frame range.
        start: first Blender frame.
        end: last Blender frame.
        rule: of the engine; an engine without one takes any number.
        limit: the most the server takes.
    """
    wanted = min(end - start + 1, limit)
    return asked or (rule.count(wanted, limit) if rule else wanted)


def frame_times(start: int, end: int, count: int) -> list[float]:
    """The Blender frames, with subframes, of ``count`` samples from ``start`` to ``end``."""
    if count < 2:
        return [float(start)] * count
    return [start + k * (end - start) / (count - 1) for k in range(count)]


def id_order(moving: Sequence[bool]) -> list[int]:
    """Indexes of instances in the order of their ids, which count from 1: moving ones first.

    Args:
        moving: of each instance, in the order of the list.
    """
    return sorted(range(len(moving)), key=lambda index: not moving[index])


def instance_map(
    background: Cloud, picked: Sequence[Cloud], height: int, width: int, limit: int = rules.MAX_ID
) -> Array:
    """(H, W) int32: the picks count from 1 in their order, the automatic segments after them.

    Where there are more than ``limit`` ids, the smallest automatic segments become background.
    """
    flat = np.zeros(height * width, np.int32)
    segments, sizes = _sizes(background.segment)
    room = max(0, limit - len(picked))
    kept = np.sort(segments[np.argsort(-sizes, kind="stable")[:room]])
    if kept.size:
        ids = np.zeros(int(kept.max()) + 2, np.int32)  # the last one is of all that are not kept
        ids[kept] = np.arange(len(picked) + 1, len(picked) + 1 + kept.size)
        flat[background.pixel] = ids[np.clip(background.segment, 0, ids.size - 1)]
    for number, cloud in enumerate(picked, 1):
        flat[cloud.pixel] = number
    return flat.reshape(height, width)


def _sizes(segment: Array) -> tuple[Array, Array]:
    """The positive values of ``segment``, ascending, and how many points have each."""
    if segment.max(initial=0) > segment.size:
        return np.unique(segment[segment > 0], return_counts=True)
    counts = np.bincount(np.maximum(segment, 0), minlength=1)  # no sorting of millions
    found = np.flatnonzero(counts[1:]) + 1
    return found, counts[found]


def scene_of(
    photo: PhotoCamera, clouds: Sequence[Cloud]
) -> tuple[messages.Scene, dict[str, bytes]]:
    """The scene message that ``clouds`` hold together, and its blobs by hash.

    Raises:
        ValueError: the clouds do not hold every pixel exactly once.
    """
    image, depth = photo_cloud.photo_of(clouds, photo.height, photo.width)
    image_ref, image_bytes = content.array_blob_of(image)
    depth_ref, depth_bytes = content.array_blob_of(depth)
    scene = messages.Scene(
        image=image_ref,
        depth=depth_ref,
        intrinsics=photo.intrinsics,
        near=photo.near,
        far=photo.far,
        kind=photo.kind,
    )
    return scene, {image_ref.sha256: image_bytes, depth_ref.sha256: depth_bytes}


def build(
    photo: PhotoCamera,
    background: Cloud,
    picked: Sequence[Picked],
    cameras: Array,
    lenses: Sequence[Lens],
    settings: RenderSettings,
) -> tuple[messages.ShotMessage, dict[str, bytes]]:
    """The shot and its blobs; whether it can be rendered is for ``rules.problems`` to say.

    Args:
        photo: what the lift fixed.
        background: every point that is in no instance.
        picked: instances in the order they were made.
        cameras: (F, 4, 4) the camera object at every sample, in Blender's world.
        lenses: the camera's lens at every sample.
        settings: range, engine and settings.

    Raises:
        ValueError: the clouds do not hold every pixel exactly once.
    """
    ordered = [picked[index] for index in id_order([item.moving for item in picked])]
    clouds = [item.cloud for item in ordered]
    scene, blobs = scene_of(photo, [background, *clouds])
    ids, ids_bytes = content.array_blob_of(
        instance_map(background, clouds, photo.height, photo.width)
    )
    blobs[ids.sha256] = ids_bytes
    moving = [item for item in ordered if item.moving]
    count = len(cameras)
    if moving:
        handles = np.stack([item.matrices for item in moving], axis=1)
        moved = coords.moved_from_rest(handles, np.stack([item.rest for item in moving]))
    else:
        moved = np.zeros((count, 0, 4, 4))
    lens = np.stack([coords.intrinsics_of(one, photo.width, photo.height) for one in lenses])
    shot = messages.ShotMessage(
        scene=scene,
        instance_map=ids,
        instances=tuple(
            messages.Instance(
                id=number,
                name=item.name,
                moving=item.moving,
                handle=tuple(float(v) for v in coords.to_world(item.rest[:3, 3])),
                flatten=item.flatten,
                thickness=item.thickness,
            )
            for number, item in enumerate(ordered, 1)
        ),
        moved_from_rest=moved,
        camera_from_world=coords.camera_from_world(cameras),
        intrinsics=coords.snapped(lens, photo.intrinsics),
        frame_start=settings.frame_start,
        frame_end=settings.frame_end,
        fps=settings.fps,
        engine=settings.engine,
        seed=settings.seed,
        anchors=settings.anchors,
        options=dict(settings.options),
    )
    return shot, blobs


def strayed(item: Picked, tolerance: float = 1e-4) -> int | None:
    """The first sample at which the handle is not at rest; None when it always is."""
    off = ~(np.abs(item.matrices - item.rest).max(axis=(1, 2)) <= tolerance)
    return int(np.flatnonzero(off)[0]) if off.any() else None


def last_motion(shot: messages.ShotMessage) -> int:
    """The Blender frame from which on nothing moves any more; the last one where that never is."""
    lens = shot.intrinsics / shot.scene.intrinsics[0, 0]
    off = [
        np.abs(values - values[-1]).reshape(len(values), -1).max(axis=1, initial=0.0)
        for values in (shot.moved_from_rest, shot.camera_from_world, lens)
    ]
    moving = np.flatnonzero(np.max(off, axis=0) > rules.STILL)
    count = len(shot.camera_from_world)
    times = frame_times(shot.frame_start, shot.frame_end, count)
    return (
        math.ceil(times[min(int(moving[-1]) + 1, count - 1)]) if moving.size else shot.frame_start
    )
