"""What a worker does with a job: bytes in, the pipeline, bytes out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from backend import contracts, convert, device, pipeline
from backend.control import scene_occlusion
from backend.control.preview import ControlFrames, Look
from backend.engines import registry
from backend.engines.base import LOADING, Engine, whole_notes
from backend.files.video import encode_video
from backend.geometry.camera import DEFAULT_FOV
from backend.images.depth_map import decode_depth_map, fitted
from backend.images.mask import decode_mask
from backend.images.photo import MIN_SIDE, decode_photo
from backend.perception import model_names
from backend.perception import registry as models
from backend.perception.cache import ResultCache
from backend.perception.perceive import Perception
from backend.pipeline import LiftOptions, OnPhase, OnPreview
from backend.resources import Resources
from protocol import content, flat_scene, messages
from protocol.arrays import Array
from protocol.errors import ShotError
from protocol.rates import frame_rate
from protocol.rules import problems

log = logging.getLogger(__name__)

MAX_SIDE = messages.Limits().max_side
PICTURE_SECONDS = 1.0
"""Between two pictures of a take in the making: each waits for the device."""
_engines: dict[str, Engine] = {}
"""Engines of this process, made at first use: a worker is a process that runs one job at a time."""
_loaded = models.LoadedModels()
"""Perception's models of this process, made at first use."""
_resources = Resources()


class Blobs(Protocol):
    """Where a job's data lies."""

    def get(self, sha256: str) -> bytes:
        """The bytes of a blob that is known to be there."""
        ...

    def put(self, data: bytes) -> None:
        """Keep bytes under their hash."""
        ...


def start(resources: Resources) -> str:
    """What this process' models may use; called once, before the first job.

    Returns:
        What they compute on, in words.

    Raises:
        ShotError: that device is not here.
    """
    global _resources
    _resources = replace(resources, device=device.choose(resources.device))
    return device.describe(_resources.device)


def warm_up() -> None:
    """Pay the first call's costs before an artist waits for them."""
    for name in (spec.name for spec in registry.specs() if not spec.needs({})):
        _engine(name, lambda *step: None)


def fit() -> bool:
    """Whether this process can do another job; asked when one failed."""
    return device.answers(_resources.device)


def run(
    message: messages.LiftRequest
    | messages.SegmentRequest
    | messages.RenderRequest
    | messages.PreviewRequest,
    *,
    job: str,
    blobs: Blobs,
    on_step: OnPhase,
) -> messages.Lifted | messages.Segmented | messages.Rendered | messages.Previewed:
    """Do one job.

    Raises:
        ShotError: the artist can mend it.
        Cancelled: ``on_step`` said so.
    """
    match message:
        case messages.LiftRequest():
            return lift(message, job, blobs, on_step)
        case messages.SegmentRequest():
            return segment(message, job, blobs, on_step)
        case messages.RenderRequest():
            return render(message.shot, job, blobs, on_step)
        case messages.PreviewRequest():
            return preview(message, job, blobs, on_step)


def lift(
    message: messages.LiftRequest, job: str, blobs: Blobs, on_step: OnPhase
) -> messages.Lifted:
    """Photo file in, scene out."""
    pixels, lifted = lift_photo(message, blobs.get, on_step)
    return messages.Lifted(
        job=job,
        scene=messages.Scene(
            image=_put(pixels, blobs),
            depth=_put(lifted.lift.depth.numpy(), blobs),
            intrinsics=lifted.lift.camera.intrinsics.numpy(),
            near=lifted.lift.near,
            far=lifted.lift.far,
            kind=lifted.lift.kind,
        ),
        segments=_put(lifted.segments, blobs),
        depth_model=lifted.depth_model,
        segment_model=lifted.segment_model,
        upright=lifted.upright,
        notes=lifted.notes,
        horizontal_fov=lifted.horizontal_fov,
        fov_source=lifted.fov_source,
    )


