"""Every message of the wire, as a frozen dataclass; ``README.md`` says when each is sent.

A message's wire name is the string given to :func:`message`, so classes may be renamed. A field
with a default may be missing on the wire; a field the reader does not know is ignored.

Conventions: camera and world axes are OpenCV (+x right, +y down, +z forward); the world is the
photo's camera at rest. Transforms are ``b_from_a``, 4x4 on column vectors. Pixels are (x, y) with
the centre of the first one at (0.5, 0.5). F frames, N moving instances, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from .arrays import Array, ArraySpec
from .frames import FrameRule

Scalar = str | int | float | bool
JobState = Literal[
    "queued", "running", "cancel_requested", "cancelled", "done", "failed", "interrupted", "unknown"
]
FINAL_STATES: frozenset[str] = frozenset({"cancelled", "done", "failed", "interrupted", "unknown"})

MESSAGES: dict[str, type[Any]] = {}
NAMES: dict[type[Any], str] = {}
MINORS: dict[type[Any], int] = {}
"""The minor version that brought a message; an older peer does not know it."""
T = TypeVar("T")


def message(name: str, minor: int = 0) -> Callable[[type[T]], type[T]]:
    """Register a dataclass as the message called ``name`` on the wire, since ``minor``."""

    def register(cls: type[T]) -> type[T]:
        MESSAGES[name] = cls
        NAMES[cls] = name
        MINORS[cls] = minor
        return cls

    return register


# Parts of messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file's bytes, named by their hash; they travel in chunks, apart from the message."""

    sha256: str
    size: int
    media: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayBlob:
    """An array's raw bytes (little-endian, C order), named by their hash."""

    sha256: str
    size: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server takes; a client checks before it sends.

    Attributes:
        frame_bytes: largest single frame. An oversized one costs the connection.
        chunk_bytes: size of blob chunks, far below ``frame_bytes`` so that a cancel never waits.
        credit: chunks that may be under way and unanswered.
        pixels: of a photo as it is on disk.
        max_side: longest side of a lifted photo, pixels.
        samples: frames times pixels of a shot.
    """

    frame_bytes: int = 8 << 20
    chunk_bytes: int = 1 << 20
    credit: int = 4
    blob_bytes: int = 512 << 20
    pixels: int = 64_000_000
    max_side: int = 4096
    frames: int = 512
    samples: int = 600_000_000
    instances: int = 255
    queue: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOption:
    """One setting of an engine, enough for a client to draw a field for it.

    Attributes:
        default: its type is the option's: true or false, a whole number, a number, or text.
        low: least value of a number.
        high: greatest value of a number.
        choices: of a text that is one of a few.
        kind: what the default's type does not say of a text: ``text`` is any, over as many lines as
            one likes; ``instances`` names some of the shot's (``options.py``), and none means all;
            empty is one of ``choices``, or a line. A client gives a kind it does not know no field.
        length: most characters of a ``text``.
        group: heading that it stands under.
        advanced: whether most artists never need it.
        visible_if: where it is of use: the name of an option before it, then the values that this
            must have; empty is always.
    """

    name: str
    label: str
    help: str
    default: Scalar
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    kind: str = ""
    length: int = 2000
    group: str = ""
    advanced: bool = False
    visible_if: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """An engine as the welcome lists it.

    Attributes:
        num_frames: for clients before 1.3, with the next two; ``frames.py`` writes and reads them.
        missing: why it cannot render with its default options now, and what to do about it; empty
            where it can.
        frames: how many it makes; None where a server before 1.3 sent the integers alone.
        requires: what its control must give: ``masks``, ``tracks``, ``boxes``, ``draft``,
            ``prompt``.
    """

    name: str
    label: str
    help: str
    num_frames: int = 0
    options: tuple[EngineOption, ...] = ()
    missing: str = ""
    least_frames: int = 0
    most_frames: int = 0
    frames: FrameRule | None = None
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceptionInfo:
    """What makes depth or segments on this server, in words an artist can judge."""

    task: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthMapFile:
    """A depth map the artist brings along: 8/16-bit PNG, 32-bit EXR or .npy, of any size."""

    file: Blob
    nearer_is_larger: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A lifted photo: named wholly by content, so it is made and sent once.

    Attributes:
        image: uint8 (H, W, 3) sRGB.
        depth: float32 (H, W), z along the optical axis in scene units, positive.
        intrinsics: pinhole camera of the photo, in pixels.
        near: z of disparity 255.
        far: z of disparity 0.
        kind: what the depth of all that was not picked is: a ``ground`` or a ``backdrop`` (see
            ``flat_scene.py``), or empty where a model or a depth map says it.
    """

    image: ArrayBlob
    depth: ArrayBlob
    intrinsics: Annotated[Array, ArraySpec("float64", (3, 3))]
    near: float
    far: float
    kind: Literal["", "ground", "backdrop"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Something the artist picked.

    Attributes:
        id: its value in the shot's instance map; moving ones are 1..N in order, static ones follow.
        handle: world position of its handle at rest.
        flatten: 0 keeps its relief; 1 puts all of it at the median of its 1/z; both along the rays
            of the photo's camera.
        thickness: scene units at its median depth; its body lies behind its front, scaled away
            from the photo's camera, so that this sees none of it.
    """

    id: int
    name: str
    moving: bool
    handle: tuple[float, ...]
    flatten: float = 0.0
    thickness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotMessage:
    """All an engine needs to make one take; also what a ``.shot`` file holds.

    Attributes:
        instance_map: int32 (H, W) at rest; 0 is the background.
        instances: moving ones first; automatic segments are in the map only.
        moved_from_rest: rigid motion and uniform scale of the moving instances, in world axes.
        camera_from_world: identity is the photo's own view.
        intrinsics: of every frame, so that an animated lens is exact.
        frame_start: Blender frame of sample 0.
        frame_end: Blender frame of sample F - 1; the take spans both ends.
        anchors: what stays in place gives control points too; they hold the scene and carry the
            camera.
    """

    scene: Scene
    instance_map: ArrayBlob
    instances: tuple[Instance, ...]
    moved_from_rest: Annotated[Array, ArraySpec("float64", ("F", "N", 4, 4))]
    camera_from_world: Annotated[Array, ArraySpec("float64", ("F", 4, 4))]
    intrinsics: Annotated[Array, ArraySpec("float64", ("F", 3, 3))]
    frame_start: int
    frame_end: int
    fps: float
    engine: str
    seed: int = 0
    anchors: bool = True
    options: dict[str, Scalar] = field(default_factory=dict[str, Scalar])


# Handshake and heartbeat


@message("hello")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First request on a connection. Its layout, and a refusal's, are the same in every version."""

    client: str
    product: str


@message("welcome")
@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """Reply to a hello: who the server is and what it can do."""

    product: str
    limits: Limits
    engines: tuple[EngineInfo, ...]
    perception: tuple[PerceptionInfo, ...]
    device: str
    heartbeat_seconds: float = 1.0
    retention_seconds: float = 0.0


@message("refusal")
@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Reply to a hello that cannot be met; nothing else will be answered."""

    code: str
    sentence: str
    fix: str = ""


@message("ping")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Request that says only "I am here"; any other traffic says so too."""


@message("pong")
@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """Reply to a ping."""


@message("error")
@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Reply to a request that was refused; nothing was started.

    Attributes:
        missing: hashes of the blobs to upload before asking again (code ``missing_blobs``).
    """

    code: str
    sentence: str
    fix: str = ""
    missing: tuple[str, ...] = ()


# Blobs


@message("blob_offer")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlobOffer:
    """Request: ask how much of a blob the server has."""

    sha256: str
    size: int


@message("blob_put")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPut:
    """Request: one chunk. Chunks are sent in order, at most ``credit`` of them unanswered."""

    sha256: str
    offset: int
    data: Annotated[Array, ArraySpec("uint8", ("n",))]


@message("blob_status")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStatus:
    """Reply to an offer or a chunk: the bytes held so far, which is where to go on."""

    sha256: str
    received: int
    complete: bool


@message("blob_get")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlobGet:
    """Request: send up to ``length`` bytes from ``offset``."""

    sha256: str
    offset: int
    length: int


@message("blob_data")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlobData:
    """Reply to a get; ``size`` is the whole blob's."""

    sha256: str
    offset: int
    size: int
    data: Annotated[Array, ArraySpec("uint8", ("n",))]


# Jobs


@message("lift")
@dataclass(frozen=True, slots=True, kw_only=True)
class LiftRequest:
    """Request: turn a photo into a scene.

    Attributes:
        horizontal_fov: degrees; 0 takes what the photo's file says of its lens, else 50. Ignored
            where ``focal`` is given.
        focal: (fx, fy, cx, cy) in pixels of the photo on disk.
        horizon: row of the horizon as a fraction of the height; of a ground.
        max_side: a longer photo is scaled down to it.
        depth_model: a name from the welcome, ``auto`` for the best that is here, or ``offline``.
        segment_model: likewise, for the automatic segments.
        depth_size: pixels of the shorter side that a depth network looks at.
        clean_edges: whether what hangs between a thing and what lies behind it is pulled to one of
            them.
        scene_kind: the depth where no model and no map gives one; ``auto`` lets the photo decide.
            Missing means a ground, since older clients know nothing else.
    """

    image: Blob
    horizontal_fov: float = 50.0
    focal: tuple[float, ...] | None = None
    horizon: float = 0.35
    near: float = 2.0
    far: float = 20.0
    depth: DepthMapFile | None = None
    max_side: int = 1280
    depth_model: str = "auto"
    segment_model: str = "auto"
    depth_size: int = 518
    clean_edges: bool = True
    scene_kind: Literal["auto", "ground", "backdrop"] = "ground"


@message("segment")
@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest:
    """Request: find the pixels that the artist means.

    Attributes:
        points: clicks (x, y) in pixels of the scene.
        positive: 1 = the instance, 0 = not the instance, one a click.
        box: (x0, y0, x1, y1) in pixels.
        mask: an image that replaces the search; brighter than half is the instance.
        upright: stand the instance up, see ``Lifted.upright`` and ``flat_scene.standing_depth``.
        previous: one of the ``Segmented.logits`` of an earlier answer: exactly that mask is refined
            by these clicks. Of no use to what made no logits.
        segment_model: a name from the welcome, ``auto`` for the best that is here, or ``offline``.
    """

    scene: Scene
    points: Annotated[Array, ArraySpec("float64", ("K", 2))]
    positive: Annotated[Array, ArraySpec("uint8", ("K",))]
    box: tuple[float, ...] | None = None
    mask: Blob | None = None
    upright: bool = False
    previous: ArrayBlob | None = None
    segment_model: str = "auto"


@message("submit")
@dataclass(frozen=True, slots=True, kw_only=True)
class RenderRequest:
    """Request: render a shot."""

    shot: ShotMessage


@message("preview", minor=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRequest:
    """Request: show what an engine would be told of a shot; its engine and seed play no part.

    Attributes:
        over: what the masks and points lie on.
        masks: colour what was picked.
        points: draw the control points, clustered the quick way.
        depth: show the depth in a second picture to the right.
    """

    shot: ShotMessage
    over: Literal["draft", "photo"] = "draft"
    masks: bool = True
    points: bool = True
    depth: bool = True


@message("accepted")
@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Reply to a job's request: the job's name and its place in the queue (0 = next)."""

    job: str
    place: int


@message("get_state")
@dataclass(frozen=True, slots=True, kw_only=True)
class GetState:
    """Request: the truth about a job; pushes only make it faster."""

    job: str


@message("fetch")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Request: a finished job's result."""

    job: str


@message("cancel")
@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Request: stop this job, never another; harmless to repeat. The reply is a state."""

    job: str


@message("state")
@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Push on every change, and reply to get_state and cancel.

    Attributes:
        seq: counts a job's pushes from 1; after a gap the client asks get_state.
        phase: what it is doing, with step ``done`` of ``total``, as far as the server knows.
        place: jobs before it in the queue while it is queued.
        code: why it failed, for programs; sentence and fix say it to the artist.
    """

    job: str
    seq: int
    state: JobState
    phase: str = ""
    done: int = 0
    total: int = 0
    place: int = 0
    code: str = ""
    sentence: str = ""
    fix: str = ""


@message("progress")
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Push while a job runs: step ``done`` of ``total`` of a phase; may be dropped.

    Attributes:
        picture: a small, rough look at a few frames of the take so far, sRGB.
    """

    job: str
    seq: int
    phase: str
    done: int
    total: int
    eta_seconds: float | None = None
    picture: Annotated[Array, ArraySpec("uint8", ("h", "w", 3))] | None = None


@message("lifted")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """Result of a lift, pushed and fetchable.

    Attributes:
        segments: int32 (H, W), automatic static segments 1..S; 0 is none.
        depth_model: what made the depth, and ``segment_model`` the segments.
        upright: the depth knows no objects, so picked instances should stand upright.
        notes: what the artist should know, a sentence each.
        horizontal_fov: degrees, of the scene's camera; 0 from a server that does not say.
        fov_source: how it is known: "EXIF, 35 mm", "default" or "given".
    """

    job: str
    scene: Scene
    segments: ArrayBlob
    depth_model: str
    segment_model: str
    upright: bool
    notes: tuple[str, ...] = ()
    horizontal_fov: float = 0.0
    fov_source: str = ""


@message("segmented")
@dataclass(frozen=True, slots=True, kw_only=True)
class Segmented:
    """Result of a segment request.

    Attributes:
        mask: uint8 (H, W), 1 on the instance.
        depth: float32 (H, W), the scene's depth with the instance's own where ``mask`` is 1.
        notes: what the artist should know, a sentence each.
        candidates: uint8 (H, W), what the clicks may have meant, best first; the first is ``mask``.
        scores: how well the model thinks that each candidate fits.
        depths: float32 (n,), the depth of each candidate's n pixels, row by row.
        logits: float32 (h, w) of each candidate, in the model's own size; ``Segment.previous``
            takes one of them. Empty where the model has none.
    """

    job: str
    mask: ArrayBlob
    depth: ArrayBlob
    segment_model: str
    notes: tuple[str, ...] = ()
    candidates: tuple[ArrayBlob, ...] = ()
    scores: tuple[float, ...] = ()
    depths: tuple[ArrayBlob, ...] = ()
    logits: tuple[ArrayBlob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceObedience:
    """How well a take obeyed its shot for one moving instance; see :class:`Obedience`.

    Attributes:
        in_sight: of the frames that were compared, those in which it should be seen.
        lost: of these, those in which it was not found; each counts as the diagonal and as no mask.
    """

    id: int
    centroid_error_px: float | None = None
    mask_iou: float | None = None
    in_sight: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Obedience:
    """How well a take obeyed its shot, told from its pixels; None is what cannot be known.

    Attributes:
        frames: how many were compared; the first, which is the photo, is none of them.
        centroid_error_px: pixels of the video that the middle of what moves is off: the mean over
            the instances of their means over frames. None where nothing that moves is in sight.
        centroid_error_percent: the same, of the video's diagonal.
        mask_iou: of where things are with where they should be, 0 to 1; likewise a mean.
        occlusion_accuracy: share of the places where one thing hides another that show the right
            one in front; None where there are no such places.
        occlusion_events: how many places there are.
        background_drift_px: pixels that the background is off; None where it has no texture or is
            not found.
        instances: the moving ones, by id.
    """

    frames: int
    centroid_error_px: float | None = None
    centroid_error_percent: float | None = None
    mask_iou: float | None = None
    occlusion_accuracy: float | None = None
    occlusion_events: int = 0
    background_drift_px: float | None = None
    instances: tuple[InstanceObedience, ...] = ()


@message("rendered")
@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Result of a submit: the take.

    Attributes:
        video: H.264 MP4 of ``frames`` frames, one a Blender frame of the shot's range.
        shot: content hash of the shot that was rendered.
        options: all the engine's options as used.
        shown: the part of the photo that the video shows: (top, left, height, width) in pixels of
            the lifted photo; empty where a server before 1.2 does not say.
        obedience: how well the take obeyed its shot; None where it was not measured, as by a server
            before 1.4 and for an engine whose takes are what others are measured against.
    """

    job: str
    video: Blob
    frames: int
    height: int
    width: int
    fps: float
    engine: str
    seed: int
    shot: str
    options: dict[str, Scalar] = field(default_factory=dict[str, Scalar])
    notes: tuple[str, ...] = ()
    shown: tuple[float, ...] = ()
    obedience: Obedience | None = None


@message("previewed", minor=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """Result of a preview: the control as a video.

    Attributes:
        video: H.264 MP4 of ``frames`` frames, one a Blender frame of the shot's range.
        width: of the video: twice the shot's where the depth stands beside it.
        points: control points a frame, on average.
        shot: content hash of the shot that is shown.
    """

    job: str
    video: Blob
    frames: int
    height: int
    width: int
    fps: float
    shot: str
    points: float = 0.0
    notes: tuple[str, ...] = ()


JOB_REQUESTS: frozenset[type[Any]] = frozenset(
    {LiftRequest, SegmentRequest, RenderRequest, PreviewRequest}
)
RESULTS: frozenset[type[Any]] = frozenset({Lifted, Segmented, Rendered, Previewed})
