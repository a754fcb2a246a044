"""What of the instances goes where the scene hides it: below a ground, or behind a backdrop.

A flat scene is a guess, unlike the depth that a photo shows: an artist who moves a flower down
does not know that she moves it into a floor. So a take says where it happened.
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

CONTACT = 0.02
"""Of its depth, how far something may be behind a surface and still be seen before it: what stands
on the ground touches it."""
LEAST = 0.05
"""Share of what is in the picture of an instance from which on it is worth a word: a foot may dip
into the ground as a thing turns."""
SAMPLES = 4096
"""Points of an instance that are looked at, evenly spread; their share is right to a percent."""
MOST_RUNS = 3
"""Frame ranges that a sentence names; more of them are one from the first to the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """An instance that goes where the scene hides it.

    Attributes:
        instance: its id.
        runs: first and last sample of each stretch in which it is hidden, from 0.
        most: the largest share of it that is hidden in a sample, 0 to 1.
    """

    instance: int
    runs: tuple[tuple[int, int], ...]
    most: float


def hidden_by_scene(shot: Shot) -> tuple[Hidden, ...]:
    """What of the moving instances is hidden by a ground or a backdrop, in order of their ids.

    Neither what hides behind a picked thing nor what leaves the picture counts, nor anything in a
    scene whose depth a model or a map gave.
    """
    depths = _row_depths(shot)
    if depths is None:
        return ()
    lift, found = shot.lift, list[Hidden]()
    in_view = camera_from_rest(shot.motion, lift.camera)
    rest = unproject(lift.depth, lift.camera.intrinsics)
    for item in range(1, shot.motion.moved_from_rest.shape[1] + 1):
        points = rest[shot.instance == item]
        points = points[:: max(1, len(points) // SAMPLES)].double()
        if not len(points):
            continue
        shares = [
            _share(points, in_view[frame, item], matrix, lift, depths)
            for frame, matrix in enumerate(shot.motion.moved_from_rest[:, item - 1])
        ]
        if max(shares) >= LEAST:
            runs = _runs([share >= LEAST for share in shares])
            found.append(Hidden(instance=item, runs=runs, most=max(shares)))
    return tuple(found)


def notes(shot: Shot, names: Sequence[str], times: Sequence[float]) -> tuple[str, ...]:
    """Sentences on :func:`hidden_by_scene`, with what to do.

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
        f"'{names[one.instance - 1]}' goes {where} {_when(one.runs, times)}, where up to "
        f"{100 * one.most:.0f} % of it is hidden. {fix}"
        for one in hidden_by_scene(shot)
    )


def _row_depths(shot: Shot) -> Tensor | None:
    """``(H,)`` float64 of the flat scene; None where it is not flat, or nothing of it is left."""
    lift = shot.lift
    if not lift.kind:
        return None
    picked = (shot.instance >= 1) & (shot.instance <= shot.motion.moved_from_rest.shape[1])
    for item in shot.static:
        picked = picked | (shot.instance == item)
    inverse = (1.0 / lift.depth.double()).masked_fill(picked, torch.inf)
    rows = inverse.amin(1).numpy()  # all that was not picked has one depth a row
    known = np.flatnonzero(np.isfinite(rows))
    if not known.size:
        return None
    # 1/z of a plane is linear in the row
    return 1.0 / torch.from_numpy(np.interp(np.arange(len(rows)), known, rows[known]))


def _share(points: Tensor, in_view: Tensor, in_world: Tensor, lift: Lift, depths: Tensor) -> float:
    """Share of the points in the picture that lie behind the scene, as the photo's camera sees it.

    Judged in the world, since what is below a ground is so from wherever the camera looks.
    """
    intrinsics = lift.camera.intrinsics.double()
    x, y, z = _pixels(move_points(points, in_view), intrinsics)
    seen = (z > 0) & (x >= 0) & (x < lift.camera.width) & (y >= 0) & (y < lift.camera.height)
    if not bool(seen.any()):
        return 0.0
    _, row, far = _pixels(move_points(points, in_world), intrinsics)
    behind = far > depths[row.clamp(0, len(depths) - 1).long()] * (1 + CONTACT)
    return float((behind & (far > 0) & seen).sum()) / float(seen.sum())


def _pixels(points: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    z = points[:, 2]
    safe = torch.where(z > 0, z, 1.0)
    x = intrinsics[0, 0] * points[:, 0] / safe + intrinsics[0, 2]
    y = intrinsics[1, 1] * points[:, 1] / safe + intrinsics[1, 2]
    return x, y, z


def _runs(flags: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff([False, *flags, False]))
    return tuple((int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _when(runs: Sequence[tuple[int, int]], times: Sequence[float]) -> str:
    if len(runs) > MOST_RUNS:
        return f"between frames {times[runs[0][0]]:.4g} and {times[runs[-1][1]]:.4g}"
    spans = [f"{times[a]:.4g}" if a == b else f"{times[a]:.4g} to {times[b]:.4g}" for a, b in runs]
    single = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"{'on frame' if single else 'on frames'} {', '.join(spans)}"
