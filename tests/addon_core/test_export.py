"""Exports of a shot, beside what engines see and follow of it."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image

from backend import convert
from backend.cli import export as command
from backend.control.boxes import shot_boxes
from backend.control.tracks import shot_tracks
from backend.control_sources import shot_masks
from blender_addon.core import photo_cloud
from blender_addon.core.coords import lens_of
from blender_addon.core.shot import PhotoCamera, Picked, RenderSettings, build
from protocol import ShotError, content, export, image_files, rules, splat, tracks

HEIGHT, WIDTH, FRAMES = 90, 120, 5
K = np.array([[110.0, 0, 60], [0, 110, 45], [0, 0, 1]])
CAMERA = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
DISC = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - np.array([40, 40])[:, None, None])) < 16
SLOPE = np.zeros((HEIGHT, WIDTH), bool)
SLOPE[60:85, 10:60] = True
POST = np.zeros((HEIGHT, WIDTH), bool)
POST[20:70, 70:80] = True


def turned(angle: float, scale: float = 1.0) -> np.ndarray:
    """(3, 3) rotation about Blender's z, then a scale."""
    c, s = np.cos(angle), np.sin(angle)
    return scale * np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def shot_of(picks, camera=(0.0, 0.0, 0.0), zoom=1.0):
    """A shot of a slanted wall with a disc and a post before it; ``picks`` name and move them."""
    depth = np.tile(np.linspace(4, 9, WIDTH, dtype=np.float32), (HEIGHT, 1))
    depth[DISC], depth[POST] = 3.0, 2.5
    segments = np.zeros((HEIGHT, WIDTH), np.int32)
    segments[:, 90:] = 1
    image = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    whole = photo_cloud.cloud_of(image, depth, segments, K)
    items, taken = [], np.zeros(HEIGHT * WIDTH, bool)
    for name, mask, moving, move, angle, *form in picks:
        rest = np.eye(4)
        rest[:3, 3] = whole.position[mask.ravel()].mean(0)
        matrices = np.tile(rest, (FRAMES, 1, 1))
        for n, t in enumerate(np.linspace(0, 1, FRAMES)):
            matrices[n, :3, :3] = turned(t * angle, 1 + 0.2 * t)
            matrices[n, :3, 3] += t * np.array(move)
        if not moving:
            matrices[:] = rest
        cloud = whole.take(mask.ravel())
        flatten, thickness = form or (0.0, 0.0)
        items.append(
            Picked(
                name=name,
                moving=moving,
                rest=rest,
                cloud=cloud,
                matrices=matrices,
                flatten=flatten,
                thickness=thickness,
            )
        )
        taken |= mask.ravel()
    cameras = np.tile(CAMERA, (FRAMES, 1, 1))
    cameras[:, :3, 3] = np.linspace(0, 1, FRAMES)[:, None] * np.array(camera)
    lenses = [
        lens_of(K * [[z, 1, 1], [1, z, 1], [1, 1, 1]], WIDTH, HEIGHT)
        for z in np.linspace(1, zoom, FRAMES)
    ]
    photo = PhotoCamera(height=HEIGHT, width=WIDTH, intrinsics=K, near=2.0, far=10.0)
    settings = RenderSettings(frame_start=1, frame_end=9, fps=24.0, engine="draft")
    shot, blobs = build(photo, whole.take(~taken), items, cameras, lenses, settings)
    assert rules.problems(shot) == []
    return shot, blobs


