"""The values that flow through the backend, one frozen dataclass for each arrow of the design.

Legend
    F frames, N moving instances, P points, H x W pixels
    axes      OpenCV: +x right, +y down, +z forward; the world is the photo's camera at rest
    b_from_a  4x4 on column vectors; c_from_b @ b_from_a
    pixels    (x, y), centre of the first one at (0.5, 0.5); sizes are (height, width)
    depth     z along the optical axis in scene units, float32, positive
    images    float32 (3, H, W) in [0, 1], sRGB
    instances int32; 0 background, moving ones 1..N, static ones after them, -1 "nothing here"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from backend.cancelled import Cancelled as Cancelled

Scalar = str | int | float | bool
OnStep = Callable[..., None]
"""Called with (done, total) after every step; may raise :class:`Cancelled`. An engine that has one
also hands on ``preview``: a function that gives ``(F, 3, h, w)`` in [0, 1], small and rough. With a
``phase`` no step was made: it names what comes next, where that takes long."""


class Frames(Protocol):
    """``(F, 3, H, W)`` float32 frames in [0, 1] that are made when they are asked for."""

    @property
    def shape(self) -> Sequence[int]:
        """F, 3, H, W."""
        ...

    def __getitem__(self, index: int) -> Tensor:
        """``(3, H, W)``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera.

    Attributes:
        intrinsics: ``(3, 3)``, pixels.
        height: of its image, in pixels.
        width: of its image, in pixels.
    """

    intrinsics: Tensor
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """A photo with depth: what its camera saw.

    Attributes:
        image: ``(3, H, W)`` float32 in [0, 1].
        depth: ``(H, W)`` float32 z.
        camera: the photo's camera.
        near: z of disparity 255.
        far: z of disparity 0.
        kind: ``ground`` or ``backdrop`` where the depth is one of these (`protocol.flat_scene`),
            else empty.
    """

    image: Tensor
    depth: Tensor
    camera: Camera
    near: float
    far: float
    kind: Literal["", "ground", "backdrop"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How the instances and the camera move.

    Attributes:
        moved_from_rest: ``(F, N, 4, 4)`` float64, rotation, uniform scale and translation.
        camera_from_world: ``(F, 4, 4)`` float64; identity is the photo's own view.
        intrinsics: ``(F, 3, 3)`` float64, so that an animated lens is exact.
    """

    moved_from_rest: Tensor
    camera_from_world: Tensor
    intrinsics: Tensor

    @property
    def num_frames(self) -> int:
        """F."""
        return self.camera_from_world.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """All a render needs.

    Attributes:
        lift: the photo.
        instance: ``(H, W)`` int32 map at rest.
        static: ids of picked instances that stay; automatic segments are not among them.
        motion: of the moving instances and the camera.
        anchors: whether what stays gives control points too.
        thickness: of the body behind an instance's front, scene units by id; none where it is not
            named.
    """

    lift: Lift
    instance: Tensor
    static: tuple[int, ...]
    motion: Motion
    engine: str
    seed: int
    options: Mapping[str, Scalar]
    anchors: bool = True
    thickness: Mapping[int, float] = field(default_factory=dict[int, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class PointCloud:
    """One point for every pixel of a photo, and more where instances have a body.

    Attributes:
        xyz: ``(P, 3)`` float32, world axes, at rest; the pixels' in row-major order, then others.
        instance: ``(P,)`` int32.
    """

    xyz: Tensor
    instance: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSequence:
    """What is seen where: the funnel in which rendering, training and evaluation meet.

    Attributes:
        instance: ``(F, H, W)`` int32; -1 where no point landed.
        depth: ``(F, H, W)`` float32 z; +inf where no point landed.
    """

    instance: Tensor
    depth: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Points that carry the motion, the same ones in every frame.

    Attributes:
        xy: ``(F, N, 2)`` float32 pixels; a hidden point keeps its position.
        depth: ``(F, N)`` float32 z.
        visible: ``(F, N)`` bool, from the real depth order.
        instance: ``(N,)`` int32; 0 is what was not picked.
    """

    xy: Tensor
    depth: Tensor
    visible: Tensor
    instance: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What an engine may build its signal from.

    Attributes:
        shot: what was asked for.
        masks: gives what the moved points show, in the photo's pixels or in those of the
            ``geometry.fit.Fit`` it is handed; made when first asked for, since not every engine
            asks.
    """

    shot: Shot
    masks: Callable[..., MaskSequence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """A rendered shot.

    Attributes:
        frames: ``(F, 3, H, W)`` float32 in [0, 1].
        options: every option of the engine as used.
        shown: the part of the photo that the frames show: top, left, height, width in its pixels.
        notes: what the artist should know of it.
    """

    frames: Tensor
    options: Mapping[str, Scalar]
    shown: tuple[float, float, float, float]
    notes: tuple[str, ...] = ()
