"""From moved points to LeviTor's signal, beside the way the paper's demo goes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans

from backend.contracts import MaskSequence, Shot
from backend.control.clusters import (
    FastClusters,
    cluster_counts,
    instance_areas,
    instance_pixels,
)
from backend.control.levitor import points_from_masks, stamp_points
from backend.control_sources import shot_masks
from backend.geometry.lift import cloud_from_lift
from backend.geometry.motion import camera_from_rest, magnification, move_cloud
from backend.geometry.splat import REST_RADIUS, render_masks
from tests.benchmarks.reference_splat import reference_splat
from tests.benchmarks.scene import HEIGHT, WIDTH, shot, with_segments

MOVING, NEAR, FAR = 4, 2.0, 20.0
Row = tuple[str, float, str, str]


def rows(seconds: Callable[[Callable[[], object]], float]) -> list[Row]:
    subject = with_segments(shot())
    cloud, camera = cloud_from_lift(subject.lift, subject.instance), subject.lift.camera
    matrices = camera_from_rest(subject.motion, camera)
    points = torch.stack([move_cloud(cloud, frame) for frame in matrices])
    radius = torch.stack(
        [
            REST_RADIUS * magnification(cloud.xyz[:, 2], p[:, 2], m, cloud.instance).clamp(min=1)
            for p, m in zip(points, matrices, strict=True)
        ]
    )

    def splat() -> MaskSequence:
        return render_masks(points, cloud.instance, camera, radius)

    masks = splat()
    found = points_from_masks(masks, MOVING, NEAR, FAR)

    def whole(exact: bool) -> torch.Tensor:
        own = points_from_masks(splat(), MOVING, NEAR, FAR, exact=exact)
        return stamp_points(own, HEIGHT, WIDTH)

    fast = seconds(lambda: whole(False))
    start = time.perf_counter()
    plain_way(points.numpy(), cloud.instance.numpy(), camera, radius.numpy())
    plain = time.perf_counter() - start
    return [
        ("control, 16 frames, 4 moving + 12 static: splat", seconds(splat), "s", "0.25 s"),
        (
            "control: cluster, exact",
            seconds(lambda: points_from_masks(masks, MOVING, NEAR, FAR)),
            "s",
            "0.9 s",
        ),
        (
            "control: cluster, fast",
            seconds(lambda: points_from_masks(masks, MOVING, NEAR, FAR, exact=False)),
            "s",
            "0.08 s",
        ),
        ("control: inertia of fast over best of ten", inertia_ratio(masks), "x", "1.02 x"),
        ("control: stamp", seconds(lambda: stamp_points(found, HEIGHT, WIDTH)), "s", "0.04 s"),
        ("control: whole way, exact", seconds(lambda: whole(True)), "s", ""),
        ("control: whole way, fast", fast, "s", "0.35 s"),
        ("control: whole way as the paper's demo goes", plain, "s", ""),
        ("control: ratio of the two (wanted: at least 50)", plain / fast, "x", ""),
    ]


def inertia_ratio(masks: MaskSequence, every: int = 1) -> float:
    """Inertia of the fast clusters over that of scikit-learn's best of ten.

    All ids, in one of ``every`` frames; the fast way goes through all of them.
    """
    ids = np.maximum(masks.instance.numpy(), 0)
    fast = FastClusters(1.0)
    counts = cluster_counts(instance_areas(ids), ids[0].size, MOVING, 50, 8)
    own = best = 0.0
    for number, frame in enumerate(ids):
        pixels = instance_pixels(frame)
        found = fast.next_frame(pixels, counts)
        for item, centres in found.items() if number % every == 0 else ():
            at = pixels.of(item).astype(np.float32)
            own += float(((at[:, None] - centres) ** 2).sum(-1).min(1).sum())
            model = KMeans(n_clusters=len(centres), n_init=10, random_state=0)
            best += float(model.fit(at).inertia_)
    return own / best


def signal(subject: Shot, exact: bool) -> torch.Tensor:
    """(F, 3, H, W) from a shot with its moved points."""
    masks = shot_masks(subject)
    points = points_from_masks(masks, MOVING, NEAR, FAR, exact=exact)
    return stamp_points(points, *subject.instance.shape)


def print_growth() -> None:
    """Time of the fast way, from moved points to the signal, by points and by frames."""
    print("points      frames   seconds   microseconds a point and frame")
    for height, width, frames in (
        (192, 344, 16),
        (288, 512, 16),
        (576, 1024, 16),
        (1080, 1920, 16),
        (288, 512, 32),
        (288, 512, 81),
    ):
        subject = with_segments(shot(height=height, width=width, frames=frames))
        start = time.perf_counter()
        signal(subject, exact=False)
        taken = time.perf_counter() - start
        each = taken / (height * width * frames) * 1e6
        print(f"{height * width:>9,}  {frames:>6}  {taken:>8.2f}   {each:.3f}")


def plain_way(points, instance, camera, radius):
    """Every object rendered alone, pixels gathered one by one, K-means from ten fresh starts."""
    maps = np.zeros((len(points), 3, HEIGHT, WIDTH), np.float32)
    y, x = np.mgrid[:21, :21] - 10
    stamp = 255 * np.exp(-(x**2 + y**2) / 32)
    for f, frame in enumerate(points):
        ids = np.zeros((HEIGHT, WIDTH), np.int32)
        for item in range(1, 17):
            own = instance == item
            alone = reference_splat(frame[own], instance[own], camera, float(radius[f, own].max()))
            for row in range(HEIGHT):
                for column in range(WIDTH):
                    if alone[row, column] > 0:
                        ids[row, column] = item
        for item in range(1, 17):
            pixels = []
            for row in range(HEIGHT):
                for column in range(WIDTH):
                    if ids[row, column] == item:
                        pixels.append((row, column))
            samples = np.array(pixels[::10], np.float32)
            count = min(max(round(50 * len(pixels) / (HEIGHT * WIDTH)), 3), 8)
            if len(samples) < count:
                continue
            centres = KMeans(n_clusters=count, n_init=10, random_state=0).fit(samples)
            for row, column in centres.cluster_centers_.astype(int):
                for dy in range(-10, 11):
                    for dx in range(-10, 11):
                        if 0 <= row + dy < HEIGHT and 0 <= column + dx < WIDTH:
                            maps[f, 0, row + dy, column + dx] = stamp[dy + 10, dx + 10]
                            maps[f, 1, row + dy, column + dx] = item
    return maps