def lift_photo(
    message: messages.LiftRequest, get: convert.GetBlob, on_step: OnPhase
) -> tuple[Array, pipeline.Lifted]:
    """A photo's pixels, uint8 (H, W, 3), and what they became; the command line calls it too."""
    if not MIN_SIDE <= message.max_side <= MAX_SIDE:
        raise ShotError(
            "max_side",
            f"A longest side of {message.max_side} pixels is not between {MIN_SIDE} "
            f"and {MAX_SIDE}.",
            "1280 is a good start.",
        )
    photo = decode_photo(get(message.image.sha256), message.max_side)
    notes, depth_map = list(photo.notes), None
    if message.depth is not None:
        given = fitted(
            decode_depth_map(get(message.depth.file.sha256)), photo, message.depth.nearer_is_larger
        )
        notes += given.notes
        depth_map = given.values
    image, _ = content.array_blob_of(photo.pixels)
    kind = message.scene_kind
    if kind == flat_scene.AUTO and message.depth_model == model_names.RAMP:
        kind = flat_scene.GROUND  # who names it means it
    fov, source = message.horizontal_fov, pipeline.GIVEN
    if fov == 0:
        fov, source = DEFAULT_FOV, pipeline.BY_DEFAULT
        if photo.horizontal_fov is not None:
            fov, source = photo.horizontal_fov, photo.fov_source
    lifted = pipeline.lift(
        photo.pixels,
        photo.scale,
        depth_map,
        LiftOptions(
            horizontal_fov=fov,
            fov_source=source,
            focal=message.focal,
            horizon=message.horizon,
            near=message.near,
            far=message.far,
            nearer_is_larger=message.depth is None or message.depth.nearer_is_larger,
            depth_size=message.depth_size,
            clean_edges=message.clean_edges,
            scene_kind=kind,
        ),
        on_step,
        _perception(
            on_step,
            depth=models.OFFLINE if depth_map is not None else message.depth_model,
            segments=message.segment_model,
        ),
        image.sha256,
    )
    return photo.pixels, replace(lifted, notes=(*notes, *lifted.notes))


def segment(
    message: messages.SegmentRequest, job: str, blobs: Blobs, on_step: OnPhase
) -> messages.Segmented:
    """Clicks in, masks out."""
    on_step("segment", 0, 1)
    pixels = convert.array(message.scene.image, blobs.get)
    height, width = pixels.shape[:2]
    given = None
    if message.mask is not None:
        given = decode_mask(blobs.get(message.mask.sha256), height, width)
    found = pipeline.segment(
        np.array(pixels),
        convert.array(message.scene.depth, blobs.get),
        message.points,
        message.positive,
        message.box,
        given,
        pipeline.Standing(kind=message.scene.kind, near=message.scene.near, far=message.scene.far)
        if message.upright
        else None,
        _perception(on_step, depth=models.OFFLINE, segments=message.segment_model),
        message.scene.image.sha256,
        None if message.previous is None else convert.array(message.previous, blobs.get),
    )
    on_step("segment", 1, 1)
    masks = tuple(_put(mask.astype(np.uint8), blobs) for mask in found.masks)
    pairs = zip(found.masks, found.depths, strict=True)
    return messages.Segmented(
        job=job,
        mask=masks[0],
        depth=_put(found.depths[0], blobs),
        segment_model=found.model,
        notes=found.notes,
        candidates=masks,
        scores=tuple(float(score) for score in found.scores),
        depths=tuple(_put(depth[mask], blobs) for mask, depth in pairs),
        logits=() if found.logits is None else tuple(_put(one, blobs) for one in found.logits),
    )


def render(
    shot: messages.ShotMessage, job: str, blobs: Blobs, on_step: OnPhase
) -> messages.Rendered:
    """Shot in, video out; on the way a picture of it now and then, where the engine has one."""
    looked, picture = 0.0, None

    def on_preview(make: Callable[[], Tensor]) -> None:
        nonlocal looked, picture
        if time.monotonic() - looked >= PICTURE_SECONDS:
            looked, picture = time.monotonic(), convert.picture_of(make())

    def on_phase(phase: str, done: int, total: int) -> None:
        nonlocal picture
        shown, picture = picture, None
        on_step(phase, done, total, *(() if shown is None else (shown,)))

    video, take = render_video(shot, blobs.get, on_phase, on_preview)
    blobs.put(video)
    height, width = take.frames.shape[-2:]
    return messages.Rendered(
        job=job,
        video=content.blob_of(video, "video/mp4"),
        frames=_length(shot),
        height=height,
        width=width,
        fps=float(frame_rate(shot.fps)),
        engine=shot.engine,
        seed=shot.seed,
        shot=content.shot_hash(shot),
        options=dict(take.options),
        notes=take.notes,
        shown=take.shown,
    )


