"""A shot at the samples and in the pixels in which a take is compared: drawing it takes less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from backend.contracts import Camera, Shot
from backend.geometry.fit import Fit


def at_samples(shot: Shot, samples: Sequence[int]) -> Shot:
    """The shot with only those samples of its motion; the first has to be 0, its rest."""
    motion, kept = shot.motion, list(samples)
    return replace(
        shot,
        motion=replace(
            motion,
            moved_from_rest=motion.moved_from_rest[kept],
            camera_from_world=motion.camera_from_world[kept],
            intrinsics=motion.intrinsics[kept],
        ),
    )


def at_frame_size(shot: Shot, fit: Fit) -> tuple[Shot, Fit]:
    """The shot with a photo in the frame's pixels, where that makes it smaller, and its fit.

    The photo keeps what the frame does not show, whose things may come into sight: so many whole
    pixels of the frame's size that they cover it. Colours are means, depth and ids the nearest.
    """
    (down, across), (top, left, height, width) = fit.scale, fit.source
    if down >= 1 or across >= 1:
        return shot, fit
    photo, (_, _, rows, columns) = fit.photo, fit.target
    above, below = math.ceil(top * down), math.ceil((photo[0] - top - height) * down)
    before, after = math.ceil(left * across), math.ceil((photo[1] - left - width) * across)
    y = top + torch.arange(-above, rows + below + 1, dtype=torch.float64) / down
    x = left + torch.arange(-before, columns + after + 1, dtype=torch.float64) / across
    lift, to = shot.lift, shot.lift.image
    image = _shares(y, photo[0]).to(to) @ to @ _shares(x, photo[1]).to(to).T
    size = len(y) - 1, len(x) - 1
    small = Fit(
        photo=size, frame=fit.frame, source=(above, before, rows, columns), target=fit.target
    )
    moved = torch.eye(3, dtype=torch.float64)
    moved[0, 2], moved[1, 2] = before - fit.target[1], above - fit.target[0]
    row, column = _nearest(y, photo[0]), _nearest(x, photo[1])

    def intrinsics(own: Tensor) -> Tensor:
        return (moved @ fit.intrinsics(own.double())).to(own)

    camera = Camera(intrinsics=intrinsics(lift.camera.intrinsics), height=size[0], width=size[1])
    motion = replace(shot.motion, intrinsics=intrinsics(shot.motion.intrinsics))
    return replace(
        shot,
        lift=replace(lift, image=image, depth=lift.depth[row[:, None], column], camera=camera),
        instance=shot.instance[row[:, None], column],
        motion=motion,
    ), small


def _shares(edges: Tensor, length: int) -> Tensor:
    """``(n, length)``, what each pixel between two of the ``n + 1`` edges takes of the old ones.

    One that lies outside takes the border's.
    """
    start, end = edges[:-1, None], edges[1:, None]
    pixel = torch.arange(length, dtype=torch.float64)
    low, high = pixel.clone(), pixel + 1
    low[0], high[-1] = -torch.inf, torch.inf
    shared = (torch.minimum(end, high) - torch.maximum(start, low)).clamp(min=0)
    return shared / (end - start)


def _nearest(edges: Tensor, length: int) -> Tensor:
    """``(n,)`` old pixels in the middle of each."""
    return ((edges[:-1] + edges[1:]) / 2).floor().long().clamp(0, length - 1)
