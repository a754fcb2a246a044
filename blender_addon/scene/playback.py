"""Playback of a take: a sequencer with a preview, framed, at its first frame, and playing.

A new file has no sequencer in any of its workspaces, and since 5.0 a workspace of the sequencer's
shows no scene until it is given one; so "rendered" and "seen" are far apart without help.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import bpy
from bpy.types import Area, MovieStrip, Scene, Screen, Window, WorkSpace

from ..core import strips
from ..link.wire import ShotError
from . import sequencer

NAME = "Video Editing"
"""Blender's workspace for the sequencer, in its template of that name."""
TEMPLATE = Path("startup", "bl_app_templates_system", "Video_Editing", "startup.blend")
PREVIEWS = ("PREVIEW", "SEQUENCER_PREVIEW")
TRY_SECONDS, TRIES = 0.05, 200
"""A workspace is changed after the operator is over; how often and how long to look for it."""


def of_scene(scene: Scene) -> list[MovieStrip]:
    """The takes in a scene's sequencer, oldest first."""
    if scene.sequence_editor is None:
        return []
    found = [strip for strip in sequencer.strips_of(scene)[0] if "levitor_engine" in strip]
    return sorted(found, key=lambda strip: (strip.get("levitor_made", ""), strip.channel))


def window_of(window: Window | None) -> Window:
    """``window`` itself; raises :class:`ShotError` where this Blender has none."""
    if bpy.app.background or window is None:
        raise ShotError(
            "no_window",
            "This Blender runs without a window, so there is nothing to watch in.",
            f"Open {bpy.data.filepath or 'the saved file'} in Blender and use Watch Take there.",
        )
    return window


def show(scene: Scene, strip: MovieStrip, window: Window) -> str:
    """Show ``strip`` of ``scene`` in ``window``, from its first frame on, and play it.

    The workspace that is there is kept where it has a sequencer with a preview. Else another one of
    the file that has is used, else Blender's own is added, else an area becomes a sequencer.

    Returns:
        Where to look, and what was changed for it besides.

    Raises:
        ShotError: the film is gone. Nothing was changed.
    """
    path = Path(bpy.path.abspath(strip.filepath))
    if not path.is_file():
        raise ShotError(
            "file", f"The take {path} is not there.", "Put it back, or render the shot again."
        )
    notes = _reveal(scene, strip)
    workspace = _workspace(window)
    if hasattr(workspace, "sequencer_scene"):
        workspace.sequencer_scene = scene
    else:  # before 5.0 a sequencer shows the scene of its window
        window.scene = scene
    if window.workspace != workspace:
        window.workspace = workspace
    above = _channel(scene, strip)
    finish = partial(_finish, workspace.name, scene.name, above, [TRIES])
    bpy.app.timers.register(finish, first_interval=TRY_SECONDS)
    return " ".join([f"{strip.name} is in the workspace '{workspace.name}'.", *notes])


def _reveal(scene: Scene, strip: MovieStrip) -> list[str]:
    """Make the strip be seen at its first frame, chosen; what that changed, a sentence each."""
    notes: list[str] = []
    span = sequencer.span_of(strip)
    strip.mute = False
    channel = scene.sequence_editor.channels[strip.channel]
    if channel.mute:
        channel.mute = False
        notes.append(f"Channel {strip.channel} was muted and is no more.")
    for other in sequencer.strips_of(scene)[1]:
        other.select = other == strip
    scene.sequence_editor.active_strip = strip
    start, end = scene.frame_start, scene.frame_end
    if scene.use_preview_range:
        start, end = scene.frame_preview_start, scene.frame_preview_end
    if (start, end) != (span.start, span.end - 1):
        scene.use_preview_range = True
        scene.frame_preview_start, scene.frame_preview_end = span.start, span.end - 1
        notes.append(
            f"Playback is limited to its frames {span.start} to {span.end - 1} (Alt P ends that)."
        )
    scene.frame_set(span.start)
    return notes


def _channel(scene: Scene, strip: MovieStrip) -> int:
    """What a sequencer has to be set to for ``strip`` to be seen: 0 is all that there is."""
    own = sequencer.span_of(strip)
    others = [sequencer.span_of(other) for other in sequencer.strips_of(scene)[0]]
    return own.channel if strips.covered(own, others) else 0