SHOTS = {
    "a disc turns and goes behind a post that stays": shot_of(
        [("Disc", DISC, True, (0.9, 0.3, 0.1), 0.7), ("Post", POST, False, (0, 0, 0), 0)]
    ),
    "a camera flies past two that move, and zooms": shot_of(
        [("Disc", DISC, True, (0.3, -0.8, 0.1), 0.2), ("Post", POST, True, (-1, 0.5, 0), 0.3)],
        camera=(0.4, 1.1, 0.1),
        zoom=1.3,
    ),
    "a disc keeps its size": shot_of([("Disc", DISC, True, (0, 0, 0), 0)], camera=(0.1, 0, 0)),
    "one is flat, one is thick, one is both, and all show their sides": shot_of(
        [
            ("Disc", DISC, True, (0.2, 0.1, 0.1), 1.1, 0.0, 0.4),
            ("Slope", SLOPE, True, (0, 0, 0), 0.5, 0.7, 0.0),
            ("Post", POST, False, (0, 0, 0), 0, 0.3, 0.6),
        ],
        camera=(0.5, 0.2, 0),
    ),
    "the camera flies past a part of the wall": shot_of(
        [("Slope", SLOPE, True, (0, 0, 0), 0)], camera=(0, 5.0, 0)
    ),
    "something leaves the frame": shot_of([("Disc", DISC, True, (-4.0, 0, 0), 0)]),
}


def files(shot, blobs, kind, **counts) -> dict[str, bytes]:
    return dict(export.files(shot, blobs, kind, lambda *step: None, **counts))


def content_of(name: str, data: bytes):
    """A file as an array, or as what its JSON holds."""
    match Path(name).suffix:
        case ".npy":
            return np.load(io.BytesIO(data))
        case ".npz":
            return np.load(io.BytesIO(data))["array"]
        case ".png":
            return np.array(Image.open(io.BytesIO(data)))
        case ".txt":
            return data.decode()
        case _:
            return json.loads(data)


FORMS = [
    *((kind, {}) for kind in export.FORMATS),
    ("wan-move", {"size": "480x832", "frames": 121, "fit": "pad"}),
    ("ati", {"size": "photo", "frames": 0}),
    ("ati", {"frames": 81, "fit": "pad"}),
]


@pytest.mark.parametrize(("kind", "given"), FORMS)
@pytest.mark.parametrize("name", SHOTS)
def test_the_command_writes_every_file(name, kind, given, tmp_path):
    shot, blobs = SHOTS[name]
    path, out = tmp_path / "a.shot", tmp_path / "theirs"
    path.write_bytes(content.pack_shot(shot, blobs))
    told = {"size": "auto", "frames": -1, "fit": "crop"} | given
    command.run(Namespace(shot=path, format=kind, out=out, points=6, anchors=9, **told))
    frame = None
    if kind in tracks.TOOLS:
        frame = tracks.frame_of(kind, WIDTH, HEIGHT, **told)
    ours = files(shot, blobs, kind, per_instance=6, anchors=9, frame=frame)
    assert {item.name: item.read_bytes() for item in out.iterdir()} == ours


@pytest.mark.parametrize("name", SHOTS)
def test_masks_are_those_of_the_engines_to_the_bit(name):
    shot, blobs = SHOTS[name]
    masks = shot_masks(convert.shot_from_message(shot, blobs.__getitem__))
    seen = list(splat.seen(splat.points_of(shot, blobs)))
    np.testing.assert_array_equal([ids for ids, _ in seen], masks.instance.numpy())
    np.testing.assert_array_equal([depth for _, depth in seen], masks.depth.numpy())
    made = files(shot, blobs, "masks")
    for number, (ids, _) in enumerate(seen):
        written = content_of("ids.png", made[f"ids_{number:04d}.png"])
        np.testing.assert_array_equal(written, ids.clip(min=0))


