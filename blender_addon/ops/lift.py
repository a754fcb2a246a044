"""Lift a photo: read its file, send it, place the point cloud and its camera."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..core import photo_cloud
from ..core.shot import PhotoCamera
from ..link import pump
from ..link.pump import ResultHandler
from ..link.wire import ShotError, content, flat_scene, messages, photo_formats
from ..scene import files, ground_backdrop, horizon_line, lifts, viewport
from ..scene.lifts import Asked
from .common import Outcome, connect_lazily, fill_from_scene, reported

_SETTINGS = (
    "scene_kind",
    "horizon",
    "near",
    "far",
    "depth_path",
    "nearer_is_larger",
    "depth_model",
    "segment_model",
    "depth_size",
    "clean_edges",
    "max_side",
)

FARTHEST = 1e6
"""Beyond it the 32-bit coordinates of points are coarser than 0.06."""


class LEVITOR_OT_lift(Operator):
    """Lift the photo into a coloured point cloud, with the camera that took it"""

    bl_idname = "levitor.lift"
    bl_label = "Lift Photo"
    bl_options = {"REGISTER"}  # No UNDO: it sends; an undo step is made when the cloud is placed

    filepath: StringProperty(
        name="Photo",
        description="Photo to lift; empty takes the scene's",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    horizontal_fov: FloatProperty(
        name="Field Of View",
        description="Horizontal field of view of the photo in degrees; 0 takes it from its file",
        default=0.0,
        options={"SKIP_SAVE"},
    )
    scene_kind: EnumProperty(
        name="Scene",
        description="What all that will not be picked is, where no model and no map gives depth",
        items=ground_backdrop.CHOICES,
        options={"SKIP_SAVE"},
    )
    horizon: FloatProperty(
        name="Horizon",
        description="Height of the horizon, from 0 at the top of the photo to 1 at the bottom",
        default=0.35,
        options={"SKIP_SAVE"},
    )
    near: FloatProperty(
        name="Near",
        description="Distance of the nearest points",
        default=2.0,
        options={"SKIP_SAVE"},
    )
    far: FloatProperty(
        name="Far",
        description="Distance of the farthest points",
        default=20.0,
        options={"SKIP_SAVE"},
    )
    depth_path: StringProperty(
        name="Depth Map",
        description=f"Depth map to use instead of the backend's: {photo_formats.DEPTH_MAP_WORDS}",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    nearer_is_larger: BoolProperty(
        name="Nearer Is Larger",
        description="Whether larger values of the depth map are nearer",
        default=True,
        options={"SKIP_SAVE"},
    )
    depth_model: StringProperty(
        name="Depth Model",
        description="What makes the depth: auto, offline, or a name that the backend lists",
        default="auto",
        options={"SKIP_SAVE"},
    )
    segment_model: StringProperty(
        name="Segment Model",
        description="What finds automatic segments: auto, offline, or a name the backend lists",
        default="auto",
        options={"SKIP_SAVE"},
    )
    depth_size: IntProperty(
        name="Depth Size",
        description="Pixels of the shorter side that a depth network looks at",
        default=518,
        options={"SKIP_SAVE"},
    )
    clean_edges: BoolProperty(
        name="Clean Edges",
        description="Leave no points hanging between a thing and what lies behind it",
        default=True,
        options={"SKIP_SAVE"},
    )
    max_side: IntProperty(
        name="Longest Side",
        description="A longer photo is scaled down to this many pixels",
        default=1280,
        options={"SKIP_SAVE"},
    )
    wait: FloatProperty(
        name="Wait",
        description="Seconds to wait for the cloud; 0 returns at once",
        min=0.0,
        options={"HIDDEN", "SKIP_SAVE"},  # for scripts
    )

    filter_glob: StringProperty(default=photo_formats.PHOTO_GLOB, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Take what was not given from the scene; ask for a photo where there is none."""
        settings = context.scene.levitor
        _fill(self, settings)  # for the file browser, which shows them
        if self.filepath or settings.photo:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Context) -> Outcome:
        """Send the photo, with what was not given from the scene; with a wait, place its cloud."""
        return reported(self, lambda: self._lift(context))

    def _lift(self, context: Context) -> str | None:
        link, scene = pump.link(), context.scene
        _fill(self, scene.levitor)
        photo = self.filepath or scene.levitor.photo
        if not photo:
            raise ShotError("no_photo", "No photo is chosen.", "Choose one in the Photo field.")
        if not 0 < self.near < self.far <= FARTHEST:
            raise ShotError(
                "depth_range",
                f"Near {self.near:g} and far {self.far:g} are not 0 < near < far <= {FARTHEST:g}.",
                "Make the near distance smaller than the far distance.",
            )
        limit = link.limits.blob_bytes
        data, media, path = files.read(photo, "photo", limit)
        image = content.blob_of(data, media)
        blobs, depth = {image.sha256: data}, None
        if self.depth_path:
            data, media, _ = files.read(self.depth_path, "depth map", limit)
            depth = messages.DepthMapFile(
                file=content.blob_of(data, media), nearer_is_larger=self.nearer_is_larger
            )
            blobs[depth.file.sha256] = data
        connect_lazily(context)
        message = messages.LiftRequest(
            image=image,
            horizontal_fov=self.horizontal_fov,
            horizon=self.horizon,
            near=self.near,
            far=self.far,
            depth=depth,
            max_side=self.max_side,
            depth_model=self.depth_model,
            segment_model=self.segment_model,
            depth_size=self.depth_size,
            clean_edges=self.clean_edges,
            scene_kind=self.scene_kind.lower(),
        )
        handler = ResultHandler(
            kind="lift",
            label=path.name,
            subject=str(path),
            place=partial(
                _place, asked=Asked.in_scene(scene), path=path, given=photo, wanted=message
            ),
        )
        task = link.start(message, blobs, handler)
        if not self.wait:
            return None
        said = link.wait(task, self.wait)
        lift = lifts.active(scene).levitor
        return f"Lifted {path.name}: {lift.width} x {lift.height} points. {said}".strip()


