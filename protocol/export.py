"""A shot's tracks, boxes or masks as files for other tools: Export Control and `levitor export`.

Engines follow points in ``backend/control/tracks.py`` and ``boxes.py``, whose masks lie on a GPU; a
test holds the two side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import content, image_files, messages, rates, splat, tracks
from .arrays import Array
from .errors import ShotError
from .splat import Points

FORMATS = ("wan-move", "ati", "boxes", "masks")
DEPTH_TOLERANCE = 1.02
"""A point up to 2 % behind what is seen in its pixel is part of the same surface."""
NEAREST = 1e-6
"""Scene units; points are followed as if they never came nearer to the camera's plane."""
CONSTANT = 0.01
"""Pixels by which a box may change its size and still be one of constant size."""
OnStep = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


def files(
    shot: messages.ShotMessage,
    blobs: Mapping[str, bytes],
    kind: str,
    on_step: OnStep,
    per_instance: int = 8,
    anchors: int = 16,
    frame: tracks.Frame | None = None,
    said: list[str] | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file of an export, one at a time.

    Args:
        shot: the shot; ``rules.problems`` finds none.
        blobs: its blobs by hash.
        kind: one of :data:`FORMATS`.
        on_step: progress.
        per_instance: tracks on each picked instance, fewer where it has fewer pixels.
        anchors: tracks on all that was not picked together; they carry the camera.
        frame: of the tool that reads tracks; without it, what that wants.
        said: gets which tracks were written and which were not, a sentence each.

    Raises:
        ShotError: boxes are asked for and nothing was picked, or no track begins in the frame.
    """
    points = splat.points_of(shot, blobs)
    total = len(points.matrices)
    names = {item.id: item.name for item in shot.instances}
    about: dict[str, Any] = {
        "format": kind,
        "width": points.width,
        "height": points.height,
        "fps": float(rates.frame_rate(shot.fps)),
        "frames": total,
        "frame_start": shot.frame_start,
        "frame_end": shot.frame_end,
        "depth": "z along the optical axis, in scene units",
        "pixels": "(x, y), the centre of the first one at (0.5, 0.5)",
    }
    frames = _counted(splat.seen(points), total, on_step)
    if kind == "masks":
        for number, (ids, depth) in enumerate(frames):
            yield f"ids_{number:04d}.png", image_files.png(ids.clip(min=0).astype(np.uint8))
            yield f"depth_{number:04d}.exr", image_files.exr(depth)
        about["instances"] = names
    elif kind == "boxes":
        if not names:
            raise ShotError(
                "instances", "The shot has 0 picked instances to box.", "Pick something first."
            )
        boxes, visible = boxes_of(points, frames)
        yield "boxes.npy", tracks.npy(boxes)
        yield "visible.npy", tracks.npy(visible)
        about["instances"] = list(names.values())
        trajectories = drag_trajectories(boxes)
        if trajectories is not None:
            yield "traj.npy", tracks.npy(trajectories)
        about["traj.npy"] = "written" if trajectories is not None else "left out: sizes change"
    else:
        frame = frame or tracks.frame_of(kind, points.width, points.height)
        found = tracks_of(points, frames, per_instance, anchors, frame.within())
        image = content.array_of(shot.scene.image, blobs[shot.scene.image.sha256])
        for name, data in tracks.files(found, frame, image, names, about):
            yield name, data if isinstance(data, bytes) else image_files.png(data)
        if said is not None:
            said += tracks.said(found, frame, names, total)
        return
    yield "about.json", json.dumps(about, indent=1).encode()


def tracks_of(
    points: Points,
    frames: Iterator[tuple[Array, Array]],
    per_instance: int,
    anchors: int,
    within: Array,
) -> tracks.TrackExport:
    """Seed points on every picked instance of the first frame and follow them.

    Args:
        points: the shot's points.
        frames: what :func:`splat.seen` gives of them.
        per_instance: on each picked instance.
        anchors: on all the rest together.
        within: (H, W) bool, the pixels on which tracks may begin.
    """
    seeds = owner = np.zeros(0, np.int64)
    xyz: list[Array] = []
    visible: list[Array] = []
    for index, (ids, depth) in enumerate(frames):
        if index == 0:
            seeds, owner = _seeds(points, ids, per_instance, anchors, within)
        matrix = np.where(owner <= points.moving, owner, 0)  # only what moves has its own
        moved = np.empty((len(seeds), 3), np.float32)
        for number in np.unique(matrix):
            own = matrix == number
            moved[own] = splat.move(points.xyz[seeds[own]], points.matrices[index, number])
        xyz.append(moved)
        visible.append(_visible(splat.project(moved, points.intrinsics), moved[:, 2], depth))
    where = np.stack(xyz)
    z = where[..., 2].copy()
    # What passes the camera flies out of the frame; it must not come back mirrored, or as no number
    where[..., 2] = z.clip(min=np.float32(NEAREST))
    return tracks.TrackExport(
        xy=splat.project(where, points.intrinsics),
        depth=z,
        visible=np.stack(visible),
        instance=owner.astype(np.int32),
    )


def _seeds(
    points: Points, ids: Array, per_instance: int, anchors: int, within: Array
) -> tuple[Array, Array]:
    """Indices of the points to follow, and whose they are."""
    instance = points.instance[: ids.size]  # of the pixels; bodies give no seeds
    visible = (ids.reshape(-1) == instance) & within.reshape(-1)
    groups = [(n, visible & (instance == n), per_instance) for n in points.picked]
    rest = visible & ~np.isin(instance, points.picked)
    seeds: list[Array] = []
    owner: list[int] = []
    for number, candidates, count in [*groups, (0, rest, anchors)]:
        flat = np.flatnonzero(candidates)
        pixels = np.stack([flat % points.width, flat // points.width], -1)
        seeds.append(flat[farthest_points(pixels, count)])
        owner += [number] * len(seeds[-1])
    return np.concatenate(seeds), np.array(owner, np.int64)


def farthest_points(pixels: Array, count: int) -> Array:
    """Indices of up to ``count`` of (P, 2) pixels, each as far as can be from those before.

    The first is the one nearest to their mean; the first of equals is taken.
    """
    count = min(count, len(pixels))
    if count == 0:
        return np.zeros(0, np.int64)
    chosen = [int(((pixels - pixels.mean(0)) ** 2).sum(1).argmin())]
    distance = ((pixels - pixels[chosen[0]]) ** 2).sum(1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((pixels - pixels[chosen[-1]]) ** 2).sum(1))
    return np.array(chosen)


def _visible(xy: Array, z: Array, depth: Array) -> Array:
    """Which points are in the frame and not behind what is seen there."""
    height, width = depth.shape
    with np.errstate(invalid="ignore"):
        inside = (xy >= 0).all(-1) & (xy[:, 0] < width) & (xy[:, 1] < height) & (z > 0)
    column, row = np.where(inside[:, None], xy, 0).astype(np.int64).T
    return inside & (z <= depth[row, column] * np.float32(DEPTH_TOLERANCE))


def boxes_of(points: Points, frames: Iterator[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The box around all of each picked instance, hidden parts included, cut at the frame.

    Returns:
        (N, F, 4) float32 (x1, y1, x2, y2) pixels, zero where the instance is out of the frame, and
        (N, F) bool, whether any of it is seen.
    """
    own = [points.xyz[points.instance == number] for number in points.picked]
    boxes = np.zeros((len(own), len(points.matrices), 4), np.float32)
    visible = np.zeros(boxes.shape[:2], bool)
    high = np.array([points.width, points.height], np.float32)
    half = np.float32(0.5)
    for index, (ids, _) in enumerate(frames):
        for n, number in enumerate(points.picked):
            matrix = points.matrices[index, number if number <= points.moving else 0]
            moved = splat.move(own[n], matrix)
            pixel = splat.project(moved[moved[:, 2] > 0], points.intrinsics)
            if len(pixel):
                # Points are pixel centres: the box reaches half a pixel further
                low, top = pixel.min(0) - half, pixel.max(0) + half
                box = np.concatenate([low, top]).clip(0, np.concatenate([high, high]))
                boxes[n, index] = box if (box[2:] > box[:2]).all() else 0
            visible[n, index] = (ids == number).any()
    return boxes, visible


def drag_trajectories(boxes: Array) -> Array | None:
    """SG-I2V's array, if every box keeps its size.

    Args:
        boxes: (N, F, 4), N at least 1.

    Returns:
        (N, 2 + F, 2) float64: top-left and bottom-right of the first frame's box, then the centre
        of every frame; None where a box changes its size.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    if float(np.abs(size - size[:, :1]).max()) > CONSTANT:
        return None
    centres = (boxes[..., 2:] + boxes[..., :2]) / 2
    corners = boxes[:, 0].reshape(-1, 2, 2)
    return np.concatenate([corners, centres], 1).astype(np.float64)


def _counted(
    frames: Iterator[tuple[Array, Array]], total: int, on_step: OnStep
) -> Iterator[tuple[Array, Array]]:
    for done, frame in enumerate(frames, 1):
        yield frame
        on_step(done, total)
