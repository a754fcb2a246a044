"""Takes in the video sequencer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.types import MovieStrip, Scene, Strip

from ..core import strips
from ..core.strips import Span
from ..link.wire import ShotError, messages
from . import lifts


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """A rendered take on disk, and what it was made from; frames are Blender's, both included.

    Attributes:
        asked_in: the scene it was rendered from, which has the first claim to it.
    """

    job: str
    lift: str
    path: Path
    frame_start: int
    frame_end: int
    engine: str
    seed: int
    options: Mapping[str, messages.Scalar]
    shot: str
    asked_in: lifts.Asked | None = None


def strips_of(scene: Scene) -> tuple[bpy.types.bpy_prop_collection, list[Strip]]:
    """The scene's top-level strips, to which one can add, and all its strips."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    if hasattr(editor, "strips"):
        return editor.strips, list(editor.strips_all)
    return editor.sequences, list(editor.sequences_all)


def span_of(strip: Strip) -> Span:
    """Where a strip stands; the names changed in 5.2."""
    if hasattr(strip, "left_handle"):
        return Span(strip.channel, int(strip.left_handle), int(strip.right_handle))
    return Span(strip.channel, int(strip.frame_final_start), int(strip.frame_final_end))


def scene_for(take: Take) -> Scene:
    """Where ``take`` belongs: the scene it was asked for in, else one that holds its photo.

    Raises:
        ShotError: this file has none.
    """
    asking = take.asked_in
    if asking is not None and (scene := asking.itself()) is not None:
        return scene
    return lifts.find(take.lift, asking)[0]


def place(take: Take) -> MovieStrip:
    """Put ``take`` on a free channel, spanning exactly its shot's frames.

    Raises:
        ShotError: its file or its scene is gone, or no channel is free. Nothing was placed.
    """
    scene = scene_for(take)
    if not take.path.is_file() or take.path.stat().st_size == 0:
        # Blender would make a strip of one frame without a word.
        raise ShotError("file", f"The take {take.path} is not there.", "Render the shot again.")
    start, end = strips.span_of(take.frame_start, take.frame_end)
    # Only the strips of this level share its channels; those inside meta strips do not.
    level, _ = strips_of(scene)
    channels = scene.sequence_editor.channels  # the first one is number 0, which is never shown
    closed = {n for n, channel in enumerate(channels) if channel.lock or channel.mute}
    channel = strips.free_channel([span_of(strip) for strip in level], start, end, closed)
    if channel is None:
        raise ShotError(
            "channels",
            f"All {strips.CHANNELS} channels are taken, locked or muted between frames {start} "
            f"and {end - 1}.",
            "Free one, then use Place Take.",
        )
    path = str(take.path)
    if bpy.data.filepath and _beside_file(take.path):
        path = bpy.path.relpath(path)
    strip = level.new_movie(name=take.path.stem, filepath=path, channel=channel, frame_start=start)
    try:
        if strip.fps <= 0:  # so for what is no film; Blender itself says nothing
            raise ShotError(
                "file", f"Blender cannot read the take {take.path}.", "Render the shot again."
            )
        _span(strip, start, end)
        strip["levitor_engine"] = take.engine
        strip["levitor_seed"] = take.seed
        strip["levitor_options"] = json.dumps(dict(take.options), sort_keys=True)
        strip["levitor_shot"] = take.shot
        strip["levitor_job"] = take.job
    except BaseException:
        level.remove(strip)
        raise
    _show(scene)
    return strip


def _span(strip: MovieStrip, start: int, end: int) -> None:
    """Trim the strip, or hold its last frame, so that it covers ``start`` up to ``end``."""
    if span_of(strip).end == end:
        return
    if hasattr(strip, "right_handle"):
        strip.right_handle = end
    else:
        strip.frame_final_end = end


def _beside_file(path: Path) -> bool:
    return path.is_relative_to(Path(bpy.data.filepath).parent)


def _show(scene: Scene) -> None:
    """Since 5.0 a workspace edits the strips of a scene of its own, none in a fresh file."""
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene") and workspace.sequencer_scene is None:
            workspace.sequencer_scene = scene
