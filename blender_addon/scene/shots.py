"""The shot as the scene holds it."""

from __future__ import annotations

from typing import Any

from bpy.types import Collection, Object, Scene

from ..core import shot as core_shot
from ..core.shot import Picked, RenderSettings
from ..link.wire import ShotError, messages, rules
from . import camera, flattening, instance_removal, lifts, point_checks, sampling


def read(
    scene: Scene,
    settings: RenderSettings,
    count: int,
    limits: messages.Limits,
    *,
    may_play: bool = True,
) -> tuple[messages.ShotMessage, dict[str, bytes]]:
    """Sample the scene at ``count`` times and build the shot with its blobs.

    Args:
        scene: the artist's.
        settings: how it shall be rendered.
        count: how many samples.
        limits: what the backend takes.
        may_play: whether the scene may be played, which takes as long as it takes, where handles or
            camera depend on what nothing else shows.

    Raises:
        ShotError: something that the artist can mend; the first such thing.
    """
    collection = lifts.active(scene)
    lift = collection.levitor
    if settings.frame_end < settings.frame_start:
        raise ShotError(
            "frame_range",
            f"The scene runs from frame {settings.frame_start} to {settings.frame_end}.",
            "Set the end frame later than the start frame.",
        )
    eye = scene.camera
    if eye is None or eye.type != "CAMERA":
        raise ShotError(
            "camera", "The scene has no active camera.", "Make the lift's camera active."
        )
    if eye.data.type != "PERSP":
        raise ShotError(
            "camera",
            f"The camera '{eye.name}' is not a perspective camera.",
            "Use Reset Camera, or change its type in the camera settings.",
        )
    photo = lifts.photo_of(collection)
    if (wrong := camera.pixel_aspect(scene, photo)) is not None:
        raise wrong
    _one_camera(scene, eye, settings)
    if found := instance_removal.copies(scene):
        raise instance_removal.refusal(found)
    background, clouds = lifts.clouds_of(scene, collection)
    point_checks.check(scene, collection, [background, *clouds])
    handles = [item.handle for item in lift.instances]
    times = core_shot.frame_times(settings.frame_start, settings.frame_end, count)
    matrices, views, lenses = sampling.sample(scene, handles, eye, times, may_play=may_play)
    picked = [
        Picked(
            name=item.name,
            moving=item.moving,
            rest=lifts.rest_of(item.handle),
            cloud=flattening.with_relief(item.points, points),
            matrices=matrices[:, n],
            flatten=flattening.flatten_of(item.points),
            thickness=flattening.typed(item.thickness),
        )
        for n, (item, points) in enumerate(zip(lift.instances, clouds, strict=True))
    ]
    for item in picked:
        if not item.moving and (sample := core_shot.strayed(item)) is not None:
            raise ShotError(
                "static_moves",
                f"'{item.name}' is set to stay, but its handle is not at rest "
                f"at frame {times[sample]:g}.",
                "Switch Moving on, or use Reset Handle, which clears its keys as well.",
            )
    shot, blobs = core_shot.build(photo, background, picked, views, lenses, settings)
    if found := rules.problems(shot, limits):
        raise found[0]
    return shot, blobs


_latest: list[tuple[Any, tuple[messages.Scene, dict[str, bytes]]]] = []


def scene_of(scene: Scene, collection: Collection) -> tuple[messages.Scene, dict[str, bytes]]:
    """The scene message of a lift and its blobs; kept until another lift or instance is made,
    or the field of view or the scene is changed.

    Raises:
        ShotError: an object or some of its points are gone.
    """
    lift = collection.levitor
    lifts.present(scene, collection)
    meshes = [lift.background.data, *(item.points.data for item in lift.instances)]
    # Undo brings an earlier mesh back under its earlier number.
    state = (
        lift.uid,
        lifts.shape_of(collection),
        [(mesh.session_uid, len(mesh.vertices)) for mesh in meshes],
    )
    if not _latest or _latest[0][0] != state:
        background, instances = lifts.clouds_of(scene, collection)
        whole = [
            flattening.with_relief(item.points, points)
            for item, points in zip(lift.instances, instances, strict=True)
        ]
        found = core_shot.scene_of(lifts.photo_of(collection), [background, *whole])
        _latest[:] = [(state, found)]
    return _latest[0][1]


def _one_camera(scene: Scene, eye: Object, settings: RenderSettings) -> None:
    """A shot has one camera; markers may bind others, which Blender switches to on their frames."""
    bound = sorted((m for m in scene.timeline_markers if m.camera), key=lambda m: m.frame)
    begun = [m for m in bound if m.frame <= settings.frame_start][-1:]
    for marker in [
        *begun,
        *(m for m in bound if settings.frame_start < m.frame <= settings.frame_end),
    ]:
        if marker.camera != eye:
            raise ShotError(
                "camera",
                f"The marker '{marker.name}' at frame {marker.frame} switches to the camera "
                f"'{marker.camera.name}', but a shot has one camera, '{eye.name}'.",
                "Delete the marker, or unbind its camera.",
            )
