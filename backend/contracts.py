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
from typing import TYPE_CHECKING, Literal, Protocol

from torch import Tensor

from backend.cancelled import Cancelled as Cancelled

if TYPE_CHECKING:  # it is made of the values below
    from backend.geometry.fit import Fit

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
        moving: ids 1..moving are instances that move.
        static: ids of instances that were chosen and stay; other ids are automatic segments.
        near: z of disparity 255.
        far: z of disparity 0.
    """

    instance: Tensor
    depth: Tensor
    moving: int = 0
    static: tuple[int, ...] = ()
    near: float = 0.0
    far: float = float("inf")


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
class Boxes:
    """The box around each chosen instance in every frame.

    Attributes:
        xyxy: ``(N, F, 4)`` float32 (x1, y1, x2, y2) pixels, cut at the frame; zero where the
            instance is out of the frame.
        visible: ``(N, F)`` bool, whether any of the instance is seen.
        instance: ``(N,)`` int32.
        corners: ``(N, F, 8, 3)`` float32, corners of the box around the points at rest, moved, in
            the frame's camera axes; None where there are only pictures.
    """

    xyxy: Tensor
    visible: Tensor
    instance: Tensor
    corners: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFrame:
    """One frame of the photo's own pixels, moved.

    Attributes:
        rgb: ``(3, H, W)`` float32 in [0, 1].
        trust: ``(H, W)`` float32: 1 where the photo's own pixels are seen, 0 where a hole was
            filled with what surrounds it.
    """

    rgb: Tensor
    trust: Tensor

    @property
    def hole(self) -> Tensor:
        """``(H, W)`` bool: more than half of what is seen here was filled in."""
        return self.trust < 0.5


class Draft(Protocol):
    """The frames of a draft, made when they are asked for; the first one is the photo."""

    def __len__(self) -> int:
        """F."""
        ...

    def __getitem__(self, index: int) -> DraftFrame:
        """Frame ``index``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedClip:
    """A video in which somebody marked the things that move: training's and evaluation's shot.

    Attributes:
        frames: ``(F, 3, H, W)`` float32 in [0, 1]; the first one is the photo.
        instance: ``(F, H, W)`` int32; 0 is the background.
        depth: ``(F, H, W)`` float32 z, scene units, positive.
        near: z of disparity 255.
        far: z of disparity 0.
        moving: ids 1..moving are objects that move.
        static: ids of marked objects that stay.
        names: what the objects are called, in the order of their ids; may be empty.
        camera: of all frames, where it is known.
    """

    frames: Tensor
    instance: Tensor
    depth: Tensor
    near: float
    far: float
    moving: int
    static: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    camera: Camera | None = None


class Control(Protocol):
    """What an engine may build its signal from, made when it is asked for and then kept.

    It is made of a shot or of an annotated clip (``backend.sources``), and an engine cannot tell
    which: what is learnt from clips is what shots are rendered with.
    """

    @property
    def image(self) -> Tensor:
        """``(3, H, W)`` float32 in [0, 1]: the photo, which is the first frame."""
        ...

    @property
    def num_frames(self) -> int:
        """F."""
        ...

    @property
    def anchors(self) -> bool:
        """Whether what stays gives control points too."""
        ...

    def masks(self, fit: Fit | None = None) -> MaskSequence:
        """What is seen where, in the photo's pixels, or in those of ``fit``'s frame."""
        ...

    def tracks(self, per_instance: int = 8, anchors: int = 16) -> Tracks:
        """Points followed through all frames: so many on each instance, and on all that stays."""
        ...

    def boxes(self) -> Boxes:
        """The box around each chosen instance in every frame."""
        ...

    def draft(self, fit: Fit | None = None, softness: float = 1.0) -> Draft:
        """The photo's own pixels moved, in the photo's pixels or in those of ``fit``'s frame.

        ``softness`` is the least width of the soft edge around what moves, in the photo's pixels.
        """
        ...


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
