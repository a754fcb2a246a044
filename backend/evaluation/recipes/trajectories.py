"""Image Conductor's clips: a picture and drawn trajectories, of things or of the camera.

Folders as in its repository: ``images/KIND/NAME.jpg`` and ``trajs/KIND/NAME.json``, KIND ``camera``
or ``object``. A JSON file is a list of trajectories, each a list of (x, y) in 384 x 256 pixels that
a monotone cubic goes through. There is no real video, so FID and FVD compare with other videos.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from backend.contracts import Camera, Control, Lift, Motion, Shot
from backend.control_sources import ShotControl
from backend.evaluation.published import CAMERA
from backend.evaluation.recipes.controls import ClipDepth
from backend.geometry.camera import DEFAULT_FOV, intrinsics_from_fov
from protocol.errors import ShotError

Array = npt.NDArray[Any]
FRAMES, HEIGHT, WIDTH, FPS = 16, 256, 384, 8.0
RADIUS = 24
"""Of the disc around a trajectory's start that stands for the thing, pixels. Ours: the paper drags
points, and engines here are told by masks."""
FORMAT = "Image Conductor's trajectories"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryClip:
    """A picture and where its points should go; attributes as of ``controls.Clip``.

    Attributes:
        kind: ``camera`` or ``object``.
    """

    name: str
    frames: Array
    tracks: Array
    visible: Array
    instances: Array
    kind: str
    ids: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryManifest:
    """What the clips are; attributes as of a prepared set's."""

    kind: str
    frames: int
    height: int
    width: int
    dataset: str = FORMAT
    fps: float = FPS
    points: str = ""


class TrajectoryClips:
    """The clips of one kind.

    Args:
        root: the folder with ``images`` and ``trajs``.
        kind: ``camera`` or ``object``.
        frames: of a clip.
        height: of a clip, pixels; trajectories are scaled with the picture.
        width: likewise.

    Raises:
        ShotError: a folder is missing, or nothing is in it.
    """

    def __init__(
        self, root: Path, kind: str, frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH
    ) -> None:
        self._root, self._kind = root, kind
        folder = root / "trajs" / kind
        names = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
        if not names:
            raise ShotError(
                "evaluation_sets",
                f"{folder} has no trajectories.",
                "Name the folder of Image Conductor's repository that holds trajs and images.",
            )
        self.names = tuple(names)
        self.manifest = TrajectoryManifest(kind=kind, frames=frames, height=height, width=width)

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether the two folders are there."""
        return (root / "trajs").is_dir() and (root / "images").is_dir()

    def fingerprint(self, name: str) -> str:
        """A hash of a clip's two files; those that cannot be read have one, too."""
        files = (path.read_bytes() if path.is_file() else b"" for path in self._files(name))
        return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in files)).hexdigest()

    def _files(self, name: str) -> tuple[Path, Path]:
        """Its trajectories and its picture."""
        pictures = self._root / "images" / self._kind
        picture = next((one for one in sorted(pictures.glob(f"{name}.*"))), pictures / name)
        return self._root / "trajs" / self._kind / f"{name}.json", picture

    def clip(self, name: str) -> TrajectoryClip:
        """Read one.

        Raises:
            ShotError: its picture or its trajectories cannot be read.
        """
        own = self.manifest
        path, picture = self._files(name)
        try:
            drawn: list[list[list[float]]] = json.loads(path.read_bytes())
            paths = [interpolated(np.array(one, float), own.frames) for one in drawn]
            tracks = np.stack(paths, 1) * [own.width / WIDTH, own.height / HEIGHT]
            with Image.open(picture) as image:
                size = (own.width, own.height)
                shown = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        except (OSError, ValueError, TypeError, IndexError) as error:
            raise ShotError(
                "evaluation_sets",
                f"{path}: its trajectories or its picture cannot be read ({error!s:.120}).",
                "Fetch them again.",
            ) from error
        still = np.broadcast_to(np.asarray(shown), (own.frames, own.height, own.width, 3))
        count = tracks.shape[1]
        moving = np.zeros(count, np.int64) if self._kind == CAMERA else np.arange(1, count + 1)
        return TrajectoryClip(
            name=name,
            frames=still,
            tracks=tracks.astype(np.float32),
            visible=np.ones((own.frames, count), bool),
            instances=moving,
            kind=self._kind,
        )


