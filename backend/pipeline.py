"""The pipeline: lift, segment, render and preview as functions that only order the calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from backend.contracts import Frames, Lift, RenderedTake, Shot
from backend.control.preview import Look
from backend.control_sources import ShotControl
from backend.engines import registry
from backend.engines.base import Engine, whole_notes
from backend.perception import model_names, pick
from backend.perception.lift import GIVEN, LiftedPhoto, LiftOptions, photo_depth
from backend.perception.perceive import Perception
from backend.pixels import image_from_pixels

Array = npt.NDArray[Any]
OnPhase = Callable[[str, int, int], None]
"""Called with (phase, done, total)."""
OnPreview = Callable[[Callable[[], Tensor]], None]
"""Called with a function that decodes small, rough frames ``(F, 3, h, w)`` in [0, 1] of the take so
far; decoding takes time, so call it only if the frames are shown."""


def lift(
    pixels: Array,
    scale: float,
    depth_map: Array | None,
    options: LiftOptions,
    on_phase: OnPhase,
    perception: Perception,
    key: str = "",
) -> LiftedPhoto:
    """Photo -> camera and depth (given, a network's, or a flat scene), and static segments.

    Args:
        pixels: uint8 (H, W, 3).
        scale: pixels here per pixel of the photo's file, the unit of ``options.focal``.
        depth_map: float32 (H, W), or None.
        options: of the lift.
        on_phase: progress.
        perception: the models.
        key: content hash of ``pixels``; computed if empty.

    Raises:
        ShotError: an option is out of range, or a model failed.
    """
    options.check()
    notes = list(perception.notes)
    on_phase("depth", 0, 2)
    height, width = pixels.shape[:2]
    camera = options.camera(height, width, scale)
    found = photo_depth(pixels, depth_map, options, perception, key, notes.append)
    on_phase("segments", 1, 2)
    segments = perception.static_segments(pixels, key)
    on_phase("segments", 2, 2)
    return LiftedPhoto(
        lift=Lift(
            image=image_from_pixels(pixels),
            depth=found.depth,
            camera=camera,
            near=options.near,
            far=options.far,
            kind=found.kind,
        ),
        segments=segments,
        depth_model=found.model,
        segment_model=perception.segments.automatic_name,
        upright=bool(found.kind),
        fov_source=options.fov_source if options.focal is None else GIVEN,
        notes=tuple(notes),
    )


def segment(
    pixels: Array,
    depth: Array,
    points: Array,
    positive: Array,
    box: Sequence[float] | None,
    mask: Array | None,
    upright: pick.UprightScene | None,
    perception: Perception,
    key: str = "",
    previous: Array | None = None,
) -> pick.Picks:
    """Clicks, box or mask -> candidate masks, with the depth of each.

    Masks of a network are refined by colour; a given mask is used as it is. Candidates that are
    empty, full or equal to a better one are dropped.

    Raises:
        ShotError: no candidate is left, or the prompt is invalid.
    """
    notes = list(perception.notes)
    if mask is None:
        model = perception.segments.name
        found = pick.candidates(
            pixels, points, positive, box, previous, perception, key, notes.append
        )
    else:
        model, found = model_names.GIVEN_MASK, pick.given_mask(mask)
    masks, kept = pick.valid_masks(pixels, found)
    return pick.Picks(
        masks=masks,
        depths=tuple(pick.instance_depth(depth, one, upright) for one in masks),
        scores=found.scores[kept],
        logits=None if found.logits is None else found.logits[kept],
        model=model,
        notes=tuple(notes),
    )


def render(
    shot: Shot, engine: Engine, on_phase: OnPhase, on_preview: OnPreview = lambda make: None
) -> RenderedTake:
    """Shot -> control -> control signal -> frames of the take."""
    signals = registry.signals(engine.spec.name)
    options = engine.spec.options_of(shot)
    control = ShotControl(shot, lambda done, total: on_phase("control", done, total))
    signal = signals.encode(control, options)
    # Before sampling, so that nothing can fail after it
    notes = whole_notes(lambda: signals.notes(control, options), f"engine {engine.spec.name}")
    shown = signals.shown(control, options)

    def on_step(done: int, total: int, *, preview: Any = None, phase: str = "") -> None:
        if preview is not None:
            on_preview(preview)
        on_phase(phase or engine.spec.name, done, total)

    frames = engine.sample(shot.lift.image, signal, options, shot.seed, on_step)
    return RenderedTake(frames=frames, options=options, shown=shown, notes=notes)


def preview(shot: Shot, over: str, look: Look, on_phase: OnPhase) -> Frames:
    """Shot -> control -> frames that show the engine's control signal; needs no weights.

    Args:
        shot: the shot, with its engine and that engine's options.
        over: ``photo`` or ``draft``, the image under the control.
        look: what is shown; ``under`` is set here.
        on_phase: progress.

    Raises:
        ShotError: the engine cannot encode the shot.
    """
    signals = registry.signals(shot.engine)
    options = registry.spec_of(shot.engine).options_of(shot)
    control = ShotControl(shot, lambda done, total: on_phase("control", done, total))
    signal = signals.encode(control, options)
    under = shot.lift.image
    if over == "draft":
        draft = control.draft()
        frames = []
        for index in range(len(draft)):
            frames.append(draft[index].rgb)
            on_phase("draft", index + 1, len(draft))
        under = torch.stack(frames)
    return signals.show(control, signal, replace(look, under=under))