@pytest.mark.parametrize("fit", tracks.FITS)
@pytest.mark.parametrize("name", SHOTS)
def test_tracks_are_those_of_the_engines(name, fit):
    shot, blobs = SHOTS[name]
    theirs = convert.shot_from_message(shot, blobs.__getitem__)
    within = tracks.frame_of("wan-move", WIDTH, HEIGHT, fit=fit).within()
    followed = shot_tracks(theirs, shot_masks(theirs), 6, 9, torch.from_numpy(within))
    points = splat.points_of(shot, blobs)
    found = export.tracks_of(points, splat.seen(points), 6, 9, within)
    np.testing.assert_array_equal(found.instance, followed.instance.numpy())
    np.testing.assert_array_equal(found.visible, followed.visible.numpy())
    # Two libraries multiply the same matrices; how they round is theirs
    np.testing.assert_allclose(found.xy, followed.xy.numpy(), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.depth, followed.depth.numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", SHOTS)
def test_boxes_are_those_of_the_engines(name):
    shot, blobs = SHOTS[name]
    theirs = convert.shot_from_message(shot, blobs.__getitem__)
    wanted = shot_boxes(theirs, shot_masks(theirs))
    points = splat.points_of(shot, blobs)
    boxes, visible = export.boxes_of(points, splat.seen(points))
    np.testing.assert_allclose(boxes, wanted.xyxy.numpy(), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(visible, wanted.visible.numpy())


def test_the_nearest_point_within_its_radius_is_seen_and_ties_go_to_the_smaller_id():
    rng = np.random.default_rng(11)
    points = rng.uniform((-1, -1, -1), (1, 1, 4), (300, 3)).astype(np.float32)
    points[:, 2] = np.round(points[:, 2])  # many ties, some behind the camera
    ids = rng.integers(0, 9, 300).astype(np.int32)
    radius = rng.uniform(0.3, 3.0, 300).astype(np.float32)
    k = np.array([[20.0, 0, 16], [0, 20, 12], [0, 0, 1]])
    found, depth = splat.splat(points, ids, k, 24, 32, radius)
    pixel = splat.project(points, k)
    for row in range(24):
        for column in range(32):
            centre = np.array([column + 0.5, row + 0.5], np.float32)
            d2 = ((centre - pixel) ** 2).astype(np.float32)
            hit = np.flatnonzero((d2[:, 0] + d2[:, 1] < radius * radius) & (points[:, 2] > 0))
            best = min(((points[n, 2], ids[n]) for n in hit), default=(np.inf, -1))
            assert (depth[row, column], found[row, column]) == best


def test_a_track_that_goes_behind_the_post_is_hidden_there_and_seen_before():
    shot, blobs = SHOTS["a disc turns and goes behind a post that stays"]
    made = files(shot, blobs, "wan-move")
    owner = np.array(json.loads(made["about.json"])["instance_of_track"])
    visible = content_of("visibility.npy", made["visibility.npy"])[0]
    assert visible.shape == (81, 8 + 8 + 16)
    assert visible[0].all()
    assert not visible[-1, owner == 1].all()
    assert sorted(set(owner.tolist())) == [0, 1, 2]


def test_boxes_of_a_shot_in_which_nothing_was_picked_are_refused():
    shot, blobs = shot_of([], camera=(0.4, 0, 0))
    with pytest.raises(ShotError, match="0 picked instances"):
        files(shot, blobs, "boxes")


def test_progress_counts_the_frames():
    shot, blobs = SHOTS["a disc keeps its size"]
    steps = []
    for _ in export.files(shot, blobs, "boxes", lambda *step: steps.append(step)):
        pass
    assert steps == [(n, FRAMES) for n in range(1, FRAMES + 1)]


@pytest.mark.parametrize("size", [(1, 1), (16, 3), (33, 50)])
def test_a_depth_picture_is_read_by_openexr_to_the_bit(size, tmp_path):
    depth = np.random.default_rng(1).uniform(1, 20, size).astype(np.float32)
    depth[0, 0] = np.inf
    path = tmp_path / "depth.exr"
    path.write_bytes(image_files.exr(depth))
    file = OpenEXR.File(str(path))
    np.testing.assert_array_equal(file.channels()["Z"].pixels, depth)
    assert file.header()["compression"] == OpenEXR.ZIP_COMPRESSION


def test_an_id_picture_is_read_by_pillow_to_the_bit():
    ids = np.arange(256 * 3, dtype=np.uint32).reshape(3, 256).astype(np.uint8)
    assert (np.array(Image.open(io.BytesIO(image_files.png(ids)))) == ids).all()
