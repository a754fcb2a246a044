"""The dataclasses that the stages of the backend pass to each other, all of them frozen.

Legend
    F frames, N moving instances, P points, H x W pixels
    axes      OpenCV: +x right, +y down, +z forward; the world is the photo's camera at rest
    b_from_a  4x4 on column vectors; c_from_b @ b_from_a
    pixels    (x, y), centre of the first one at (0.5, 0.5); sizes are (height, width)
    depth     z along the optical axis in scene units, float32, positive
    images    float32 (3, H, W) in [0, 1], sRGB
    instances int32; 0 background, moving ones 1..N, static ones after them; -1 is an empty pixel
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from torch import Tensor

from backend.cancelled import Cancelled as Cancelled

if TYPE_CHECKING:  # it imports this module
    from backend.geometry.fit import Fit

Scalar = str | int | float | bool
OnStep = Callable[..., None]
"""Called with (done, total) after every step; may raise :class:`Cancelled`. An engine may also pass
``preview``, a function that returns ``(F, 3, h, w)`` in [0, 1], small and rough. With ``phase`` no
step was made: it names the long operation that starts now."""


class Frames(Protocol):
    """``(F, 3, H, W)`` float32 frames in [0, 1], each computed when it is indexed."""

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
    """A photo with depth and its camera.

    Attributes:
        image: ``(3, H, W)`` float32 in [0, 1].
        depth: ``(H, W)`` float32 z.
        camera: the photo's camera.
        near: z of disparity 255.
        far: z of disparity 0.
        kind: ``ground`` or ``backdrop`` if the depth is one of these flat scenes
            (`protocol.flat_scene`), else empty.
    """

    image: Tensor
    depth: Tensor
    camera: Camera
    near: float
    far: float
    kind: Literal["", "ground", "backdrop"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """The motion of the instances and of the camera.

    Attributes:
        moved_from_rest: ``(F, N, 4, 4)`` float64, rotation, uniform scale and translation.
        camera_from_world: ``(F, 4, 4)`` float64; the identity is the photo's own view.
        intrinsics: ``(F, 3, 3)`` float64, per frame, since a lens may be animated.
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
    """The input of a render.

    Attributes:
        lift: the photo.
        instance: ``(H, W)`` int32 map at rest.
        static: ids of picked instances that do not move; without automatic segments.
        motion: of the moving instances and the camera.
        anchors: whether static instances and segments give control points too.
        thickness: depth of the body behind an instance's front, scene units by id; an id that
            is missing has no body.
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
    """One point per pixel of a photo, followed by the points of the instances' bodies.

    Attributes:
        xyz: ``(P, 3)`` float32, world axes, at rest; the pixels' in row-major order, then others.
        instance: ``(P,)`` int32.
    """

    xyz: Tensor
    instance: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSequence:
    """Instance id and depth per pixel and frame; common to inference, training and evaluation.

    Attributes:
        instance: ``(F, H, W)`` int32; -1 where no point was splatted.
        depth: ``(F, H, W)`` float32 z; +inf where no point was splatted.
        moving: ids 1..moving are instances that move.
        static: ids of picked instances that do not move; other ids are automatic segments.
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
    """Trajectories of points in the frames of a shot or clip.

    Attributes:
        xy: ``(F, N, 2)`` float32 pixels; occluded points included.
        depth: ``(F, N)`` float32 z.
        visible: ``(F, N)`` bool, by a depth test against the rendered masks.
        instance: ``(N,)`` int32; 0 for points that are on no picked instance.
    """

    xy: Tensor
    depth: Tensor
    visible: Tensor
    instance: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """The bounding box of each picked instance in every frame.

    Attributes:
        xyxy: ``(N, F, 4)`` float32 (x1, y1, x2, y2) pixels, clipped to the frame; zero where
            the instance is out of the frame.
        visible: ``(N, F)`` bool, whether any of the instance is visible.
        instance: ``(N,)`` int32.
        corners: ``(N, F, 8, 3)`` float32, corners of the moved 3D box around the points at rest, in
            the frame's camera axes; None if there are only masks.
    """

    xyxy: Tensor
    visible: Tensor
    instance: Tensor
    corners: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFrame:
    """One frame of a draft: the photo's own pixels, moved, and the inpainted holes.

    Attributes:
        rgb: ``(3, H, W)`` float32 in [0, 1].
        trust: ``(H, W)`` float32: 1 where the photo's own pixels are visible, 0 where a
            hole was inpainted.
    """

    rgb: Tensor
    trust: Tensor

    @property
    def hole(self) -> Tensor:
        """``(H, W)`` bool: pixels that are mostly inpainted."""
        return self.trust < 0.5


class Draft(Protocol):
    """The frames of a draft, each computed when it is indexed; the first one is the photo."""

    def __len__(self) -> int:
        """F."""
        ...

    def __getitem__(self, index: int) -> DraftFrame:
        """Frame ``index``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedClip:
    """A video with annotated instances: what training and evaluation have in place of a shot.

    Attributes:
        frames: ``(F, 3, H, W)`` float32 in [0, 1]; the first one is the photo.
        instance: ``(F, H, W)`` int32; 0 is the background.
        depth: ``(F, H, W)`` float32 z, scene units, positive.
        near: z of disparity 255.
        far: z of disparity 0.
        moving: ids 1..moving are objects that move.
        static: ids of annotated objects that do not move.
        names: of the objects, in the order of their ids; may be empty.
        camera: of all frames, if it is known.
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
    """The input from which an engine encodes its control signal; its parts are computed lazily.

    Made from a shot or from an annotated clip (``backend.control_sources``) behind one interface,
    so that an engine is trained on the same signal that it renders with.
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
        """Whether static instances and segments give control points too."""
        ...

    def masks(self, fit: Fit | None = None) -> MaskSequence:
        """Ids and depth of every frame, in the photo's pixels, or in those of ``fit``'s frame."""
        ...

    def tracks(self, per_instance: int = 8, anchors: int = 16) -> Tracks:
        """Points tracked through all frames, on each picked instance and on the rest."""
        ...

    def boxes(self) -> Boxes:
        """The bounding box of each picked instance in every frame."""
        ...

    def draft(self, fit: Fit | None = None, softness: float = 1.0) -> Draft:
        """The photo's own pixels moved, in the photo's pixels or in those of ``fit``'s frame.

        ``softness`` is the minimum width of a layer's soft edge, in pixels of the photo.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedTake:
    """A rendered shot.

    Attributes:
        frames: ``(F, 3, H, W)`` float32 in [0, 1].
        options: every option of the engine as used.
        shown: the window of the photo that the frames show: top, left, height, width in its pixels.
        notes: sentences for the artist.
    """

    frames: Tensor
    options: Mapping[str, Scalar]
    shown: tuple[float, float, float, float]
    notes: tuple[str, ...] = ()
