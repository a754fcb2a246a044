"""LeviTor's clustering as its paper's demo goes about it: plain, slow, from the rule alone."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans


def reference_points(ids, depth, moving, ratio=1.0, alpha=50, k_max=8):
    """The reference implementation's rule with loops; see ``cluster_points`` for the arguments."""
    frames, height, width = ids.shape
    top = int(ids.max())
    areas = {i: [int((ids[f] == i).sum()) for f in range(frames)] for i in range(1, top + 1)}
    starts, points = {}, []
    for f in range(frames):
        found = []
        for i in range(1, int(ids[f].max()) + 1):
            largest, smallest = max(areas[i]), min(areas[i])
            if largest == 0:
                continue
            k = max(round(alpha * largest / (height * width)), 1)
            k = min(k, k_max)
            if i <= moving or smallest == 0 or largest / smallest > 10:
                k = max(k, 3)
            pixels = [
                (row, column)
                for row in range(height)
                for column in range(width)
                if ids[f, row, column] == i
            ]
            samples = np.array(pixels, np.float32).reshape(-1, 2)[::10]
            if len(samples) < k:
                continue
            k = min(max(1, int(k * ratio)), len(samples))
            step = len(samples) // k
            spaced = np.array([samples[step // 2 + n * step] for n in range(k)])
            if i not in starts:
                starts[i] = (
                    KMeans(n_clusters=k, init=spaced, n_init=1).fit(samples).cluster_centers_
                )
            else:
                # numpy's own "in" is the rule: any coordinate that occurs anywhere in its place
                if len(starts[i]) != k or not all(c in samples for c in starts[i]):
                    starts[i] = spaced
            for row, column in (
                KMeans(n_clusters=k, init=starts[i], n_init=1).fit(samples).cluster_centers_
            ):
                value = round(1 / depth[f, int(row), int(column)])
                found.append((int(row), int(column), i, 0 if value == 1 else value))
        points.append(found)
    return points
