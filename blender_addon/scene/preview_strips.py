"""Control previews: one strip and one file for each lift in a scene, replaced by the next."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
from bpy.types import MovieStrip, Scene

from ..core import strips
from ..link.wire import ShotError
from . import files, sequencer

FOLDER = "levitor_previews"
COLOUR = "COLOR_05"


def folder() -> Path:
    """Where previews go: beside the folder of the takes."""
    return beside(files.takes_folder())


def beside(takes: Path) -> Path:
    """Where previews lie if takes lie in ``takes``."""
    return takes.with_name(FOLDER)


def keep(stem: str, data: bytes) -> Path:
    """Write a preview where there is room, over an older one of that name that no strip shows.

    A film that a strip shows is left alone: Blender has it open, and an undo may bring it back.

    Raises:
        ShotError: neither the previews' folder nor the system's temporary one takes it.
    """
    shown = _films()
    try:
        return _write(folder(), stem, data, shown)
    except ShotError:
        return _write(Path(tempfile.gettempdir()) / FOLDER, stem, data, shown)


def place(preview: sequencer.Film, *, muted: bool = False) -> MovieStrip:
    """Put ``preview`` above all that overlaps it, in the place of the one there was.

    Args:
        preview: of a shot of one lift.
        muted: whether the new one is to be hidden if the former one was.

    Raises:
        ShotError: its file or its scene is gone, or no channel is free. All is as it was.
    """
    scene = sequencer.scene_for(preview)
    sequencer.there(preview)
    level, _ = sequencer.strips_of(scene)
    former = formers(scene, preview.lift)
    others = [sequencer.span_of(strip) for strip in level if strip not in former]
    spans = [*others, *map(sequencer.span_of, former)]
    start, end = strips.span_of(preview.frame_start, preview.frame_end)
    closed = sequencer.closed_channels(scene)
    aside = strips.top_channel(spans, start, end, closed)
    final = strips.top_channel(others, start, end, closed)
    if aside is None or final is None:
        raise ShotError(
            "channels",
            f"No channel above the strips between frames {start} and {end - 1} is free; "
            f"there are {strips.CHANNELS}.",
            "Move the uppermost strip down, or unlock a channel.",
        )
    hidden = muted and any(strip.mute for strip in former)
    # Placed on a free channel first, so that a failure leaves the former strip
    with sequencer.strip_of(preview, level, aside, fit="FIT") as strip:
        strip[sequencer.PREVIEW] = preview.lift
        strip.color_tag = COLOUR
        strip.mute = hidden
    for old in former:
        level.remove(old)
    strip.channel = final
    sequencer.show(scene)
    return strip


def formers(scene: Scene, lift: str) -> list[MovieStrip]:
    """The previews of ``lift`` that stand in ``scene``."""
    level, _ = sequencer.strips_of(scene)
    return [strip for strip in level if strip.get(sequencer.PREVIEW) == lift]


def _write(place: Path, stem: str, data: bytes, shown: set[Path]) -> Path:
    used = {path.name for path in shown if path.parent == place}
    path = place / strips.free_name(stem, ".mp4", used)
    files.write(path, data)
    return path


def _films() -> set[Path]:
    """The films that strips show, in any scene."""
    return {
        Path(bpy.path.abspath(strip.filepath))
        for scene in bpy.data.scenes
        if scene.sequence_editor is not None
        for strip in sequencer.strips_of(scene)[1]
        if strip.type == "MOVIE"
    }
