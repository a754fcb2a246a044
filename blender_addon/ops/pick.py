"""Pick something in the photo by clicks, a box or a mask."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, FloatProperty, FloatVectorProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..core import coords, mask_candidates
from ..core.mask_candidates import Box, Click
from ..link import pump
from ..link.pump import ResultHandler
from ..link.wire import ShotError, content, messages
from ..scene import camera, drag_box, files, lifts, linked, pick_overlay, picks, shots, viewport
from .common import NeedsLift, Outcome, connect_lazily, reported

log = logging.getLogger(__name__)

OTHER_MASK = {"TAB": (1, -1), "WHEELDOWNMOUSE": (1, 1), "WHEELUPMOUSE": (-1, -1)}
"""How many masks a key goes on, and how many with Shift; the wheel needs Ctrl."""
LEAVE = {"ESC", "RIGHTMOUSE", "RET", "NUMPAD_ENTER"}
LOOK_SECONDS = 0.2
"""How often picking looks whether it has anything to go on with."""
_ending = False
"""Whether the button was pressed again; the modal ends at its next event."""


class LEVITOR_OT_pick(NeedsLift, Operator):
    """Pick something: click on it or drag a box around it, Alt or Ctrl click on what is not it"""

    bl_idname = "levitor.pick"
    bl_label = "Pick"
    bl_options = {"REGISTER"}  # No UNDO: it sends; an undo step is made when the mask is placed

    x: FloatProperty(
        name="X", description="Pixels from the left edge of the photo", options={"SKIP_SAVE"}
    )
    y: FloatProperty(
        name="Y", description="Pixels from the top edge of the photo", options={"SKIP_SAVE"}
    )
    positive: BoolProperty(
        name="Positive",
        description="Whether the click means the thing picked",
        default=True,
        options={"SKIP_SAVE"},
    )
    box: FloatVectorProperty(
        name="Box",
        description="Box around it: left, top, right, bottom in pixels; all zero is none",
        size=4,
        options={"SKIP_SAVE"},
    )
    mask_path: StringProperty(
        name="Mask",
        description="Image that is bright where the thing is; it replaces the search",
        subtype="FILE_PATH",
        options={"SKIP_SAVE", "PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    extend: BoolProperty(
        name="Extend",
        description="Add to the clicks and the box so far, and refine the mask that is shown",
        default=False,
        options={"SKIP_SAVE"},
    )
    wait: FloatProperty(
        name="Wait",
        description="Seconds to wait for the mask; 0 returns at once",
        min=0.0,
        options={"HIDDEN", "SKIP_SAVE"},  # for scripts
    )

    def execute(self, context: Context) -> Outcome:
        """Send the clicks; with a wait, show the mask."""
        return reported(
            self, lambda: self._pick(context, self._clicks(context), self._asked_box(context))
        )

    def invoke(self, context: Context, event: Event) -> Outcome:
        """With arguments, pick at once; without, wait for clicks in the camera view."""
        given = ("x", "y", "box", "mask_path")
        if any(self.properties.is_property_set(name) for name in given):
            return self.execute(context)
        global _ending
        if picks.is_waiting(context):
            _ending = True
            return {"CANCELLED"}
        try:
            lift = _at_rest(context)
        except ShotError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _ending = False
        self._before, self._begun, self._sent = lift.pick, _state(lift), _NOTHING
        if said := viewport.look_through(context.scene, context.area):
            self.report({"INFO"}, said)
        context.window.cursor_modal_set("EYEDROPPER")
        self._workspace = context.workspace.name
        context.workspace.status_text_set(
            "Click: pick  |  Alt or Ctrl Click: not this  |  Drag: box around it  |  "
            "Tab: another mask  |  Ctrl Z: take the last click back  |  Esc: end"
        )
        self._hud = pick_overlay.PickOverlay(lambda: self._so_far(bpy.context))
        self._drag: drag_box.DragBox | None = None
        self._timer = context.window_manager.event_timer_add(LOOK_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> Outcome:
        """A click in the camera view is a pick; navigation and the sidebar go on as ever."""
        try:
            return self._modal(context, event)
        except Exception as error:
            # Blender would keep calling an operator that it has no way to end.
            log.exception("picking ended")
            self.cancel(context)
            self.report({"ERROR"}, f"Picking ended: {error}.")
            return {"CANCELLED"}

    def _modal(self, context: Context, event: Event) -> Outcome:
        leaves = event.type in LEAVE and event.value == "PRESS"
        if leaves or _ending or not self._has_place(context):
            self.cancel(context)
            return {"FINISHED"} if leaves or event.type == "TIMER" else {"FINISHED", "PASS_THROUGH"}
        if event.type == "Z" and event.value == "PRESS" and (event.ctrl or event.oskey):
            return {"PASS_THROUGH"} if event.shift else self._take_back(context)
        if event.type == "MOUSEMOVE" and self._drag is not None:
            self._drag.to(event.mouse_x, event.mouse_y)
            return {"RUNNING_MODAL"}
        if event.type in OTHER_MASK and event.value == "PRESS":
            return self._other_mask(context, event)
        if event.type != "LEFTMOUSE" or event.value not in {"PRESS", "RELEASE"}:
            return {"PASS_THROUGH"}
        if event.value == "PRESS":
            place = viewport.camera_place(context, event.mouse_x, event.mouse_y)
            if place is None:
                return {"PASS_THROUGH"}
            self._negative = event.alt or event.ctrl  # some desktops keep Alt-clicks themselves
            self._drag = drag_box.DragBox(place, event.mouse_x, event.mouse_y)
            return {"RUNNING_MODAL"}
        if self._drag is None:
            return {"PASS_THROUGH"}
        band, self._drag = self._drag, None
        band.end()
        try:
            self._released(context, band)
        except ShotError as error:
            self.report({"WARNING"}, str(error))
        return {"RUNNING_MODAL"}

    def _other_mask(self, context: Context, event: Event) -> Outcome:
        collection = context.scene.levitor.lift
        wheel = event.type != "TAB"
        if (wheel and not event.ctrl) or collection is None:
            return {"PASS_THROUGH"}
        if viewport.camera_place(context, event.mouse_x, event.mouse_y) is None:
            return {"PASS_THROUGH"}
        if picks.several(collection.levitor):
            picks.cycle(collection, OTHER_MASK[event.type][event.shift])
            bpy.ops.ed.undo_push(message="Cycle Mask")
        elif wheel:
            return {"PASS_THROUGH"}
        return {"RUNNING_MODAL"}  # Tab alone would begin to edit the points

    def _has_place(self, context: Context) -> bool:
        """Whether there are still the workspace, a 3D view and the photo that were begun with."""
        return (
            context.workspace.name == self._workspace
            and context.scene.levitor.lift is not None
            and any(area.type == "VIEW_3D" for area in context.window.screen.areas)
        )

    def _take_back(self, context: Context) -> Outcome:
        """Take the last click back: one that is under way, else what Blender's own undo undoes."""
        link = pump.link()
        if pending := link.pending("segment"):
            for task in pending:
                link.cancel(task)
            self._sent = _NOTHING
            viewport.redraw_points()
            return {"RUNNING_MODAL"}
        if _state(context.scene.levitor.lift.levitor) != self._begun:
            return {"PASS_THROUGH"}  # to Blender's undo; the clicks of before come with it
        self.report({"INFO"}, "There is no click to take back; Esc ends picking.")
        return {"RUNNING_MODAL"}

    def _so_far(self, context: Context) -> tuple[list[Click], Box]:
        """The clicks and the box that the next click adds to.

        They are those of the request under way, else those that the lift holds: an undo changes
        them, and a request that failed leaves them as they were. What was picked before this
        began belongs to another thing.
        """
        task, clicks, box = self._sent
        if task in pump.link().pending("segment"):
            return list(clicks), box
        lift = context.scene.levitor.lift.levitor
        return _kept(lift) if lift.pick != self._before else ([], None)

    def _released(self, context: Context, band: drag_box.DragBox) -> None:
        """A drag is a box, and begins the pick anew; less than a drag is a click."""
        lift = _at_rest(context)
        clicks, box = self._so_far(context)
        if self._negative and not clicks and box is None:
            clicks, box = _kept(lift)
        if band.dragged:
            clicks, box = [], _within(band.corners, lift.width, lift.height)
        else:
            x, y = band.corners[0]
            clicks.append((x * lift.width, y * lift.height, not self._negative))
        self._pick(context, clicks, box)
        self._sent = (pump.link().pending("segment")[-1], tuple(clicks), box)

    def cancel(self, context: Context) -> None:
        """Give cursor and status bar back; Blender calls this too when a file is opened."""
        global _ending
        _ending = False
        if self._drag is not None:
            self._drag.end()
            self._drag = None
        self._hud.end()
        context.window_manager.event_timer_remove(self._timer)
        if context.window is not None:
            context.window.cursor_modal_restore()
        if (workspace := bpy.data.workspaces.get(self._workspace)) is not None:
            workspace.status_text_set(None)
        viewport.redraw_points()

    def _clicks(self, context: Context) -> list[Click]:
        lift = lifts.active(context.scene).levitor
        kept = _kept(lift)[0] if self.extend else []
        clicked = any(self.properties.is_property_set(name) for name in ("x", "y"))
        if not clicked and not any(self.box) and not self.mask_path:
            raise ShotError("no_click", "No click, box or mask was given.", "Give one of them.")
        return [*kept, (self.x, self.y, self.positive)] if clicked else kept

    def _asked_box(self, context: Context) -> Box:
        kept = lifts.active(context.scene).levitor.box if self.extend else self.box
        box = tuple(self.box if any(self.box) else kept)
        return box if any(box) else None

    def _pick(self, context: Context, clicks: Sequence[Click], box: Box) -> str | None:
        link, scene = pump.link(), context.scene
        collection = lifts.active(scene)
        linked.check(collection)
        photo = lifts.photo_of(collection)
        for x, y, _ in clicks:
            if not (0 <= x < photo.width and 0 <= y < photo.height):
                raise ShotError(
                    "outside",
                    f"The click at ({x:.1f}, {y:.1f}) is outside the photo, "
                    f"which is {photo.width} x {photo.height} pixels.",
                    "Click inside the photo.",
                )
        mask, blobs = None, dict[str, bytes]()
        if self.mask_path:
            data, media, _ = files.read(self.mask_path, "mask", link.limits.blob_bytes)
            mask = content.blob_of(data, media)
            blobs[mask.sha256] = data
        refined = None if mask is not None else picks.to_refine(collection.levitor, clicks, box)
        if refined is not None:
            blobs[refined[0].sha256] = refined[1]
        whole, scene_blobs = shots.scene_of(scene, collection)
        connect_lazily(context)
        message = messages.SegmentRequest(
            scene=whole,
            points=np.array([click[:2] for click in clicks], np.float64).reshape(-1, 2),
            positive=np.array([click[2] for click in clicks], np.uint8),
            box=box,
            mask=mask,
            upright=collection.levitor.upright,
            previous=None if refined is None else refined[0],
            segment_model=scene.levitor.click_model,
        )
        for older in link.pending("segment"):
            link.cancel(older)  # this request holds its clicks too
        asked, uid = lifts.Asked.in_scene(scene), collection.levitor.uid
        place = partial(_place, uid=uid, asked=asked, clicks=tuple(clicks), box=box)
        handler = ResultHandler(kind="segment", label=collection.name, place=place, subject=uid)
        task = link.start(message, blobs | scene_blobs, handler)
        if not self.wait:
            return None
        link.wait(task, self.wait)
        which = picks.label(collection.levitor)
        return f"Picked {collection.levitor.picked} pixels. {which}".strip()


