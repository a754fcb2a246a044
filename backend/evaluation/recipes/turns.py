"""Box centres and turns of things, by the points that were tracked on them: Blender's clips."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backend.evaluation.clip_sets import Clip
from backend.evaluation.metrics import box_centre_error, yaw_error, yaw_of
from backend.evaluation.trackers import Tracker
from backend.geometry.camera import DEFAULT_FOV, intrinsics_from_fov, unproject

Array = npt.NDArray[Any]
BOX_CENTRE, YAW = "box centre", "yaw"
LEAST_POINTS = 6
"""A thing's turn is told by so many points at least."""


def box_and_yaw(made: Tensor, clip: Clip, tracker: Tracker, depth: Tensor) -> dict[str, float]:
    """Pixels between boxes' centres and degrees between turns, over things and frames.

    A thing's box is around its visible points, its turn is that of the points as a rigid body. Both
    are found alike in the made video's points and in those that they should be; frame 0 does not
    count.

    Args:
        made: ``(F, 3, H, W)`` in [0, 1].
        clip: what it should show.
        tracker: follows the clip's points in it.
        depth: ``(H, W)`` z of the first frame.
    """
    points = torch.from_numpy(np.ascontiguousarray(clip.tracks[0])).float()
    found = tracker(made, points).xy.double().numpy()
    wanted = np.asarray(clip.tracks, np.float64)
    rest, intrinsics = rest_points(wanted[0], depth)
    boxes: tuple[list[Array], list[Array]] = ([], [])
    turns: tuple[list[Array], list[Array]] = ([], [])
    for item in np.unique(clip.instances[clip.instances > 0]):
        own = np.flatnonzero(clip.instances == item)
        for frame in range(1, len(wanted)):
            seen = own[clip.visible[frame, own]]
            if not len(seen):
                continue
            for side, tracks in zip(range(2), (found, wanted), strict=True):
                at = tracks[frame, seen]
                boxes[side].append(np.concatenate([at.min(0), at.max(0)]))
                if len(seen) >= LEAST_POINTS:
                    turns[side].append(yaw_of(rotation_of(rest[seen], at, intrinsics)))
    if not boxes[0]:
        return {BOX_CENTRE: math.nan, YAW: math.nan}
    counted = np.ones(len(boxes[0]), bool)
    return {
        BOX_CENTRE: box_centre_error(np.stack(boxes[0]), np.stack(boxes[1]), counted),
        YAW: yaw_error(np.array(turns[0]), np.array(turns[1])),
    }


def rest_points(points: Array, depth: Tensor) -> tuple[Array, Array]:
    """``(N, 3)`` camera axes of ``(N, 2)`` pixels of the first frame, and the intrinsics.

    Args:
        points: pixels.
        depth: ``(H, W)``.
    """
    height, width = depth.shape
    intrinsics = intrinsics_from_fov(DEFAULT_FOV, height, width)
    xyz = unproject(depth, intrinsics).double().numpy()
    column = np.floor(points[:, 0]).astype(int).clip(0, width - 1)
    row = np.floor(points[:, 1]).astype(int).clip(0, height - 1)
    return xyz[row, column], intrinsics.double().numpy()


def rotation_of(rest: Array, pixels: Array, intrinsics: Array) -> Array:
    """``(3, 3)``: how a rigid body has turned whose points are seen at ``pixels``.

    NaN where it cannot be told.

    Source: Terzakis and Lourakis 2020, "A consistently fast and globally optimal solution to the
    perspective-n-point problem", in OpenCV.

    Args:
        rest: ``(N, 3)`` camera axes.
        pixels: ``(N, 2)``.
        intrinsics: ``(3, 3)``.
    """
    centred = rest - rest.mean(0)
    try:
        ok, turn, _ = cv2.solvePnP(
            centred, np.ascontiguousarray(pixels), intrinsics, None, flags=cv2.SOLVEPNP_SQPNP
        )
    except cv2.error:  # points on a line, say
        ok, turn = False, None
    if not ok or turn is None:
        return np.full((3, 3), np.nan)
    return cv2.Rodrigues(turn)[0]
