"""LeviTor's control signal: K-means points of every instance, drawn into heat, id and depth maps.

Equal to the training signal up to float32 rounding: for a pixel that is equally near to two
centres, K-means may decide differently on another processor, which changes all later frames of that
instance. Points are (row, col, id, depth), in pixels and 0..255.

Source: Wang et al., "LeviTor: 3D Trajectory Oriented Image-to-Video Synthesis" (arXiv 2412.15214),
section 3, and the behaviour of its reference implementation where the paper is silent.
"""

# scikit-learn and parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from backend.contracts import MaskSequence, OnStep
from backend.control.clusters import (
    STRIDE,
    Array,
    FastClusters,
    InstancePixels,
    cluster_counts,
    instance_areas,
    instance_pixels,
)
from backend.geometry.lift import disparity_from_depth
from backend.geometry.splat import as_tensor

Point = tuple[int, int, int, int]

MAX_ID = 255
ALPHA = 50
"""Points of an instance that fills the frame; not in the paper."""
K_MAX = 8
MIN_DEPTH = float(np.finfo(np.float64).tiny)
"""Below it, 1 / D overflows."""
TEMPLATE_SIDE = 200
TEMPLATE_SIGMA = 40.0


def _ignore_progress(done: int, total: int) -> None:
    """The default for ``on_step``."""


def cluster_points(
    instance_maps: Tensor | Array,
    depth_maps: Tensor | Array,
    moving: int,
    ratio: float = 1.0,
    alpha: float = ALPHA,
    k_max: int = K_MAX,
    exact: bool = True,
) -> list[list[Point]]:
    """Cluster every instance of every frame.

    Args:
        instance_maps: ``(F, H, W)`` int, 0 nothing; ids 1..``moving`` move.
        depth_maps: ``(F, H, W)`` float, the paper's depth D in (0, 1]; the point's depth is
            ``round(1 / D)``, with 1 meaning "far away" and becoming 0.
        moving: how many ids move.
        ratio: factor on the number of points.
        alpha: points of an instance that fills the frame.
        k_max: most points of an instance, before ``ratio``.
        exact: as in training. Otherwise a fast approximation for previews, whose points also keep
            their identity from frame to frame.

    Returns:
        A list of points per frame, by ascending id, then in the order of the clusters.

    Raises:
        ValueError: a shape, an id, a depth or the ratio is out of range, or an id in
            1..``moving`` is in no frame.
    """
    ids, depth = _as_array(instance_maps), _as_array(depth_maps).astype(np.float64)
    if ids.shape != depth.shape:
        raise ValueError(f"instance maps {ids.shape} and depth maps {depth.shape} differ")
    if ids.ndim == 3 and (ids.shape[1] % 8 or ids.shape[2] % 8):
        raise ValueError(f"height {ids.shape[1]} and width {ids.shape[2]} must be multiples of 8")
    if bad := int((~(depth >= MIN_DEPTH)).sum()):
        raise ValueError(f"{bad} of {depth.size} depths are not positive numbers")
    centres = _cluster_centres(ids, moving, ratio, alpha, k_max, exact)
    return [
        [(row, column, item, _depth_value(frame[row, column])) for row, column, item in found]
        for frame, found in zip(depth, centres, strict=True)
    ]


def points_from_masks(
    masks: MaskSequence,
    moving: int,
    near: float,
    far: float,
    ratio: float = 1.0,
    anchors: bool = True,
    exact: bool = True,
    on_step: OnStep = _ignore_progress,
    alpha: float = ALPHA,
    k_max: int = K_MAX,
) -> list[list[Point]]:
    """:func:`cluster_points` for rendered masks of any size.

    An engine whose network needs sides that are multiples of 8 fits the shot to them before.

    Args:
        masks: ids and z of every frame.
        moving: ids 1..``moving`` move.
        near: z of disparity 255.
        far: z of disparity 0.
        ratio: factor on the number of points.
        anchors: whether static ids give points too, which fix the scene and follow the camera.
        exact: as in :func:`cluster_points`.
        on_step: called after every frame; may raise ``Cancelled``.
        alpha: as in :func:`cluster_points`.
        k_max: likewise.

    Raises:
        ValueError: as in :func:`cluster_points`; or a depth is not positive where an
            id is, or it is not 0 < near < far.
    """
    instance, depth = as_tensor(masks.instance), as_tensor(masks.depth)
    if instance.shape != depth.shape:
        raise ValueError(
            f"instance maps {tuple(instance.shape)} and depth maps {tuple(depth.shape)} differ"
        )
    if not 0 < near < far:
        raise ValueError(f"near {near:g} and far {far:g} are not 0 < near < far")
    if bad := int((~(depth > 0) & (instance >= 0)).sum()):
        raise ValueError(f"{bad} of {depth.numel()} depths are not positive numbers")
    ids = instance.clamp(min=0)
    if not anchors:
        ids = torch.where(ids > moving, 0, ids)
    points: list[list[Point]] = []
    centres = _cluster_centres(ids.cpu().numpy(), moving, ratio, alpha, k_max, exact, on_step)
    for frame, found in zip(depth, centres, strict=True):
        at = torch.tensor(found, dtype=torch.int64, device=frame.device).reshape(-1, 3)
        z = frame[at[:, 0], at[:, 1]].double()
        disparity = (255 * disparity_from_depth(z, near, far)).round().long()
        # Disparities 0 and 1 are both "far away" to the network
        values: list[int] = torch.where(disparity <= 1, 0, disparity).tolist()
        points.append([(*place, value) for place, value in zip(found, values, strict=True)])
    return points