def render_video(
    shot: messages.ShotMessage,
    get: convert.GetBlob,
    on_step: OnPhase,
    on_preview: OnPreview = lambda make: None,
) -> tuple[bytes, Any]:
    """The take of a shot as MP4 bytes, and the take itself; the command line calls it too."""
    if found := problems(shot):
        raise found[0]
    engine, ours = _engine(shot.engine, on_step), convert.shot_from_message(shot, get)
    told = _hidden(shot, ours)
    take = pipeline.render(ours, engine, on_step, on_preview)
    take = replace(take, notes=(*told, *take.notes))
    video = encode_video(
        take.frames, shot.fps, _length(shot), lambda *step: on_step("video", *step)
    )
    return video, take


def preview(
    message: messages.PreviewRequest, job: str, blobs: Blobs, on_step: OnPhase
) -> messages.Previewed:
    """Shot in, its control as a video out."""
    video, shown, notes = preview_video(message, blobs.get, on_step)
    blobs.put(video)
    _, _, height, width = shown.shape
    return messages.Previewed(
        job=job,
        video=content.blob_of(video, "video/mp4"),
        frames=_length(message.shot),
        height=height,
        width=width,
        fps=float(frame_rate(message.shot.fps)),
        shot=content.shot_hash(message.shot),
        points=points_a_frame(shown),
        notes=notes,
    )


def preview_video(
    message: messages.PreviewRequest, get: convert.GetBlob, on_step: OnPhase
) -> tuple[bytes, contracts.Frames, tuple[str, ...]]:
    """A shot's control as MP4 bytes, its frames and notes; the command line calls it too."""
    shot = message.shot
    if found := problems(shot):
        raise found[0]
    look = Look(masks=message.masks, points=message.points, depth=message.depth)
    ours = convert.shot_from_message(shot, get)
    told = _hidden(shot, ours)
    frames = pipeline.preview(ours, message.over, look, on_step)
    if message.points and not points_a_frame(frames):
        label = registry.spec_of(shot.engine).label
        told += (f"{label} is told no control points; choose another engine to see its own.",)
    video = encode_video(frames, shot.fps, _length(shot), lambda *step: on_step("video", *step))
    return video, frames, told


def _hidden(shot: messages.ShotMessage, ours: contracts.Shot) -> tuple[str, ...]:
    """What the artist should know of things that go below the ground or behind the backdrop."""
    times = np.linspace(shot.frame_start, shot.frame_end, len(shot.moved_from_rest))
    names = [item.name for item in shot.instances]
    return whole_notes(
        lambda: scene_occlusion.occlusion_notes(ours, names, times.tolist()), "what a scene hides"
    )


def points_a_frame(frames: contracts.Frames) -> float:
    """Control points of a preview's frames, on average; 0 where an engine has none."""
    return frames.points_a_frame if isinstance(frames, ControlFrames) else 0.0


def _length(shot: messages.ShotMessage) -> int:
    """Frames of the take's video: one a Blender frame of the shot's range."""
    return shot.frame_end - shot.frame_start + 1


def _put(array: Array, blobs: Blobs) -> messages.ArrayBlob:
    ref, data = content.array_blob_of(array)
    blobs.put(data)
    return ref


def _perception(on_step: OnPhase, *, depth: str, segments: str = models.AUTO) -> Perception:
    """The models that were asked for; a network that is not needed is not loaded."""
    _loaded.before_load = lambda: on_step(LOADING, 0, 1)
    far = models.depth_model(depth, _resources, _loaded)
    parts = models.segment_model(segments, _resources, _loaded)
    return Perception(
        depth=far.model,
        segments=parts.model,
        cache=None if _resources.cache is None else ResultCache(_resources.cache),
        notes=(*far.notes, *parts.notes),
    )


def _engine(name: str, on_step: OnPhase) -> Engine:
    if name not in _engines:
        on_step(LOADING, 0, 1)
        _engines[name] = registry.load(name, _resources)
    return _engines[name]
