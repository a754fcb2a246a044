"""The sidebar tab "LeviTor" of the 3D viewport."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.types import Context, Panel, UILayout

from .. import prefs
from ..core import endpoints
from ..link import pump
from ..scene import (
    blender_state,
    deletion_watch,
    job_icons,
    live_preview,
    panel_state,
    picks,
    viewport,
)
from ..scene.panel_state import PanelState, PlacedTake
from .lists import ROWS, TAKES, draw_jobs, draw_notices, draw_options, draw_takes, draw_text


class _Tab:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "LeviTor"


def draw_kind(layout: UILayout, kind: str, state: PanelState) -> None:
    """Draw the jobs of one kind, the time that is left, and what a result waits for."""
    link = pump.link()
    rows = link.rows(kind)
    draw_jobs(layout, rows, state.takes, state.obeyed, blender_state.loads())
    for job in rows:
        if job.eta is not None:
            layout.label(text=f"{job.label}: about {max(1, round(job.eta))} s left", icon="TIME")
        if not job.final and (icon := job_icons.icon_of(job)) is not None:
            layout.template_icon(icon_value=icon, scale=8.0)
    if link.holds(kind) and state.blocked:
        draw_text(layout, f"A result waits, {state.blocked}")


def _draw_scene(layout: UILayout, lift: Any, kind: str) -> None:
    """Draw ground or backdrop, where the lift is one of them; say why not where it is neither."""
    column = layout.column(align=True)
    if kind:
        column.prop(lift, "scene_kind")
        if kind == "ground":
            column.prop(lift, "horizon")
    elif lift.upright:
        draw_text(column, "Scene: Ground, from an older LeviTor. To change it, lift again.")
    else:
        draw_text(column, f"Scene: as {lift.depth_model} sees it; no ground, no backdrop.")
    if lift.scene_said:
        draw_text(column, lift.scene_said)


class LEVITOR_PT_photo(_Tab, Panel):
    """The photo, and what was lifted from it."""

    bl_label = "Photo"
    bl_order = 0

    def draw(self, context: Context) -> None:
        """Draw the lift button first, then the photo."""
        layout, settings = self.layout, context.scene.levitor
        state = panel_state.of(context.scene)
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.operator("levitor.lift", icon="IMAGE_DATA")
        layout.prop(settings, "photo")
        if state.has_lifts:
            name = settings.lift.name if settings.lift is not None else "Choose Lift"
            layout.operator_menu_enum("levitor.choose_lift", "lift", text=name)
        if settings.lift is not None:
            lift = settings.lift.levitor
            if state.foreign:
                draw_text(layout, state.foreign)
                layout.operator("levitor.make_lift_local")
            if context.space_data.shading.type in viewport.COLOURLESS:
                draw_text(layout, "This view's shading shows points without their colours.")
                show = layout.operator("view3d.toggle_shading", text="Show The Photo's Colours")
                show.type = "MATERIAL"
            layout.operator("levitor.reset_camera", icon="CAMERA_DATA")
            column = layout.column(align=True)
            column.label(text=f"{settings.lift.name}: {lift.width} x {lift.height}")
            column.prop(lift, "horizontal_fov")
            if lift.fov_source:
                column.label(text=f"Field of view: {lift.fov_source}")
            if lift.fov_said:
                draw_text(layout, lift.fov_said)
            _draw_scene(layout, lift, state.kind)
            column = layout.column(align=True)
            column.label(text=f"Depth: {lift.depth_model}")
            column.label(text=f"Segments: {lift.segment_model}")
            if lift.notes:
                draw_text(layout, lift.notes)
            if state.colour_differences:
                draw_text(
                    layout, f"Colours are not the photo's: {', '.join(state.colour_differences)}."
                )
                layout.operator("levitor.match_colours", icon="COLOR")
        draw_kind(layout, "lift", state)


class LEVITOR_PT_lift_settings(_Tab, Panel):
    """How the photo is lifted."""

    bl_label = "Lift Settings"
    bl_parent_id = "LEVITOR_PT_photo"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        """Draw camera, depth range, models and depth map."""
        layout, settings = self.layout, context.scene.levitor
        state = panel_state.of(context.scene)
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "fov_from_photo")
        column = layout.column(align=True)
        row = column.row()
        row.active = not settings.fov_from_photo
        row.prop(settings, "horizontal_fov")
        column = layout.column(align=True)
        if state.depth_from:
            draw_text(
                column, f"Scene and horizon do not apply: the depth will be {state.depth_from}'s."
            )
        else:
            column.prop(settings, "scene_kind")
            if settings.scene_kind != "BACKDROP":
                column.prop(settings, "horizon")
        column = layout.column(align=True)
        column.prop(settings, "near")
        column.prop(settings, "far")
        layout.prop(settings, "max_side")
        column = layout.column(align=True)
        column.active = not settings.depth_path
        column.prop(settings, "depth_model")
        column.prop(settings, "depth_size")
        column.prop(settings, "clean_edges")
        layout.prop(settings, "segment_model")
        layout.prop(settings, "click_model")
        layout.prop(settings, "depth_path")
        row = layout.row()
        row.active = bool(settings.depth_path)
        row.prop(settings, "nearer_is_larger")


class LEVITOR_PT_instances(_Tab, Panel):
    """What is picked, and the instances that were made of it."""

    bl_label = "Instances"
    bl_order = 1

    def draw(self, context: Context) -> None:
        """Draw pick, make, list and key."""
        layout, settings = self.layout, context.scene.levitor
        state = panel_state.of(context.scene)
        layout.use_property_split = True
        layout.use_property_decorate = False
        on = picks.is_waiting(context)
        text = "Picking: Esc Ends It" if on else "Pick"
        layout.operator("levitor.pick", text=text, icon="EYEDROPPER", depress=on)
        if settings.lift is not None and settings.lift.levitor.picked:
            layout.label(text=f"{settings.lift.levitor.picked} pixels picked")
            if text := picks.label(settings.lift.levitor):
                row = layout.row(align=True)
                several = picks.several(settings.lift.levitor)
                if several:
                    row.operator("levitor.cycle_mask", text="", icon="TRIA_LEFT").step = -1
                row.label(text=text)
                if several:
                    row.operator("levitor.cycle_mask", text="", icon="TRIA_RIGHT").step = 1
        column = layout.column(align=True)
        column.prop(settings, "instance_name")
        column.prop(settings, "moving")
        layout.operator("levitor.make_instance", icon="ADD")
        draw_kind(layout, "segment", state)
        if settings.lift is not None:
            lift = settings.lift.levitor
            row = layout.row()
            row.template_list(
                "LEVITOR_UL_instances", "", lift, "instances", lift, "active_instance", rows=3
            )
            remove = row.operator("levitor.remove_instance", text="", icon="TRASH")
            if trouble := deletion_watch.said():
                column = layout.column()
                column.alert = True
                draw_text(column, trouble)
            if 0 <= lift.active_instance < len(lift.instances):
                chosen = lift.instances[lift.active_instance]
                remove.instance = chosen.name
                column = layout.column(align=True)
                column.prop(chosen, "flatten", slider=True)
                column.prop(chosen, "thickness")
        if state.hint:
            draw_text(layout, state.hint)
        row = layout.row(align=True)
        row.operator("levitor.key_handle", icon="KEY_HLT")
        row.operator("levitor.reset_handle", icon="LOOP_BACK")


class LEVITOR_PT_render(_Tab, Panel):
    """The shot and its takes."""

    bl_label = "Render"
    bl_order = 2

    def draw(self, context: Context) -> None:
        """Draw render, settings and jobs."""
        layout, scene = self.layout, context.scene
        settings, state = scene.levitor, panel_state.of(scene)
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.operator("levitor.render", icon="RENDER_ANIMATION")
        layout.prop(settings, "engine")
        engine = next((e for e in pump.link().engines() if e.name == settings.engine), None)
        if engine is not None and engine.help:
            draw_text(layout, engine.help)
        if engine is not None and engine.missing:
            column = layout.column()
            column.alert = True
            draw_text(column, engine.missing)
        draw_options(layout, settings, state, advanced=False)
        if state.option_groups:
            layout.operator("levitor.reset_options", icon="LOOP_BACK")
        column = layout.column(align=True)
        column.prop(scene, "frame_start", text="Frame Start")
        column.prop(scene, "frame_end", text="End")
        column.prop(settings, "frames", text="Samples")
        if state.wrong_frames:
            column.alert = True
            draw_text(column, state.wrong_frames)
        layout.prop(settings, "seed")
        layout.prop(settings, "anchors")
        layout.prop(settings, "place_automatically")
        draw_notices(layout, state.notices)
        draw_kind(layout, "submit", state)
        layout.operator("levitor.watch_take", icon="PLAY")
        row = layout.row(align=True)
        row.operator("levitor.place_take", icon="SEQUENCE")
        row.operator("levitor.save_shot", icon="FILE_TICK")
        layout.operator("levitor.export_control", icon="EXPORT")


def _earlier(state: PanelState) -> list[PlacedTake]:
    """The takes of the sequencer that no row of the panel above stands for."""
    above = {job.job for job in pump.link().rows("submit")[-ROWS:]}
    return [take for take in state.placed if take.job not in above]


class LEVITOR_PT_takes(_Tab, Panel):
    """Takes of the sequencer that were made before, or in another session."""

    bl_label = "Earlier Takes"
    bl_parent_id = "LEVITOR_PT_render"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """There are some."""
        return bool(_earlier(panel_state.of(context.scene)))

    def draw(self, context: Context) -> None:
        """Draw the newest."""
        state = panel_state.of(context.scene)
        takes = _earlier(state)
        draw_takes(self.layout, takes[:TAKES], state.obeyed)
        if len(takes) > TAKES:
            self.layout.label(text=f"and {len(takes) - TAKES} older ones")


class LEVITOR_PT_advanced(_Tab, Panel):
    """Options of the engine that most shots never need."""

    bl_label = "Advanced Options"
    bl_parent_id = "LEVITOR_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        """The engine has some."""
        return any(group.advanced for group in panel_state.of(context.scene).option_groups)

    def draw(self, context: Context) -> None:
        """Draw them."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        state = panel_state.of(context.scene)
        draw_options(layout, context.scene.levitor, state, advanced=True)


