"""What must hold for every scene: stillness, size, symmetry, translation."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.contracts import Camera, PointCloud
from backend.geometry.camera import unproject
from backend.geometry.splat import render_masks, render_motion
from tests.geometry.scenes import motion, translation, wall_camera
from tests.randomness import examples

CAMERA = wall_camera(40, 56, focal=50.0)


def scene(seed: int) -> tuple[PointCloud, torch.Tensor]:
    """A wall with two discs before it, at random places and depths; the cloud and its id map."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(40), torch.arange(56), indexing="ij")
    depth = torch.full((40, 56), 12.0)
    ids = torch.zeros(40, 56, dtype=torch.int32)
    for item in (1, 2):
        cy, cx, size, z = torch.rand(4, generator=generator).tolist()
        disc = (y - 8 - 24 * cy) ** 2 + (x - 8 - 40 * cx) ** 2 < (3 + 8 * size) ** 2
        ids[disc], depth[disc] = item, 4 + 6 * z
    xyz = unproject(depth, CAMERA.intrinsics).reshape(-1, 3)
    return PointCloud(xyz=xyz, instance=ids.reshape(-1)), ids


def rendered(cloud, moved, view=None):
    frames = list(render_motion(cloud, CAMERA, motion(CAMERA, moved, view)))
    return torch.stack([ids for ids, _ in frames])


@given(st.integers(0, 10_000))
@examples(20)
def test_a_still_shot_shows_the_same_ids_in_every_frame(seed):
    cloud, ids = scene(seed)
    shown = rendered(cloud, [[translation(), translation()]] * 3)
    assert bool((shown == ids).all())


@given(st.integers(0, 10_000), st.floats(0.05, 2.5))
@examples(25)
def test_coming_nearer_never_shrinks_what_nothing_hides(seed, step):
    cloud, ids = scene(seed)
    alone = replace(cloud, instance=torch.where(cloud.instance == 1, 1, 0).int())
    if not bool((ids == 1).any()):
        return
    # Along the ray of its own middle, so that it stays in the frame
    middle = alone.xyz[alone.instance == 1].mean(0)
    toward = (-middle / middle[2]).double() * step
    path = [[translation()], [translation(*toward.tolist())]]
    areas = (rendered(alone, path) == 1).flatten(1).sum(1)
    assert areas[1] >= areas[0]


@given(st.integers(0, 10_000))
@examples(20)
def test_swapping_two_ids_swaps_them_in_the_picture_and_nothing_else(seed):
    cloud, _ = scene(seed)
    swap = torch.tensor([0, 2, 1], dtype=torch.int32)
    other = replace(cloud, instance=swap[cloud.instance.long()])
    first, second = translation(x=0.7, z=-0.5), translation(y=-0.4)
    shown = rendered(cloud, [[first, second]])
    swapped = rendered(other, [[second, first]])
    # Where two points are equally near, the smaller id wins: there alone they may differ
    different = swap[shown.clamp(min=0).long()] != swapped.clamp(min=0)
    assert float(different.float().mean()) < 0.002


@given(st.integers(0, 10_000), st.integers(-6, 6), st.integers(-6, 6))
@examples(25)
def test_moving_the_principal_point_by_pixels_moves_the_picture_by_pixels(seed, dx, dy):
    cloud, _ = scene(seed)
    intrinsics = CAMERA.intrinsics.clone()
    intrinsics[0, 2] += dx
    intrinsics[1, 2] += dy
    moved = Camera(intrinsics=intrinsics, height=40, width=56)
    here, there = (
        render_masks(cloud.xyz[None], cloud.instance, view, 0.75).instance[0]
        for view in (CAMERA, moved)
    )
    y, x = torch.arange(8, 32), torch.arange(8, 48)
    assert bool((here[y[:, None], x] == there[y[:, None] + dy, x + dx]).all())


@given(st.integers(0, 10_000), st.floats(-1.5, 1.5))
@examples(20)
def test_a_camera_step_is_every_instance_stepping_the_other_way(seed, x):
    cloud, _ = scene(seed)
    still = [translation(), translation()]
    camera = rendered(cloud, [still], [translation(x=x)])
    everything = PointCloud(xyz=cloud.xyz + torch.tensor([x, 0, 0]), instance=cloud.instance)
    world = rendered(everything, [still])
    assert float((camera != world).float().mean()) < 0.01  # float rounding at pixel borders
