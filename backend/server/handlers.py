"""The job handlers of a worker: run a request in the session, store blobs, return the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor

from backend import convert
from backend.control.preview import mean_points_per_frame
from backend.pipeline import OnPhase
from backend.session import Session, video_length
from protocol import content, messages
from protocol.arrays import Array
from protocol.rates import frame_rate

PICTURE_INTERVAL_SECONDS = 1.0
"""Minimum interval of preview pictures during a render; each one synchronises the device."""


class BlobAccess(Protocol):
    """The blob store of a job."""

    def get(self, sha256: str) -> bytes:
        """The bytes of a blob."""
        ...

    def put(self, data: bytes) -> None:
        """Store bytes under their hash."""
        ...


def run(
    session: Session,
    message: messages.LiftRequest
    | messages.SegmentRequest
    | messages.RenderRequest
    | messages.PreviewRequest,
    *,
    job: str,
    blobs: BlobAccess,
    on_step: OnPhase,
) -> messages.Lifted | messages.Segmented | messages.Rendered | messages.Previewed:
    """Run one job.

    Raises:
        ShotError: the user can fix it.
        Cancelled: raised by ``on_step``.
    """
    match message:
        case messages.LiftRequest():
            return _lift(session, message, job, blobs, on_step)
        case messages.SegmentRequest():
            return _segment(session, message, job, blobs, on_step)
        case messages.RenderRequest():
            return _render(session, message.shot, job, blobs, on_step)
        case messages.PreviewRequest():
            return _preview(session, message, job, blobs, on_step)


def _lift(
    session: Session,
    message: messages.LiftRequest,
    job: str,
    blobs: BlobAccess,
    on_step: OnPhase,
) -> messages.Lifted:
    """Lift: photo file -> scene."""
    pixels, lifted = session.lift_photo(message, blobs.get, on_step)
    return messages.Lifted(
        job=job,
        scene=messages.Scene(
            image=_put_array(pixels, blobs),
            depth=_put_array(lifted.lift.depth.numpy(), blobs),
            intrinsics=lifted.lift.camera.intrinsics.numpy(),
            near=lifted.lift.near,
            far=lifted.lift.far,
            kind=lifted.lift.kind,
        ),
        segments=_put_array(lifted.segments, blobs),
        depth_model=lifted.depth_model,
        segment_model=lifted.segment_model,
        upright=lifted.upright,
        notes=lifted.notes,
        horizontal_fov=lifted.horizontal_fov,
        fov_source=lifted.fov_source,
    )


def _segment(
    session: Session,
    message: messages.SegmentRequest,
    job: str,
    blobs: BlobAccess,
    on_step: OnPhase,
) -> messages.Segmented:
    """Segment: clicks -> masks."""
    found = session.segment(message, blobs.get, on_step)
    masks = tuple(_put_array(mask.astype(np.uint8), blobs) for mask in found.masks)
    pairs = zip(found.masks, found.depths, strict=True)
    return messages.Segmented(
        job=job,
        mask=masks[0],
        depth=_put_array(found.depths[0], blobs),
        segment_model=found.model,
        notes=found.notes,
        candidates=masks,
        scores=tuple(float(score) for score in found.scores),
        depths=tuple(_put_array(depth[mask], blobs) for mask, depth in pairs),
        logits=()
        if found.logits is None
        else tuple(_put_array(one, blobs) for one in found.logits),
    )


def _render(
    session: Session, shot: messages.ShotMessage, job: str, blobs: BlobAccess, on_step: OnPhase
) -> messages.Rendered:
    """Render: shot -> video and its numbers, with preview pictures if the engine makes them."""
    decoded_at, picture = 0.0, None

    def on_preview(make: Callable[[], Tensor]) -> None:
        nonlocal decoded_at, picture
        if time.monotonic() - decoded_at >= PICTURE_INTERVAL_SECONDS:
            decoded_at, picture = time.monotonic(), convert.picture_of(make())

    def on_phase(phase: str, done: int, total: int) -> None:
        nonlocal picture
        shown, picture = picture, None
        on_step(phase, done, total, *(() if shown is None else (shown,)))

    video, take = session.render_video(shot, blobs.get, on_phase, on_preview)
    blobs.put(video)
    obedience, unmeasured = session.measure(shot, blobs.get, take, on_phase)
    height, width = take.frames.shape[-2:]
    return messages.Rendered(
        job=job,
        video=content.blob_of(video, "video/mp4"),
        frames=video_length(shot),
        height=height,
        width=width,
        fps=float(frame_rate(shot.fps)),
        engine=shot.engine,
        seed=shot.seed,
        shot=content.shot_hash(shot),
        options=dict(take.options),
        notes=(*take.notes, *unmeasured),
        shown=take.shown,
        obedience=obedience,
    )


def _preview(
    session: Session,
    message: messages.PreviewRequest,
    job: str,
    blobs: BlobAccess,
    on_step: OnPhase,
) -> messages.Previewed:
    """Preview: shot -> video of its control."""
    video, shown, notes = session.preview_video(message, blobs.get, on_step)
    blobs.put(video)
    _, _, height, width = shown.shape
    return messages.Previewed(
        job=job,
        video=content.blob_of(video, "video/mp4"),
        frames=video_length(message.shot),
        height=height,
        width=width,
        fps=float(frame_rate(message.shot.fps)),
        shot=content.shot_hash(message.shot),
        points=mean_points_per_frame(shown),
        notes=notes,
    )


def _put_array(array: Array, blobs: BlobAccess) -> messages.ArrayBlob:
    ref, data = content.array_blob_of(array)
    blobs.put(data)
    return ref
