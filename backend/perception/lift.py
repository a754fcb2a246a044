"""Lifting a photo: options, camera and depth, and the lifted photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt
import torch
from torch import Tensor

from backend.contracts import Camera, Lift
from backend.geometry.camera import (
    DEFAULT_FOV,
    fov_from_focal,
    intrinsics_from_focal,
    intrinsics_from_fov,
    scaled_intrinsics,
)
from backend.geometry.lift import depth_from_disparity, depth_from_map
from backend.perception import classical, model_names, scene_kind
from backend.perception.base import OnNote
from backend.perception.perceive import Perception
from protocol import flat_scene
from protocol.errors import ShotError

Array = npt.NDArray[Any]

BY_DEFAULT, GIVEN = "default", "given"
"""Sources of a field of view, other than EXIF data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftOptions:
    """The options of a lift; see ``protocol.messages.LiftRequest``.

    Attributes:
        horizontal_fov: degrees.
        fov_source: its source, for the artist.
        focal: fx, fy, cx, cy in pixels of the photo's file, instead of a field of view.
        horizon: of a flat ground, as a share of the photo's height from the top.
        near: z of the nearest point.
        far: z of the farthest one.
        nearer_is_larger: whether larger values of a depth map are nearer.
        depth_size: shorter side of the depth network's input, pixels.
        clean_edges: whether flying pixels are removed.
        scene_kind: ground, backdrop or auto, if there is neither a depth map nor a network.
    """

    horizontal_fov: float = DEFAULT_FOV
    fov_source: str = BY_DEFAULT
    focal: tuple[float, ...] | None = None
    horizon: float = 0.35
    near: float = 2.0
    far: float = 20.0
    nearer_is_larger: bool = True
    depth_size: int = 518
    clean_edges: bool = True
    scene_kind: str = flat_scene.GROUND

    def check(self) -> None:
        """Validate the options.

        Raises:
            ShotError: an option is out of range.
        """
        if not 1.0 <= self.horizontal_fov <= 175.0:
            raise ShotError(
                "fov",
                f"A field of view of {self.horizontal_fov:g} degrees is not between 1 and 175.",
                "Ordinary lenses have 20 to 90.",
            )
        if self.focal is not None and not (
            len(self.focal) == 4 and self.focal[0] > 0 and self.focal[1] > 0
        ):
            raise ShotError(
                "focal",
                f"The focal lengths {self.focal} are not fx > 0, fy > 0, cx, cy in pixels.",
                "Give these four numbers, or a field of view instead.",
            )
        if not 0 < self.near < self.far:
            raise ShotError(
                "depth_range",
                f"Near {self.near:g} and far {self.far:g} are not 0 < near < far.",
                "Set near below far.",
            )
        try:
            flat_scene.check_horizon(self.horizon)
        except ValueError as error:
            raise ShotError(
                "horizon",
                f"{str(error).capitalize()}.",
                "0 is the top of the photo, 0.5 its middle.",
            ) from error

    def camera(self, height: int, width: int, scale: float) -> Camera:
        """The photo's camera.

        Args:
            height: of the photo at its working size, pixels.
            width: likewise.
            scale: pixels here per pixel of the photo's file, the unit of ``focal``.
        """
        if self.focal is None:
            intrinsics = intrinsics_from_fov(self.horizontal_fov, height, width)
        else:
            fx, fy, cx, cy = self.focal
            intrinsics = scaled_intrinsics(intrinsics_from_focal(fx, fy, cx, cy), scale, scale)
        return Camera(intrinsics=intrinsics, height=height, width=width)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedPhoto:
    """A lifted photo, and the models that were used.

    Attributes:
        lift: photo, depth and camera.
        segments: int32 (H, W) automatic static segments.
        depth_model: name of what made the depth.
        segment_model: name of what made the segments.
        upright: the scene is flat, so a picked instance has to stand upright in it.
        fov_source: the source of the camera's field of view.
        notes: sentences for the artist.
    """

    lift: Lift
    segments: Array
    depth_model: str
    segment_model: str
    upright: bool
    fov_source: str
    notes: tuple[str, ...] = ()

    @property
    def horizontal_fov(self) -> float:
        """Of the camera, in degrees."""
        camera = self.lift.camera
        return fov_from_focal(float(camera.intrinsics[0, 0]), camera.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoDepth:
    """The depth of a photo and its source.

    Attributes:
        depth: ``(H, W)`` float32 z.
        model: name of its source.
        kind: ground or backdrop if the depth is one of these, else empty.
    """

    depth: Tensor
    model: str
    kind: flat_scene.SceneKind | Literal[""] = ""


def photo_depth(
    pixels: Array,
    depth_map: Array | None,
    options: LiftOptions,
    perception: Perception,
    key: str,
    on_note: OnNote,
) -> PhotoDepth:
    """Depth from the map, else from a network, else a flat scene.

    Args:
        pixels: uint8 (H, W, 3).
        depth_map: float32 (H, W), or None.
        options: of the lift.
        perception: the models.
        key: content hash of ``pixels``; "" where it is not known.
        on_note: told what the artist should know of it.

    Raises:
        ShotError: the depth map is of no use, or the network cannot.
    """
    if depth_map is not None:
        found = PhotoDepth(depth=_given_depth(depth_map, options), model=model_names.GIVEN_DEPTH)
    elif perception.depth is not None:
        disparity = perception.disparity(
            pixels, key, options.depth_size, options.clean_edges, on_note
        )
        found = PhotoDepth(
            depth=depth_from_disparity(torch.from_numpy(disparity), options.near, options.far),
            model=perception.depth.name,
        )
    else:
        height, width = pixels.shape[:2]
        kind = _scene_kind(pixels, options, on_note)
        rows = classical.flat_depth(kind, height, width, options.horizon, options.near, options.far)
        model = model_names.RAMP if kind == flat_scene.GROUND else model_names.BACKDROP
        found = PhotoDepth(depth=torch.from_numpy(rows), model=model, kind=kind)
    if not found.kind and options.scene_kind == flat_scene.BACKDROP:
        on_note(f"Scene: Backdrop does not apply, since the depth is from {found.model}.")
    return found


def _given_depth(values: Array, options: LiftOptions) -> Tensor:
    try:
        return depth_from_map(
            torch.from_numpy(values), options.nearer_is_larger, options.near, options.far
        )
    except ValueError as error:
        raise ShotError(
            "depth_map",
            f"{str(error).capitalize()}.",
            "Use a depth map with finite, varied values.",
        ) from error


def _scene_kind(
    pixels: Array, options: LiftOptions, on_note: Callable[[str], None]
) -> flat_scene.SceneKind:
    if options.scene_kind == flat_scene.AUTO:
        found = scene_kind.choose(pixels)
        on_note(found.sentence)
        return found.kind
    return flat_scene.GROUND if options.scene_kind == flat_scene.GROUND else flat_scene.BACKDROP