def _workspace(window: Window) -> WorkSpace:
    """A workspace with a preview of the sequencer, made if there is none."""
    if any(_areas(window.screen, PREVIEWS)):
        return window.workspace
    known = [one for one in bpy.data.workspaces if _shows(one)]
    known.sort(key=lambda one: not one.name.startswith(NAME))
    if known:
        return known[0]
    if (added := _added(window)) is not None:
        return added
    area = _spare(window)
    area.type = "SEQUENCE_EDITOR"
    area.spaces.active.view_type = "SEQUENCER_PREVIEW"
    return window.workspace


def _shows(workspace: WorkSpace) -> bool:
    return any(any(_areas(screen, PREVIEWS)) for screen in workspace.screens)


def _added(window: Window) -> WorkSpace | None:
    """Blender's own workspace for the sequencer, added to the file; None where it has none."""
    file = Path(bpy.utils.system_resource("SCRIPTS")) / TEMPLATE
    before = set(bpy.data.workspaces)
    if file.is_file():
        with contextlib.suppress(RuntimeError), bpy.context.temp_override(window=window):
            bpy.ops.workspace.append_activate(idname=NAME, filepath=str(file))
    made = [one for one in bpy.data.workspaces if one not in before and _shows(one)]
    return made[0] if made else None


def _spare(window: Window) -> Area:
    """The area to turn into a sequencer: the largest but a 3D view, else half of the largest."""
    areas = [area for area in window.screen.areas if area.type != "VIEW_3D"]
    if areas:
        return max(areas, key=_size)
    largest, before = max(window.screen.areas, key=_size), set(window.screen.areas)
    with bpy.context.temp_override(window=window, area=largest):
        bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.5)
    return next(area for area in window.screen.areas if area not in before)


def _size(area: Area) -> int:
    return area.width * area.height


def _areas(screen: Screen, kinds: tuple[str, ...]) -> Iterator[Area]:
    for area in screen.areas:
        if area.type == "SEQUENCE_EDITOR" and area.spaces.active.view_type in kinds:
            yield area


def _finish(workspace: str, scene: str, channel: int, left: list[int]) -> float | None:
    """Once the workspace is on the screen, frame the strip in it and play; called by a timer.

    Args:
        workspace: its name; by the time this runs another one may be shown.
        scene: name of the scene whose sequencer is shown.
        channel: what the sequencers are to show.
        left: how many more times to try, one number that counts down.
    """
    left[0] -= 1
    windows = [w for w in bpy.context.window_manager.windows if w.workspace.name == workspace]
    shown = [(w, a) for w in windows for a in _areas(w.screen, (*PREVIEWS, "SEQUENCER"))]
    if bpy.data.scenes.get(scene) is None or left[0] < 0:
        return None
    if not shown or any(area.width <= 1 for _, area in shown):
        return TRY_SECONDS
    for window, area in shown:
        _frame(window, area, channel)
    window, area = max(shown, key=lambda one: one[1].spaces.active.view_type in PREVIEWS)
    if not window.screen.is_animation_playing:
        with bpy.context.temp_override(window=window, screen=window.screen, area=area):
            bpy.ops.screen.animation_play()
    return None


def show_all_channels() -> None:
    """Let every sequencer show all its strips again: what has just landed is to be seen.

    Watching a take shows what lies up to its channel, and nothing above.
    """
    for screen in bpy.data.screens:
        for area in screen.areas:
            if area.type == "SEQUENCE_EDITOR":
                area.spaces.active.display_channel = 0


def _frame(window: Window, area: Area, channel: int) -> None:
    """Let a sequencer show its whole picture, and the strip in its timeline."""
    space = area.spaces.active
    space.display_mode, space.display_channel = "IMAGE", channel
    if space.proxy_render_size == "NONE":  # which draws nothing at all
        space.proxy_render_size = "SCENE"
    kinds = {"PREVIEW": "PREVIEW", "SEQUENCER": "WINDOW"}
    for view, kind in kinds.items():
        if view not in space.view_type:
            continue
        region = next((one for one in area.regions if one.type == kind and one.width > 1), None)
        if region is None:
            continue
        view_all = bpy.ops.sequencer.view_all_preview, bpy.ops.sequencer.view_selected
        with bpy.context.temp_override(
            window=window, screen=window.screen, area=area, region=region
        ):
            frame = view_all[view == "SEQUENCER"]
            if frame.poll():
                frame()
    area.tag_redraw()