def _fill(operator: Operator, settings: Any) -> None:
    fill_from_scene(operator, settings, _SETTINGS)
    if not operator.properties.is_property_set("horizontal_fov") and not settings.fov_from_photo:
        operator.horizontal_fov = settings.horizontal_fov


def _place(
    result: messages.Lifted,
    blobs: Mapping[str, bytes],
    *,
    asked: Asked,
    path: Path,
    given: str,
    wanted: messages.LiftRequest,
) -> str:
    scene = asked.itself()
    if scene is None:
        raise ShotError(
            "no_scene", f"The scene '{asked.name}' is gone.", "Lift the photo again in another one."
        )
    image, depth, segments = (
        content.array_of(ref, blobs[ref.sha256])
        for ref in (result.scene.image, result.scene.depth, result.segments)
    )
    height, width = depth.shape
    photo = PhotoCamera(
        height=height,
        width=width,
        intrinsics=result.scene.intrinsics,
        near=result.scene.near,
        far=result.scene.far,
        kind=_kind(result),
        horizon=horizon_line.typed(wanted.horizon),
    )
    facts = {
        "uid": uuid.uuid4().hex,
        "photo": files.stored(path, given),
        "depth_model": result.depth_model,
        "segment_model": result.segment_model,
        "fov_source": result.fov_source,
        "upright": result.upright,
        "notes": "\n".join((*result.notes, *_older(result, wanted))),
    }
    points = photo_cloud.cloud_of(image, depth, segments, photo.intrinsics)
    lifts.place(scene, path.stem, photo, points, facts)
    scene.levitor.photo = files.stored(path, given)
    said = viewport.look_through(scene)
    bpy.ops.ed.undo_push(message="Lift Photo")
    return said


def _kind(result: messages.Lifted) -> Literal["", "ground", "backdrop"]:
    # Before protocol 1.2 a reply has no kind; the only upright scene was a ground
    return result.scene.kind or ("ground" if result.upright else "")


def _older(result: messages.Lifted, wanted: messages.LiftRequest) -> list[str]:
    if not result.upright or result.scene.kind or wanted.scene_kind == flat_scene.GROUND:
        return []
    return [
        f"{ground_backdrop.NOTE}The backend is older and knows a ground only. To have a "
        "backdrop, change Scene now."
    ]
