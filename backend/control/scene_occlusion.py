"""Finds instances that a flat scene (ground or backdrop) occludes, and words notes about them.

The depth of a flat scene is a guess that the photo does not show: an artist who moves a flower down
may not know that she moves it below the ground. So the take's notes name the frames.
"""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.contracts import Lift, Shot
from backend.geometry.camera import unproject
from backend.geometry.motion import camera_from_rest, move_points

CONTACT_TOLERANCE = 0.02
"""Relative tolerance of the depth test: what stands on the ground touches it and is visible."""
MIN_SHARE = 0.05
"""Occluded share of an instance's pixels in the frame that gives a note; less is common where
something that stands on the ground rotates."""
MAX_SAMPLES = 4096
"""Most points of an instance that are tested, evenly spaced; accurate to one percent."""
MAX_RANGES = 3
"""Most frame ranges named in a note; more are joined to one from the first to the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOcclusion:
    """An instance that the flat scene occludes in some frames.

    Attributes:
        instance: its id.
        ranges: first and last sample of each range in which it is occluded, from 0.
        max_share: the largest occluded share in a sample, 0 to 1.
    """

    instance: int
    ranges: tuple[tuple[int, int], ...]
    max_share: float


def scene_occlusions(shot: Shot) -> tuple[SceneOcclusion, ...]:
    """Moving instances that a ground or backdrop occludes, in order of their ids.

    Occlusion by picked instances and points out of the frame do not count. Empty for a scene whose
    depth came from a model or a depth map.
    """
    depths = _row_depths(shot)
    if depths is None:
        return ()
    lift, found = shot.lift, list[SceneOcclusion]()
    in_view = camera_from_rest(shot.motion, lift.camera)
    rest = unproject(lift.depth, lift.camera.intrinsics)
    for item in range(1, shot.motion.moved_from_rest.shape[1] + 1):
        points = rest[shot.instance == item]
        points = points[:: max(1, len(points) // MAX_SAMPLES)].double()
        if not len(points):
            continue
        shares = [
            _occluded_share(points, in_view[frame, item], matrix, lift, depths)
            for frame, matrix in enumerate(shot.motion.moved_from_rest[:, item - 1])
        ]
        if max(shares) >= MIN_SHARE:
            ranges = _ranges([share >= MIN_SHARE for share in shares])
            found.append(SceneOcclusion(instance=item, ranges=ranges, max_share=max(shares)))
    return tuple(found)


def occlusion_notes(shot: Shot, names: Sequence[str], times: Sequence[float]) -> tuple[str, ...]:
    """A sentence for each of :func:`scene_occlusions`, with a fix.

    Args:
        shot: the shot.
        names: of the instances, in order of their ids.
        times: the Blender frame of each sample.
    """
    where, fix = {
        "ground": (
            "below or behind the ground",
            "Set Scene to Backdrop, lower the horizon, or move it nearer.",
        ),
        "backdrop": (
            "behind the backdrop",
            "Move it nearer, or lift the photo again with a larger Far.",
        ),
    }.get(shot.lift.kind, ("", ""))
    return tuple(
        f"'{names[one.instance - 1]}' goes {where} {_ranges_text(one.ranges, times)}, where up to "
        f"{100 * one.max_share:.0f} % of it is hidden. {fix}"
        for one in scene_occlusions(shot)
    )


def _row_depths(shot: Shot) -> Tensor | None:
    """``(H,)`` float64 depth of the flat scene per row; None if it is not flat or all is picked."""
    lift = shot.lift
    if not lift.kind:
        return None
    picked = (shot.instance >= 1) & (shot.instance <= shot.motion.moved_from_rest.shape[1])
    for item in shot.static:
        picked = picked | (shot.instance == item)
    inverse = (1.0 / lift.depth.double()).masked_fill(picked, torch.inf)
    rows = inverse.amin(1).numpy()  # every unpicked pixel of a row has the same depth
    known = np.flatnonzero(np.isfinite(rows))
    if not known.size:
        return None
    # 1/z of a plane is linear in the row
    return 1.0 / torch.from_numpy(np.interp(np.arange(len(rows)), known, rows[known]))


def _occluded_share(
    points: Tensor, in_view: Tensor, in_world: Tensor, lift: Lift, depths: Tensor
) -> float:
    """Share of the points in the frame that lie behind the scene's depth.

    Visibility is tested in the moved camera, depth in the photo's: the scene is known there.
    """
    intrinsics = lift.camera.intrinsics.double()
    x, y, z = _project(move_points(points, in_view), intrinsics)
    seen = (z > 0) & (x >= 0) & (x < lift.camera.width) & (y >= 0) & (y < lift.camera.height)
    if not bool(seen.any()):
        return 0.0
    _, row, far = _project(move_points(points, in_world), intrinsics)
    behind = far > depths[row.clamp(0, len(depths) - 1).long()] * (1 + CONTACT_TOLERANCE)
    return float((behind & (far > 0) & seen).sum()) / float(seen.sum())


def _project(points: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    z = points[:, 2]
    safe = torch.where(z > 0, z, 1.0)
    x = intrinsics[0, 0] * points[:, 0] / safe + intrinsics[0, 2]
    y = intrinsics[1, 1] * points[:, 1] / safe + intrinsics[1, 2]
    return x, y, z


def _ranges(flags: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff([False, *flags, False]))
    return tuple((int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _ranges_text(ranges: Sequence[tuple[int, int]], times: Sequence[float]) -> str:
    if len(ranges) > MAX_RANGES:
        return f"between frames {times[ranges[0][0]]:.4g} and {times[ranges[-1][1]]:.4g}"
    spans = [
        f"{times[a]:.4g}" if a == b else f"{times[a]:.4g} to {times[b]:.4g}" for a, b in ranges
    ]
    single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    return f"{'on frame' if single else 'on frames'} {', '.join(spans)}"
