"""The same ids, depths and points on a CUDA device as on the processor, bit for bit."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import pytest
import torch
from torch import Tensor

from backend.contracts import MaskSequence
from backend.control.boxes import shot_boxes
from backend.control.levitor import cluster_points, points_from_masks, stamp_points
from backend.control.preview import control_frames
from backend.control.tracks import shot_tracks
from backend.geometry.splat import render_masks, render_motion
from tests.geometry.test_devices import CLOUD, IDS, LIFT, MASKS, POINTS, RADIUS, SHOT

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def on_gpu(value):
    """A tensor, or a contract with all its tensors, on the GPU."""
    if isinstance(value, Tensor):
        return value.cuda()
    if is_dataclass(value):
        return replace(value, **{f.name: on_gpu(getattr(value, f.name)) for f in fields(value)})
    return value


def same(gpu, cpu):
    assert gpu.device.type == "cuda"
    torch.testing.assert_close(gpu.cpu(), cpu, rtol=0, atol=0)


def noise(seed, count=4000):
    """Points everywhere, before and behind the camera, many equally near."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(3, count, 3, generator=generator) * torch.tensor([3.0, 2.0, 4.0])
    points[..., 2] = ((points[..., 2] + 6.0) * 2).round() / 2
    instance = torch.randint(0, 9, (count,), generator=generator, dtype=torch.int32)
    return points, instance, torch.rand(3, count, generator=generator) * 4


@pytest.mark.parametrize("seed", range(4))
def test_points_anywhere_show_the_same_ids(seed):
    points, instance, radius = noise(seed)
    cpu = render_masks(points, instance, LIFT.camera, radius)
    gpu = render_masks(points.cuda(), instance.cuda(), LIFT.camera, radius.cuda())
    same(gpu.instance, cpu.instance)
    same(gpu.depth, cpu.depth)


def test_ids_and_camera_may_be_left_on_the_processor():
    gpu = render_masks(POINTS.cuda(), CLOUD.instance, LIFT.camera, 0.75)
    same(gpu.instance, render_masks(POINTS, CLOUD.instance, LIFT.camera, 0.75).instance)


def test_a_moved_cloud_shows_the_same_ids_up_to_rounding():
    """Matrix products round differently on a GPU, so a pixel at an edge may."""
    frames = render_motion(on_gpu(CLOUD), on_gpu(LIFT.camera), on_gpu(SHOT.motion))
    for gpu, cpu in zip(frames, render_motion(CLOUD, LIFT.camera, SHOT.motion), strict=True):
        assert float((gpu[0].cpu() != cpu[0]).float().mean()) < 0.005


@pytest.mark.parametrize("exact", [True, False])
def test_masks_on_a_gpu_give_the_same_points(exact):
    gpu = points_from_masks(on_gpu(MASKS), 2, 2.0, 12.0, exact=exact)
    assert gpu == points_from_masks(MASKS, 2, 2.0, 12.0, exact=exact)


def test_the_whole_way_from_points_to_signal_is_the_same():
    def signal(masks: MaskSequence) -> Tensor:
        return stamp_points(points_from_masks(masks, 2, 2.0, 12.0), *IDS.shape)

    gpu = render_masks(POINTS.cuda(), CLOUD.instance.cuda(), LIFT.camera, RADIUS.cuda())
    assert bool((signal(gpu) == signal(MASKS)).all())


def test_maps_on_a_gpu_can_be_clustered():
    ids = MASKS.instance.clamp(min=0)[:, :, :56].contiguous()
    depth = torch.full(ids.shape, 0.5)
    assert cluster_points(ids.cuda(), depth.cuda(), 2) == cluster_points(ids, depth, 2)


def test_tracks_boxes_and_previews_work_there():
    shot, masks = on_gpu(replace(SHOT, options={})), on_gpu(MASKS)
    tracks = shot_tracks(shot, masks)
    assert tracks.xyz.device.type == "cuda"
    found = shot_boxes(shot, masks)
    assert bool(found.visible.all())
    torch.testing.assert_close(found.xyxy.cpu(), shot_boxes(SHOT, MASKS).xyxy)
    points = points_from_masks(masks, 2, 2.0, 12.0)
    frames = control_frames(masks, 2, 2.0, 12.0, shot.lift.image, points)
    assert frames[0].device.type == "cuda"
