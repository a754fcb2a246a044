"""The arrows of the design as short functions: the order of the calls, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backend.contracts import Camera, Frames, Lift, Shot, Take
from backend.control.preview import Look
from backend.control_sources import ShotControl
from backend.engines import registry
from backend.engines.base import Engine, EngineSpec, Scalar, whole_notes
from backend.geometry.camera import (
    DEFAULT_FOV,
    fov_from_focal,
    intrinsics_from_focal,
    intrinsics_from_fov,
    scaled_intrinsics,
)
from backend.geometry.lift import depth_from_disparity, depth_from_map
from backend.perception import classical, mask_refinement, model_names, scene_kind
from backend.perception.base import Candidates
from backend.perception.perceive import Perception, valid_masks
from backend.pixels import image_from_pixels
from protocol import flat_scene
from protocol.errors import ShotError

Array = npt.NDArray[Any]
OnPhase = Callable[[str, int, int], None]
"""Called with (phase, done, total)."""
OnPreview = Callable[[Callable[[], Tensor]], None]
"""Handed something that makes ``(F, 3, h, w)`` frames in [0, 1] of the take so far, small and
rough; making them costs a little, so it is only called where somebody looks."""

BY_DEFAULT, GIVEN = "default", "given"
"""How a field of view is known, beside what a photo's file says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftOptions:
    """What the artist says of her photo; see ``protocol.messages.LiftRequest``.

    Attributes:
        horizontal_fov: degrees.
        fov_source: how it is known, for the artist.
        depth_size: pixels of the shorter side that a depth network looks at.
        clean_edges: whether what hangs between a thing and what lies behind it is pulled to one of
            them.
        scene_kind: ground, backdrop or auto, where nothing gives the depth.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """A lifted photo and who made what of it.

    Attributes:
        lift: photo, depth and camera.
        segments: int32 (H, W) automatic static segments.
        upright: the depth knows no objects, so a picked instance should stand upright.
        fov_source: how the camera's field of view is known.
        notes: what the artist should know of it, a sentence each.
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
class Picks:
    """What clicks may have meant: C candidates, best first.

    Attributes:
        masks: (H, W) bool each.
        depths: (H, W) float32 each, with the instance's own depth where its mask is.
        scores: (C,) float32.
        logits: (C, h, w) float32, to be refined; ``None`` where the model has none.
        model: what made the masks.
        notes: what the artist should know, a sentence each.
    """

    masks: tuple[Array, ...]
    depths: tuple[Array, ...]
    scores: Array
    logits: Array | None
    model: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The scene that what was picked stands upright in: its kind and the range of its depth."""

    kind: str
    near: float
    far: float


def lift(
    pixels: Array,
    scale: float,
    depth_map: Array | None,
    options: LiftOptions,
    on_phase: OnPhase,
    perception: Perception,
    key: str = "",
) -> Lifted:
    """Photo -> camera and depth (given, a network's, or a flat scene), and static segments.

    Args:
        pixels: uint8 (H, W, 3).
        scale: pixels here per pixel of the photo on disk, which ``options.focal`` is in.
        depth_map: float32 (H, W), or None.
        options: what the artist says.
        on_phase: progress.
        perception: the models that look at the photo.
        key: content hash of ``pixels``, where it is known.

    Raises:
        ShotError: an option makes no sense, or a model cannot.
    """
    height, width = pixels.shape[:2]
    _check(options)
    notes = list(perception.notes)
    on_phase("depth", 0, 2)
    if options.focal is None:
        intrinsics = intrinsics_from_fov(options.horizontal_fov, height, width)
    else:
        fx, fy, cx, cy = options.focal
        intrinsics = scaled_intrinsics(intrinsics_from_focal(fx, fy, cx, cy), scale, scale)
    kind: flat_scene.SceneKind | Literal[""] = ""
    if depth_map is not None:
        depth, depth_model = _given_depth(depth_map, options), model_names.GIVEN_DEPTH
    elif perception.depth is not None:
        disparity = perception.disparity(
            pixels, key, options.depth_size, options.clean_edges, notes.append
        )
        depth = depth_from_disparity(torch.from_numpy(disparity), options.near, options.far)
        depth_model = perception.depth.name
    else:
        kind = _scene_kind(pixels, options, notes.append)
        rows = classical.flat_depth(kind, height, width, options.horizon, options.near, options.far)
        depth = torch.from_numpy(rows)
        depth_model = model_names.RAMP if kind == flat_scene.GROUND else model_names.BACKDROP
    if not kind and options.scene_kind == flat_scene.BACKDROP:
        notes.append(f"Scene: Backdrop does not apply, since the depth is from {depth_model}.")
    on_phase("segments", 1, 2)
    segments = perception.static_segments(pixels, key)
    on_phase("segments", 2, 2)
    return Lifted(
        lift=Lift(
            image=image_from_pixels(pixels),
            depth=depth,
            camera=Camera(intrinsics=intrinsics, height=height, width=width),
            near=options.near,
            far=options.far,
            kind=kind,
        ),
        segments=segments,
        depth_model=depth_model,
        segment_model=perception.segments.automatic_name,
        upright=bool(kind),
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
    standing: Standing | None,
    perception: Perception,
    key: str = "",
    previous: Array | None = None,
) -> Picks:
    """Clicks, box or mask -> what they may mean, with the instance's own depth under it.

    A network's masks follow the photo's colours along their outlines; a given one stays as it is.
    Candidates that are empty, everything, or like a better one are left out.

    Raises:
        ShotError: nothing is left, or the clicks make no sense.
    """
    model, notes = model_names.GIVEN_MASK, list(perception.notes)
    if mask is None:
        model = perception.segments.name
        embedding = perception.segments.encode(pixels, key)
        found = perception.segments.segment(embedding, points, positive, box, previous)
        if previous is not None and found.logits is None:
            notes.append(f"{model} cannot refine a mask; it looked at all clicks anew.")
    else:
        found = Candidates(masks=mask[None], scores=np.ones(1, np.float32), logits=None)
    masks, kept = valid_masks(pixels, found)
    band = mask_refinement.depth_band(*depth.shape)
    return Picks(
        masks=masks,
        depths=tuple(
            mask_refinement.clean_instance_depth(depth, one, band)
            if standing is None
            else classical.stand_upright(depth, one, standing.kind, standing.near, standing.far)
            for one in masks
        ),
        scores=found.scores[kept],
        logits=None if found.logits is None else found.logits[kept],
        model=model,
        notes=tuple(notes),
    )


def render(
    shot: Shot, engine: Engine, on_phase: OnPhase, on_preview: OnPreview = lambda make: None
) -> Take:
    """Shot -> control -> the engine's signal -> frames."""
    signals = registry.signals(engine.spec.name)
    options = _judged(engine.spec, shot)
    control = ShotControl(shot, lambda done, total: on_phase("control", done, total))
    signal = signals.encode(control, options)
    # Before the long part: nothing comes after it that could fail
    notes = whole_notes(lambda: signals.notes(control, options), f"engine {engine.spec.name}")
    shown = signals.shown(control, options)

    def on_step(done: int, total: int, *, preview: Any = None, phase: str = "") -> None:
        if preview is not None:
            on_preview(preview)
        on_phase(phase or engine.spec.name, done, total)

    frames = engine.sample(shot.lift.image, signal, options, shot.seed, on_step)
    return Take(frames=frames, options=options, shown=shown, notes=notes)


def preview(shot: Shot, over: str, look: Look, on_phase: OnPhase) -> Frames:
    """Shot -> control -> what its engine is told, drawn by that engine; needs no weights.

    Args:
        shot: the shot, with its engine and that engine's options.
        over: ``photo`` or ``draft``, what lies under the control.
        look: what is shown; ``under`` is filled in here.
        on_phase: progress.

    Raises:
        ShotError: the engine cannot be told that.
    """
    signals = registry.signals(shot.engine)
    options = _judged(registry.spec_of(shot.engine), shot)
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


def _judged(spec: EngineSpec, shot: Shot) -> dict[str, Scalar]:
    """All options of the shot's engine; a server asks the same before a shot gets here.

    Raises:
        ShotError: it does not make so many frames, or an option cannot be.
    """
    if (wrong := spec.frames.refusal(spec.name, shot.motion.num_frames)) is not None:
        raise wrong
    moving = shot.motion.moved_from_rest.shape[1]
    return spec.completed(shot.options, {*range(1, moving + 1), *shot.static})


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
    pixels: Array, options: LiftOptions, note: Callable[[str], None]
) -> flat_scene.SceneKind:
    if options.scene_kind == flat_scene.AUTO:
        found = scene_kind.choose(pixels)
        note(found.sentence)
        return found.kind
    return flat_scene.GROUND if options.scene_kind == flat_scene.GROUND else flat_scene.BACKDROP


def _check(options: LiftOptions) -> None:
    if not 1.0 <= options.horizontal_fov <= 175.0:
        raise ShotError(
            "fov",
            f"A field of view of {options.horizontal_fov:g} degrees is not between 1 and 175.",
            "Ordinary lenses have 20 to 90.",
        )
    if options.focal is not None and not (
        len(options.focal) == 4 and options.focal[0] > 0 and options.focal[1] > 0
    ):
        raise ShotError(
            "focal",
            f"The focal lengths {options.focal} are not fx > 0, fy > 0, cx, cy in pixels.",
            "Give these four numbers, or a field of view instead.",
        )
    if not 0 < options.near < options.far:
        raise ShotError(
            "depth_range",
            f"Near {options.near:g} and far {options.far:g} are not 0 < near < far.",
            "Set near below far.",
        )
    try:
        flat_scene.check_horizon(options.horizon)
    except ValueError as error:
        raise ShotError(
            "horizon",
            f"{str(error).capitalize()}.",
            "0 is the top of the photo, 0.5 its middle.",
        ) from error
