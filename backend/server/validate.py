"""What is checked before a job is queued. Imports no torch: a refusal costs milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from protocol import ProtocolError, ShotError, arrays, content, messages, rules
from protocol.messages import ArrayBlob, Blob, EngineInfo, EngineOption, Limits

from .blobs import Blobs

Reference = Blob | ArrayBlob


def refusal(
    message: Any, *, engines: Sequence[EngineInfo], limits: Limits, blobs: Blobs
) -> messages.Error | None:
    """Why ``message`` cannot become a job, or None."""
    try:
        match message:
            case messages.Submit(shot=shot):
                _check_shot(shot, engines, limits)
            case messages.Segment():
                _check_scene(message.scene, limits)
            case _:
                pass  # a photo's own numbers are judged where it is decoded, in the worker
        return _missing(_references(message), limits, blobs)
    except ProtocolError as error:
        return messages.Error(code=error.code, sentence=error.sentence)
    except ShotError as error:
        return messages.Error(code=error.code, sentence=error.sentence, fix=error.fix)


def _references(message: Any) -> tuple[Reference, ...]:
    match message:
        case messages.Submit(shot=shot):
            return content.blobs_of(shot)
        case messages.Segment(scene=scene, mask=mask):
            return (scene.image, scene.depth, *((mask,) if mask else ()))
        case messages.Lift(image=image, depth=depth):
            return (image, *((depth.file,) if depth else ()))
        case _:
            return ()


def _missing(
    references: Iterable[Reference], limits: Limits, blobs: Blobs
) -> messages.Error | None:
    absent: list[str] = []
    for reference in references:
        have = blobs.size(reference.sha256)  # refuses what is no hash
        if reference.size > limits.blob_bytes:
            raise _too_large("A file", reference.size, limits.blob_bytes, "bytes")
        if have is None:
            absent.append(reference.sha256)
        elif have != reference.size:
            raise ShotError(
                "field",
                f"A file is said to have {reference.size} bytes, but it has {have}.",
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
    height, width = _plane(scene.image, "uint8", "the scene's image", (3,))
    if _plane(scene.depth, "float32", "the scene's depth") != (height, width):
        raise ProtocolError("field", "the scene's image and depth have different sizes.")
    if height * width > limits.pixels:
        raise _too_large("The photo", height * width, limits.pixels, "pixels")


def _plane(
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


def _check_shot(shot: messages.Shot, engines: Sequence[EngineInfo], limits: Limits) -> None:
    for problem in rules.problems(shot, limits):
        raise problem
    _check_scene(shot.scene, limits)
    _plane(shot.instance_map, "int32", "the instance map")
    frames = len(shot.camera_from_world)
    engine = next((one for one in engines if one.name == shot.engine), None)
    if engine is None:
        raise ShotError(
            "engine",
            f"This server has no engine '{shot.engine[:40]}'.",
            f"Choose one of: {', '.join(one.name for one in engines) or 'none'}.",
        )
    if engine.num_frames and frames != engine.num_frames:
        raise ShotError(
            "frames",
            f"The engine '{engine.name}' makes {engine.num_frames} frames, the shot has {frames}.",
            f"Sample the shot in {engine.num_frames} frames.",
        )
    options = {option.name: option for option in engine.options}
    for name, value in shot.options.items():
        if name not in options:
            raise ShotError(
                "option",
                f"The engine '{engine.name}' has no option '{name[:40]}'.",
                f"It has: {', '.join(options) or 'none'}.",
            )
        _check_option(options[name], value)


def _check_option(option: EngineOption, value: messages.Scalar) -> None:
    wanted = type(option.default)
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[wanted]
    if not fits:
        raise ShotError(
            "option", f"The option '{option.name}' is {value!r:.60}.", f"Give it {words}."
        )
    if option.choices and value not in option.choices:
        raise ShotError(
            "option",
            f"The option '{option.name}' is {value!r:.60}.",
            f"Choose one of: {', '.join(option.choices)}.",
        )
    if isinstance(value, str | bool):
        return
    low = -float("inf") if option.low is None else option.low
    high = float("inf") if option.high is None else option.high
    if not low <= value <= high:
        raise ShotError(
            "option",
            f"The option '{option.name}' is {value:g}.",
            f"Choose {low:g} to {high:g}.",
        )


def _too_large(what: str, have: int, limit: int, unit: str) -> ShotError:
    return ShotError(
        "too_large", f"{what} has {have} {unit}, the server takes up to {limit}.", "Use less."
    )