_NOTHING: tuple[str, tuple[Click, ...], Box] = ("", (), None)
"""No request: its task, and the clicks and the box that it asked with."""


def _state(lift: Any) -> Any:
    """What an undo inside of picking may change, and one past its beginning would, too."""
    return lift.uid, lift.pick, lift.candidate, lift.picked, len(lift.instances)


def _kept(lift: Any) -> tuple[list[Click], Box]:
    """The clicks and the box of what is picked."""
    box = tuple(lift.box)
    return [(c.x, c.y, c.positive) for c in lift.clicks], box if any(box) else None


def _within(corners: Sequence[tuple[float, float]], width: int, height: int) -> Box:
    """The box between two corners of the unit frame, in pixels, cut at the photo's edges."""
    (x0, y0), (x1, y1) = corners
    left, right = sorted((x0 * width, x1 * width))
    top, bottom = sorted((y0 * height, y1 * height))
    box = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ShotError("outside", "The box lies outside the photo.", "Drag it over the photo.")
    return box


def _at_rest(context: Context) -> Any:
    """The lift, if the camera shows its photo just as it was taken, so that clicks mean pixels."""
    scene = context.scene
    linked.check(lifts.active(scene))
    lift = lifts.active(scene).levitor
    eye, render = scene.camera, scene.render
    if eye != lift.camera:
        raise ShotError("camera", "The active camera is not the photo's.", "Use Reset Camera.")
    if (wrong := camera.problem(scene, eye, lifts.photo_of(lifts.active(scene)))) is not None:
        raise wrong
    viewport.layer_of(scene).update()  # what was set by a script counts as well
    seen = coords.camera_from_world(np.array(eye.matrix_world)[None])[0]
    if not np.abs(seen - np.eye(4)).max() < 1e-4:
        raise ShotError(
            "camera",
            f"At frame {scene.frame_current} the camera is not where it took the photo.",
            f"Go to frame {scene.frame_start}, or use Reset Camera.",
        )
    if abs(render.resolution_x * lift.height - render.resolution_y * lift.width) > lift.width:
        raise ShotError(
            "size",
            f"The render size {render.resolution_x} x {render.resolution_y} has another shape than "
            f"the photo, {lift.width} x {lift.height}.",
            "Use Reset Camera, or set the render size back.",
        )
    return lift


def _place(
    result: messages.Segmented,
    blobs: Mapping[str, bytes],
    *,
    uid: str,
    asked: lifts.Asked,
    clicks: Sequence[Click],
    box: Box,
) -> str:
    _, collection = lifts.find(uid, asked)
    size = collection.levitor.width * collection.levitor.height
    picks.place(collection, mask_candidates.from_reply(result, blobs, size, clicks, box))
    bpy.ops.ed.undo_push(message="Pick")
    return "\n".join(result.notes)
