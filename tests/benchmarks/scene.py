"""The benchmark's shot: 512 x 288, 16 frames, two instances that move before relief."""

from __future__ import annotations

from dataclasses import replace

import torch

from backend.contracts import Camera, Lift, Shot
from backend.geometry.camera import intrinsics_from_fov
from tests.geometry.scenes import motion, shot_of, translation, turn_y

HEIGHT, WIDTH, FRAMES = 288, 512, 16


def with_segments(subject: Shot) -> Shot:
    """The same shot with 4 moving instances instead of 2 and 12 static segments behind them."""
    height, width = subject.instance.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    scale = height / HEIGHT
    grid = 5 + (3 * y // height) * 4 + 4 * x // width
    # Each disc is cut in two, left and right of its middle
    halves = torch.where(subject.instance == 1, 1 + (x > 150 * scale), 3 + (x > 360 * scale))
    instance = torch.where(subject.instance > 0, halves, grid).int()
    moved = subject.motion.moved_from_rest.repeat_interleave(2, 1)
    return replace(
        subject, instance=instance, motion=replace(subject.motion, moved_from_rest=moved)
    )


def shot(
    camera_moves: bool = False, height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES
) -> Shot:
    """Two discs of about 20,000 pixels each, one turning and coming nearer, one crossing it."""
    generator = torch.Generator().manual_seed(0)
    camera = Camera(intrinsics=intrinsics_from_fov(50.0, height, width), height=height, width=width)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    scale = height / HEIGHT
    depth = torch.full((height, width), 12.0) - 4.0 * y / height
    instance = torch.zeros(height, width, dtype=torch.int32)
    for item, (column, z) in enumerate(((150, 5.0), (360, 6.0)), 1):
        disc = (x - column * scale) ** 2 + (y - 140 * scale) ** 2 < (80 * scale) ** 2
        instance[disc] = item
        depth[disc] = z
    lift = Lift(
        image=torch.rand(3, height, width, generator=generator),
        depth=depth,
        camera=camera,
        near=2.0,
        far=20.0,
    )
    steps = [i / (frames - 1) for i in range(frames)]
    moved = [
        [
            turn_y(0.8 * t, (-1.0, 0.0, 5.0)) @ translation(x=0.5 * t, z=-2.0 * t),
            translation(x=-2.5 * t, y=0.2 * t),
        ]
        for t in steps
    ]
    view = [translation(x=-0.6 * t, z=-0.8 * t) for t in steps] if camera_moves else None
    return shot_of(lift, instance, motion(camera, moved, view))