def interpolated(points: Array, frames: int = FRAMES) -> Array:
    """``(frames, 2)`` along ``(K, 2)`` points, evenly in time; one point stays.

    Source: Fritsch and Butland 1984, "A method for constructing local monotone piecewise cubic
    interpolants", as Image Conductor does by scipy's ``PchipInterpolator``.

    Raises:
        ValueError: it is no list of (x, y).
    """
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"a trajectory must be a list of (x, y), got {points.shape}")
    if len(points) == 1:
        return np.repeat(points, frames, 0)
    at = np.linspace(0, len(points) - 1, frames)
    part = np.minimum(at.astype(int), len(points) - 2)
    t = (at - part)[:, None]
    slopes = _monotone_slopes(np.diff(points, axis=0))
    return (
        (1 + 2 * t) * (1 - t) ** 2 * points[part]
        + t * (1 - t) ** 2 * slopes[part]
        + t**2 * (3 - 2 * t) * points[part + 1]
        + t**2 * (t - 1) * slopes[part + 1]
    )


def _monotone_slopes(steps: Array) -> Array:
    """``(K, 2)`` slopes at the points between ``(K - 1, 2)`` steps."""
    if len(steps) == 1:
        return np.repeat(steps, 2, 0)
    before, after = steps[:-1], steps[1:]
    total = np.where(before + after == 0, 1.0, before + after)
    inner = np.where(before * after > 0, 2 * before * after / total, 0.0)
    return np.concatenate([_end_slope(steps[0], steps[1]), inner, _end_slope(steps[-1], steps[-2])])


def _end_slope(step: Array, beyond: Array) -> Array:
    """``(1, 2)``: of the parabola through three points, if it keeps to the step's direction."""
    slope = (3 * step - beyond) / 2
    slope = np.where(slope * step <= 0, 0.0, slope)
    far = (step * beyond <= 0) & (np.abs(slope) > 3 * np.abs(step))
    return np.where(far, 3 * step, slope)[None]


def trajectory_control(clip: TrajectoryClip, depth: ClipDepth) -> Control:
    """What engines are told: a shot in which a disc around each start moves, or the lens does.

    Args:
        clip: the clip.
        depth: of its picture.

    Raises:
        ShotError: a disc lies outside the picture, or another one covers it.
    """
    frames, height, width = clip.frames.shape[:3]
    ids = np.zeros((height, width), np.int32)
    if clip.kind != CAMERA:
        for item, (x, y) in enumerate(clip.tracks[0], 1):
            centre = (round(float(x) - 0.5), round(float(y) - 0.5))
            cv2.circle(ids, centre, max(1, round(RADIUS * width / WIDTH)), int(item), -1)
        for item in range(1, len(clip.tracks[0]) + 1):
            if not (ids == item).any():
                raise ShotError(
                    "clip",
                    f"{clip.name}: trajectory {item} begins outside the picture, or where another "
                    "one does, and nothing is there to be moved.",
                    "It is left out.",
                )
    z, near, far = depth(clip.frames[:1], ids[None])
    camera = Camera(
        intrinsics=intrinsics_from_fov(DEFAULT_FOV, height, width), height=height, width=width
    )
    things = int(ids.max())
    intrinsics = camera.intrinsics.double().repeat(frames, 1, 1)
    moved = torch.eye(4, dtype=torch.float64).repeat(frames, things, 1, 1)
    if clip.kind == CAMERA:
        intrinsics = lens_of(clip.tracks) @ intrinsics
    else:
        for item in range(things):
            at = z[0][torch.from_numpy(ids == item + 1)].double().median()
            shift = torch.from_numpy(clip.tracks[:, item] - clip.tracks[0, item]).double()
            focal = intrinsics[:, [0, 1], [0, 1]]
            moved[:, item, :2, 3] = shift * at / focal
    shot = Shot(
        lift=Lift(
            image=torch.from_numpy(clip.frames[0].copy()).movedim(-1, 0).float() / 255,
            depth=z[0],
            camera=camera,
            near=near,
            far=far,
        ),
        instance=torch.from_numpy(ids),
        static=(),
        motion=Motion(
            moved_from_rest=moved,
            camera_from_world=torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1),
            intrinsics=intrinsics,
        ),
        engine="",
        seed=0,
        options={},
    )
    return ShotControl(shot)


def lens_of(tracks: Array) -> Tensor:
    """``(F, 3, 3)`` zoom and shift of the picture that come nearest to tracks ``(F, N, 2)``.

    By least squares; of one track the shift alone.
    """
    points = torch.from_numpy(np.asarray(tracks, np.float64))
    rest = points[0] - points[0].mean(0)
    spread = rest.square().sum()
    matrices = torch.eye(3, dtype=torch.float64).repeat(len(points), 1, 1)
    for matrix, now in zip(matrices, points, strict=True):
        scale = ((now - now.mean(0)) * rest).sum() / spread if spread > 0 else torch.tensor(1.0)
        matrix[0, 0] = matrix[1, 1] = scale
        matrix[:2, 2] = now.mean(0) - scale * points[0].mean(0)
    return matrices
