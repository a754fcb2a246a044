"""Validation of job requests before they are queued. Imports no torch; takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from backend.engines import base
from protocol import ProtocolError, ShotError, arrays, content, messages, rules
from protocol.messages import ArrayBlob, Blob, EngineInfo, Limits, Scalar

from .blobs import BlobStore

MAX_CLICKS = 1000
MAX_CELLS = 1024
"""Along a side of the mask to refine; networks have 256."""
Reference = Blob | ArrayBlob


def validation_error(
    message: Any,
    *,
    engines: Sequence[EngineInfo],
    limits: Limits,
    blobs: BlobStore,
    lacks: Callable[[str, Mapping[str, Scalar]], ShotError | None],
) -> messages.Error | None:
    """The error reply to a request that cannot become a job; None if it can.

    Args:
        lacks: the error for missing weights of an engine, by its name and the options of the
            shot; None if it can run.
    """
    try:
        match message:
            case messages.RenderRequest(shot=shot):
                _check_shot(shot, engines, limits)
                if (lack := lacks(shot.engine, shot.options)) is not None:
                    raise lack
            case messages.PreviewRequest(shot=shot):  # a preview needs no weights
                _check_shot(shot, engines, limits)
            case messages.SegmentRequest():
                _check_scene(message.scene, limits)
                _check_clicks(message)
                _check_previous(message.previous)
            case _:
                pass  # the photo itself is checked where it is decoded, in the worker
        return _missing(_references(message), limits, blobs)
    except ProtocolError as error:
        return messages.Error(
            code=error.code,
            sentence=error.sentence,
            fix="Lift the photo again; if that does not help, update the extension in Blender.",
        )
    except ShotError as error:
        return messages.Error(code=error.code, sentence=error.sentence, fix=error.fix)


def _references(message: Any) -> tuple[Reference, ...]:
    match message:
        case messages.RenderRequest(shot=shot) | messages.PreviewRequest(shot=shot):
            return content.blobs_of(shot)
        case messages.SegmentRequest(scene=scene, mask=mask, previous=previous):
            return (scene.image, scene.depth, *(one for one in (mask, previous) if one))
        case messages.LiftRequest(image=image, depth=depth):
            return (image, *((depth.file,) if depth else ()))
        case _:
            return ()


def _missing(
    references: Iterable[Reference], limits: Limits, blobs: BlobStore
) -> messages.Error | None:
    absent: list[str] = []
    for reference in references:
        have = blobs.size(reference.sha256)  # raises for an invalid hash
        if reference.size > limits.blob_bytes:
            raise _too_large("A file", reference.size, limits.blob_bytes, "bytes")
        if have is None:
            absent.append(reference.sha256)
        elif have != reference.size:
            raise ShotError(
                "field",
                f"A file is said to have {reference.size} bytes, but it has {have}.",
                "Lift the photo again.",
            )
    if not absent:
        return None
    return messages.Error(
        code="missing_blobs",
        sentence=f"{len(absent)} of the files that this needs are not on the server.",
        fix="Upload them and ask again.",
        missing=tuple(dict.fromkeys(absent)),
    )


def _check_scene(scene: messages.Scene, limits: Limits) -> None:
    height, width = _check_array(scene.image, "uint8", "the scene's image", (3,))
    if _check_array(scene.depth, "float32", "the scene's depth") != (height, width):
        raise ProtocolError("field", "the scene's image and depth have different sizes.")
    if height * width > limits.pixels:
        raise _too_large("The photo", height * width, limits.pixels, "pixels")


def _check_array(
    reference: ArrayBlob, dtype: str, name: str, rest: tuple[int, ...] = ()
) -> tuple[int, int]:
    fits = (
        reference.dtype == dtype
        and len(reference.shape) == 2 + len(rest)
        and reference.shape[2:] == rest
        and min(reference.shape) > 0
    )
    if not fits or reference.size != arrays.byte_count(reference.dtype, reference.shape):
        raise ProtocolError(
            "field",
            f"{name} must be {dtype} of shape (H, W{''.join(f', {n}' for n in rest)}); it is"
            f" {reference.dtype[:16]} of shape {reference.shape[:4]} in {reference.size} bytes.",
        )
    return reference.shape[0], reference.shape[1]


def _check_shot(shot: messages.ShotMessage, engines: Sequence[EngineInfo], limits: Limits) -> None:
    for problem in rules.problems(shot, limits):
        raise problem
    _check_scene(shot.scene, limits)
    _check_array(shot.instance_map, "int32", "the instance map")
    base.check_shot(shot, base.find(shot.engine, engines))


def _check_clicks(pick: messages.SegmentRequest) -> None:
    if len(pick.points) > MAX_CLICKS:
        raise ShotError(
            "clicks",
            f"{len(pick.points)} clicks came, the server takes up to {MAX_CLICKS}.",
            "Begin the selection anew, with fewer clicks.",
        )
    if bad := int((~np.isfinite(pick.points)).any(1).sum()):
        raise ShotError(
            "clicks",
            f"{bad} of {len(pick.points)} clicks have no position (it is not a number).",
            "Click again.",
        )
    if pick.box is not None and (len(pick.box) != 4 or not np.isfinite(pick.box).all()):
        raise ShotError(
            "box",
            f"The box has {len(pick.box)} numbers; it needs 4 finite ones: x0, y0, x1, y1.",
            "Draw the box again.",
        )


def _check_previous(logits: ArrayBlob | None) -> None:
    if logits is None:
        return
    fits = logits.dtype == "float32" and len(logits.shape) == 2
    if not fits or not 0 < min(logits.shape) <= max(logits.shape) <= MAX_CELLS:
        raise ShotError(
            "previous",
            f"The mask to refine is {logits.dtype[:16]} of shape {logits.shape[:4]}, not float32 "
            f"of shape (h, w) with up to {MAX_CELLS} a side.",
            "Pick anew instead of extending.",
        )
    if logits.size != arrays.byte_count(logits.dtype, logits.shape):
        raise ShotError(
            "previous",
            f"The mask to refine is said to have {logits.size} bytes, which {logits.shape} float32 "
            "numbers do not fill.",
            "Pick anew instead of extending.",
        )


def _too_large(what: str, have: int, limit: int, unit: str) -> ShotError:
    return ShotError(
        "too_large",
        f"{what} has {have} {unit}, the server takes up to {limit}.",
        "Use a smaller photo.",
    )
