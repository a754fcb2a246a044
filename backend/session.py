"""The session of a process: its loaded engines and models, and a method for each kind of job."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backend import contracts, convert, device, pipeline
from backend.cancelled import Cancelled
from backend.control import scene_occlusion
from backend.control.preview import Look, mean_points_per_frame
from backend.convert import GetBlob
from backend.engines import base, registry
from backend.engines.base import LOADING, Engine, whole_notes
from backend.evaluation.measured_take import obedience_of
from backend.files.video import encode_video
from backend.geometry.camera import DEFAULT_FOV
from backend.images.depth_map import decode_depth_map, fit_depth_map
from backend.images.mask import decode_mask
from backend.images.photo import MIN_SIDE, decode_photo
from backend.perception import model_names
from backend.perception import registry as models
from backend.perception.cache import ResultCache
from backend.perception.lift import BY_DEFAULT, GIVEN, LiftedPhoto, LiftOptions
from backend.perception.perceive import Perception
from backend.perception.pick import Picks, UprightScene
from backend.pipeline import OnPhase, OnPreview
from backend.resources import Resources
from protocol import content, flat_scene, messages
from protocol.arrays import Array
from protocol.errors import ShotError
from protocol.rules import problems

log = logging.getLogger(__name__)

MAX_SIDE = messages.Limits().max_side


class Session:
    """Engines and perception models of one process; runs one job at a time.

    Its methods take the messages of the wire, with blobs by hash; used by the server's workers, the
    command line and the tests.

    Args:
        resources: for the models; the device ``auto`` is resolved.

    Raises:
        ShotError: there is no such device.
    """

    def __init__(self, resources: Resources | None = None) -> None:
        resources = resources or Resources()
        self._resources = replace(resources, device=device.choose(resources.device))
        self._engines: dict[str, Engine] = {}
        self._weights: dict[str, frozenset[str]] = {}
        """By engine, the weights that its jobs have needed since it was made."""
        self._models = models.LoadedModels()

    @property
    def device_label(self) -> str:
        """The device in words."""
        return device.describe(self._resources.device)

    def warm_up(self) -> None:
        """Load the engines that need no weights, so that the first job does not wait for it."""
        for spec in registry.specs():
            if not spec.needs({}):  # with every option at its default
                self.engine(spec.name)

    def is_usable(self) -> bool:
        """Whether this process can run another job; called after a failure."""
        return device.is_usable(self._resources.device)

    def engine(
        self,
        name: str,
        options: Mapping[str, messages.Scalar] | None = None,
        on_step: OnPhase = lambda *step: None,
    ) -> Engine:
        """The engine with that name, loaded at first use.

        A job that needs weights releases the other engines that hold some, since two large networks
        rarely fit. They go once its engine is made: by then it holds what it shares with them,
        which is not loaded again. A job without weights releases none, so that a draft between two
        takes does not unload anything.

        Args:
            name: of the engine.
            options: of the job, which weights may depend on; without them all are at their default.
            on_step: called when the engine, or weights it did not need before, are loaded.

        Raises:
            ShotError: there is no such engine, its weights are missing, or they depend on the
                options and one of these cannot be.
        """
        needs = frozenset(registry.spec_of(name).needs(options or {}))
        engine, held = self._engines.get(name), self._weights.get(name, frozenset())
        if engine is None or not needs <= held:
            on_step(LOADING, 0, 1)
        if engine is None:
            engine = registry.load(name, self._resources)
        if needs:
            self._release_all_but(name)
        self._engines[name], self._weights[name] = engine, held | needs
        return engine

    def _release_all_but(self, name: str) -> None:
        """Let go of the engines that hold weights, other than ``name``."""
        others = [key for key, weights in self._weights.items() if weights and key != name]
        released = {key: self._engines.pop(key) for key in others}
        for key in others:
            del self._weights[key]
        for key, engine in released.items():
            try:
                engine.release()
            except Exception:  # it is forgotten all the same; the job that comes needs the room
                log.exception("engine '%s' failed to release its memory", key)

    def perception(
        self,
        depth: str = models.AUTO,
        segments: str = models.AUTO,
        on_step: OnPhase = lambda *step: None,
    ) -> Perception:
        """The requested models; networks that are not needed are not loaded.

        Args:
            depth: a model's name, or one of the words of ``backend.perception.registry``.
            segments: likewise.
            on_step: called when one is loaded.

        Raises:
            ShotError: the model requested by name cannot be loaded, or is unknown.
        """
        self._models.before_load = lambda: on_step(LOADING, 0, 1)
        far = models.depth_model(depth, self._resources, self._models)
        parts = models.segment_model(segments, self._resources, self._models)
        cache = self._resources.cache
        return Perception(
            depth=far.model,
            segments=parts.model,
            cache=None if cache is None else ResultCache(cache),
            notes=(*far.notes, *parts.notes),
        )

    def lift_photo(
        self, message: messages.LiftRequest, get: GetBlob, on_step: OnPhase
    ) -> tuple[Array, LiftedPhoto]:
        """A photo's pixels, uint8 (H, W, 3), and their lift.

        Raises:
            ShotError: the photo or the depth map cannot be read, an option is out of range, or
                a model failed.
        """
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
            given = fit_depth_map(
                decode_depth_map(get(message.depth.file.sha256)),
                photo,
                message.depth.nearer_is_larger,
            )
            notes += given.notes
            depth_map = given.values
        image, _ = content.array_blob_of(photo.pixels)
        kind = message.scene_kind
        if kind == flat_scene.AUTO and message.depth_model == model_names.RAMP:
            kind = flat_scene.GROUND  # requested by name
        fov, source = message.horizontal_fov, GIVEN
        if fov == 0:
            fov, source = DEFAULT_FOV, BY_DEFAULT
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
            self.perception(
                models.OFFLINE if depth_map is not None else message.depth_model,
                message.segment_model,
                on_step,
            ),
            image.sha256,
        )
        return photo.pixels, replace(lifted, notes=(*notes, *lifted.notes))

    def segment(self, message: messages.SegmentRequest, get: GetBlob, on_step: OnPhase) -> Picks:
        """Candidate masks for clicks, a box or a given mask.

        Raises:
            ShotError: the prompt is invalid, no candidate is left, or a model failed.
        """
        on_step("segment", 0, 1)
        scene = message.scene
        pixels = convert.array(scene.image, get)
        given = None
        if message.mask is not None:
            given = decode_mask(get(message.mask.sha256), *pixels.shape[:2])
        found = pipeline.segment(
            np.array(pixels),
            convert.array(scene.depth, get),
            message.points,
            message.positive,
            message.box,
            given,
            UprightScene(kind=scene.kind, near=scene.near, far=scene.far)
            if message.upright
            else None,
            self.perception(models.OFFLINE, message.segment_model, on_step),
            scene.image.sha256,
            None if message.previous is None else convert.array(message.previous, get),
        )
        on_step("segment", 1, 1)
        return found

    def render_video(
        self,
        shot: messages.ShotMessage,
        get: GetBlob,
        on_step: OnPhase,
        on_preview: OnPreview = lambda make: None,
    ) -> tuple[bytes, contracts.RenderedTake]:
        """The take of a shot as MP4 bytes, and the take itself.

        Raises:
            ShotError: the shot is invalid, or its engine failed.
        """
        check_shot(shot)
        engine = self.engine(shot.engine, shot.options, on_step)
        ours = convert.shot_from_message(shot, get)
        notes = _occlusion_notes(shot, ours)
        take = pipeline.render(ours, engine, on_step, on_preview)
        video = encode_video(
            take.frames, shot.fps, video_length(shot), lambda *step: on_step("video", *step)
        )
        return video, replace(take, notes=(*notes, *take.notes))

    def measure(
        self,
        shot: messages.ShotMessage,
        get: GetBlob,
        take: contracts.RenderedTake,
        on_step: OnPhase,
    ) -> tuple[messages.Obedience | None, tuple[str, ...]]:
        """How well a take obeyed its shot, and notes; whatever fails here does not cost the take.

        None for an engine whose takes are not measured, and where it failed, which a note says.

        Raises:
            Cancelled: raised by ``on_step``.
        """
        if not registry.spec_of(shot.engine).measured or len(take.frames) < 2:
            return None, ()
        try:
            on_step("measure", 0, 1)
            ours = convert.shot_from_message(shot, get)
            return obedience_of(ours, take, lambda *step: on_step("measure", *step)), ()
        except Cancelled:
            raise
        except Exception as error:
            log.exception("a take of '%s' could not be measured", shot.engine)
            return None, (
                "How well this take obeyed its shot could not be measured "
                f"({type(error).__name__}: {error!s:.200}); the take itself is whole.",
            )

    def preview_video(
        self, message: messages.PreviewRequest, get: GetBlob, on_step: OnPhase
    ) -> tuple[bytes, contracts.Frames, tuple[str, ...]]:
        """A shot's control as MP4 bytes, its frames and notes; needs no weights.

        Raises:
            ShotError: the shot is invalid, or its engine cannot encode it.
        """
        shot = message.shot
        check_shot(shot)
        look = Look(masks=message.masks, points=message.points, depth=message.depth)
        ours = convert.shot_from_message(shot, get)
        notes = _occlusion_notes(shot, ours)
        frames = pipeline.preview(ours, message.over, look, on_step)
        if message.points and not mean_points_per_frame(frames):
            label = registry.spec_of(shot.engine).label
            notes += (f"{label} is told no control points; choose another engine to see its own.",)
        video = encode_video(
            frames, shot.fps, video_length(shot), lambda *step: on_step("video", *step)
        )
        return video, frames, notes


def check_shot(shot: messages.ShotMessage) -> None:
    """Refuse what cannot be rendered, as a server does before it queues; needs no blobs or weights.

    Raises:
        ShotError: the shot breaks a rule, there is no such engine, or it cannot be told that.
    """
    if found := problems(shot):
        raise found[0]
    base.check_shot(shot, registry.spec_of(shot.engine).info())


def video_length(shot: messages.ShotMessage) -> int:
    """Frames of the take's video: one per Blender frame of the shot's range."""
    return shot.frame_end - shot.frame_start + 1


def _occlusion_notes(shot: messages.ShotMessage, ours: contracts.Shot) -> tuple[str, ...]:
    """Notes on instances that a ground or backdrop occludes."""
    times = np.linspace(shot.frame_start, shot.frame_end, len(shot.moved_from_rest))
    names = [item.name for item in shot.instances]
    return whole_notes(
        lambda: scene_occlusion.occlusion_notes(ours, names, times.tolist()),
        "occlusion by the scene",
    )