class LEVITOR_PT_preview(_Tab, Panel):
    """The control of the shot, to be looked at before it is rendered."""

    bl_label = "Control Preview"
    bl_parent_id = "LEVITOR_PT_render"

    def draw(self, context: Context) -> None:
        """Draw the button, what the preview shows, and its jobs."""
        layout, settings = self.layout, context.scene.levitor
        state = panel_state.of(context.scene)
        row = layout.row(align=True)
        row.operator("levitor.preview_control", icon="POINTCLOUD_DATA")
        row.prop(settings, "preview_live", toggle=True)
        if settings.preview_live and (trouble := live_preview.said()):
            draw_text(layout, trouble)
        layout.row().prop(settings, "preview_over", expand=True)
        layout.row().prop(settings, "preview_show", expand=True)
        draw_kind(layout, "preview", state)


class LEVITOR_PT_connection(_Tab, Panel):
    """The backend: where photos and shots are sent."""

    bl_label = "Connection"
    bl_order = 3

    def draw(self, context: Context) -> None:
        """Draw the address and how the connection stands."""
        layout, link = self.layout, pump.link()
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(prefs.get(context), "endpoint")
        if not bpy.app.online_access and not endpoints.is_loopback(prefs.get(context).endpoint):
            draw_text(layout, "This is another computer; Blender may not use the network.")
            show = layout.operator("screen.userpref_show", text="Open Network Preferences")
            show.section = "SYSTEM"
        row = layout.row(align=True)
        row.operator("levitor.connect", icon="LINKED")
        row.operator("levitor.disconnect", icon="UNLINKED")
        status = link.status
        endpoint = status.endpoint if status is not None else prefs.get(context).endpoint
        host = endpoint.removeprefix("tcp://").rpartition(":")[0] or endpoint
        draw_text(layout, f"Sends photos, clicks and shots to {host}.")
        if status is None:
            layout.label(text="Not connected; lifting a photo connects")
            return
        layout.label(text=f"{status.phase.capitalize()}: {status.endpoint}")
        if status.round_trip_seconds is not None:
            layout.label(text=f"Round trip: {1000 * status.round_trip_seconds:.1f} ms")
        if status.sentence:
            draw_text(layout, status.sentence)
        if link.welcome is not None:
            layout.label(text=f"{link.welcome.product} on {link.welcome.device}")
            told = set[str]()
            for model in link.welcome.perception:
                if model.task in told:
                    continue  # the first of a task is what is used unless another is chosen
                told.add(model.task)
                layout.label(text=f"{model.task.capitalize()}: {model.name}")
                if model.note:
                    draw_text(layout, model.note)