def _cluster_centres(
    ids: Array,
    moving: int,
    ratio: float,
    alpha: float,
    k_max: int,
    exact: bool,
    on_step: OnStep = _ignore_progress,
) -> list[list[tuple[int, int, int]]]:
    """(row, col, id) of every cluster of every frame."""
    _check(ids, moving, ratio, alpha, k_max)
    areas = instance_areas(ids)
    if missing := [i for i in range(1, moving + 1) if not areas[:, i : i + 1].any()]:
        raise ValueError(f"instance {missing[0]} is in none of the {len(ids)} frames")
    counts = cluster_counts(areas, ids[0].size, moving, alpha, k_max)
    clusters = ExactClusters(ratio) if exact else FastClusters(ratio)
    found: list[list[tuple[int, int, int]]] = []
    for done, frame in enumerate(ids, 1):
        centres = clusters.next_frame(instance_pixels(frame), counts)
        found.append(
            [
                (int(row), int(column), item)
                for item in sorted(centres)
                for row, column in centres[item].tolist()
            ]
        )
        on_step(done, len(ids))
    return found


@functools.cache
def _threads() -> ThreadpoolController:
    """Of the libraries that are loaded by now, scikit-learn's among them; to look takes a while."""
    return ThreadpoolController()


class ExactClusters:
    """The clustering used in training: scikit-learn's K-means, frame by frame.

    An instance is initialised from evenly spaced samples when it first appears, and in later frames
    from the centres found there, as long as every centre shares a coordinate with a sample.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        from sklearn.cluster import KMeans  # takes as long as torch; maps of ready points need none

        self._kmeans = KMeans
        self._starts: dict[int, Array] = {}
        self._threads = _threads()

    def next_frame(self, pixels: InstancePixels, counts: dict[int, int]) -> dict[int, Array]:
        """Centres ``(k, 2)`` (row, col) of every id that has enough pixels."""
        # scikit-learn sums its threads' results in the order in which they finish, so with three or
        # more threads the centres differ from run to run. One thread is no slower here.
        with self._threads.limit(limits=1, user_api="openmp"):
            return self._next_frame(pixels, counts)

    def _next_frame(self, pixels: InstancePixels, counts: dict[int, int]) -> dict[int, Array]:
        centres: dict[int, Array] = {}
        for item, count in counts.items():
            samples = pixels.of(item)[::STRIDE].astype(np.float32)
            if len(samples) < count:
                continue
            count = max(1, int(min(count * self._ratio, len(samples))))
            step = len(samples) // count
            spaced = samples[step // 2 :: step][:count]
            start = self._starts.get(item)
            if start is None:
                start = self._starts[item] = self._fitted(samples, spaced)
            elif len(start) != count or not all((samples == c).any() for c in start):
                start = self._starts[item] = spaced
            centres[item] = self._fitted(samples, start)
        return centres

    def _fitted(self, samples: Array, start: Array) -> Array:
        # scikit-learn's annotations allow neither an array for init nor an int for n_init
        model = self._kmeans(n_clusters=len(start), init=start, n_init=1)  # pyright: ignore[reportArgumentType]
        return np.asarray(model.fit(samples).cluster_centers_)


def stamp_points(
    points: Sequence[Sequence[Sequence[int]]], height: int, width: int, radius: int = 10
) -> Tensor:
    """Draw the points of every frame into heat, id and depth maps.

    A point is a Gaussian of ``2 * radius`` pixels, resized (not clipped) at the borders. It
    overwrites its square, corners included. Points outside the frame are not drawn.

    Args:
        points: a list of (row, col, id, depth) per frame, in drawing order.
        height: of the frame.
        width: of the frame.
        radius: half the side of the square, pixels.

    Returns:
        ``(F, 3, H, W)`` float32, raw values 0..255: heat, id, depth. A frame without points is
        zero.

    Raises:
        ValueError: there is no frame, a point is not four numbers, or a size is below 1.
    """
    if not len(points):
        raise ValueError("there are no frames to draw points in; a frame may be an empty list")
    if height < 1 or width < 1 or radius < 1:
        raise ValueError(f"height {height}, width {width} and radius {radius} must be at least 1")
    checked = [[_as_integers(f, point) for point in frame] for f, frame in enumerate(points)]
    template, patches = gaussian_template(), dict[tuple[int, int], Array]()
    maps = np.zeros((len(points), 3, height, width), np.uint8)
    clamped = 0
    for (heat, ids, depths), frame in zip(maps, checked, strict=True):
        for row, column, item, depth in frame:
            if not (0 <= row < height and 0 <= column < width):
                continue
            top, bottom = max(row - radius, 1), min(row + radius, height - 1)
            left, right = max(column - radius, 1), min(column + radius, width - 1)
            if right - left < 1 or bottom - top < 1:
                continue
            clamped += not (0 <= item <= MAX_ID and 0 <= depth <= 255)
            size = right - left, bottom - top
            if size not in patches:
                patches[size] = cv2.resize(template, size)
            patch = patches[size]
            inside = patch != 0
            heat[top:bottom, left:right] = patch
            ids[top:bottom, left:right] = inside * np.uint8(min(max(item, 0), MAX_ID))
            depths[top:bottom, left:right] = inside * np.uint8(min(max(depth, 0), 255))
    if clamped:
        warnings.warn(
            f"{clamped} points have an id or a depth outside 0..255; they were clamped.",
            stacklevel=2,
        )
    return torch.from_numpy(maps.astype(np.float32))


def _as_integers(frame: int, point: Sequence[int]) -> Point:
    """The point as Python integers: narrow types overflow at the borders of the frame."""
    try:
        row, column, item, depth = (int(value) for value in point)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"frame {frame}: {point} is not (row, col, id, depth)") from error
    return row, column, item, depth


def gaussian_template() -> Array:
    """uint8 (200, 200): a Gaussian of sigma 40 in a disc of radius 100, its peak 255."""
    offset = np.arange(TEMPLATE_SIDE) - TEMPLATE_SIDE // 2
    square = offset[:, None] ** 2 + offset[None, :] ** 2
    disc = np.zeros((TEMPLATE_SIDE, TEMPLATE_SIDE))
    middle = TEMPLATE_SIDE // 2
    cv2.circle(disc, (middle, middle), middle, 1.0, -1)
    gaussian = np.exp(-square / (2 * TEMPLATE_SIGMA**2)) * disc
    return (gaussian / gaussian.max() * 255).astype(np.uint8)


def _depth_value(depth: float) -> int:
    value = round(1.0 / float(depth))
    return 0 if value == 1 else value


def _as_array(maps: Tensor | Array) -> Array:
    """A numpy array of a tensor on any device."""
    if not isinstance(maps, Tensor):
        return np.asarray(maps)
    maps = maps.detach().cpu()
    return (maps.double() if maps.is_floating_point() else maps).numpy()  # numpy has no bfloat16


def _check(ids: Array, moving: int, ratio: float, alpha: float, k_max: int) -> None:
    if ids.ndim != 3 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"instance maps must be (F, H, W) integers, got {ids.shape} {ids.dtype}")
    frames = len(ids)
    if frames < 2:
        raise ValueError(f"the control needs at least 2 frames, got {frames}")
    if not ids.size:
        raise ValueError(f"instance maps of {ids.shape[1]} x {ids.shape[2]} hold no pixel")
    if ids.min() < 0 or ids.max() > MAX_ID:
        raise ValueError(f"instance ids must be 0..{MAX_ID}, got {ids.min()}..{ids.max()}")
    if not 0 <= moving <= MAX_ID:
        raise ValueError(f"{moving} moving instances; the limit is {MAX_ID}")
    if not 0 < ratio < math.inf:
        raise ValueError(f"the point ratio must be above 0 and finite, got {ratio}")
    if not (0 < alpha < math.inf and k_max >= 1):
        raise ValueError(f"alpha {alpha} must be above 0 and k_max {k_max} at least 1")
