"""Takes in the video sequencer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.types import MovieStrip, Scene, Strip

from .. import prefs
from ..core import strips
from ..core.strips import Span
from ..link.wire import ShotError, messages
from . import files, lifts

OBEDIENCE = "levitor_obedience"
"""What a take's strip has, where it was measured: see ``core.obedience``."""
PREVIEW = "levitor_preview"
"""What a control preview's strip has: the uid of its lift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A video of a shot on disk; frames are Blender's, both included.

    Attributes:
        lift: uid of the lifted photo.
        shot: content hash of the shot.
        asked_in: the scene it was asked for in, which has the first claim to it.
    """

    job: str
    lift: str
    path: Path
    frame_start: int
    frame_end: int
    shot: str
    asked_in: lifts.Asked | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Take(Film):
    """A rendered take, and what it was made with.

    Attributes:
        made: when it arrived, as text that sorts by time.
        shown: the part of the photo that it shows: top, left, height, width in the photo's pixels;
            empty where the backend did not say.
        obedience: how well it obeyed its shot, as ``core.obedience`` keeps it; empty where it was
            not measured.
    """

    engine: str
    seed: int
    options: Mapping[str, messages.Scalar]
    made: str = ""
    shown: tuple[float, ...] = ()
    obedience: str = ""


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


def scene_for(film: Film) -> Scene:
    """Where ``film`` belongs: the scene it was asked for in, else one that holds its photo.

    Raises:
        ShotError: this file has none.
    """
    asking = film.asked_in
    if asking is not None and (scene := asking.itself()) is not None:
        return scene
    return lifts.find(film.lift, asking)[0]


def of_this_file(takes: Iterable[Take]) -> list[tuple[Scene, Take]]:
    """Those of ``takes`` that belong to the file that is open, each with its scene."""
    found: list[tuple[Scene, Take]] = []
    for take in takes:
        with contextlib.suppress(ShotError):
            found.append((scene_for(take), take))
    return found


def place(take: Take) -> MovieStrip:
    """Put ``take`` on a free channel above older takes, spanning exactly its shot's frames.

    Its pixels lie where the photo's are, whatever size its engine works in. Control previews of
    these frames go above it.

    Raises:
        ShotError: its file or its scene is gone, or no channel is free. Nothing was placed.
    """
    scene = scene_for(take)
    there(take)
    start, end = strips.span_of(take.frame_start, take.frame_end)
    # Only the strips of this level share its channels; those inside meta strips do not.
    level, _ = strips_of(scene)
    closed = closed_channels(scene)
    spans = [span_of(strip) for strip in level]
    older = [span_of(strip) for strip in level if "levitor_engine" in strip]
    channel = strips.free_channel(spans, start, end, closed, older)
    if channel is None:
        raise ShotError(
            "channels",
            f"All {strips.CHANNELS} channels are taken, locked or muted between frames {start} "
            f"and {end - 1}.",
            "Free one, then use Place Take.",
        )
    with strip_of(take, level, channel) as strip:
        _lay(strip, take, scene)
        strip["levitor_engine"] = take.engine
        strip["levitor_seed"] = take.seed
        strip["levitor_made"] = take.made
        strip["levitor_options"] = json.dumps(dict(take.options), sort_keys=True)
        if take.obedience:
            strip[OBEDIENCE] = take.obedience
    for preview in [other for other in level if PREVIEW in other]:
        if (own := span_of(preview)).channel < channel and own.start < end and own.end > start:
            others = [span_of(other) for other in level if other != preview]
            top = strips.top_channel(others, own.start, own.end, closed)
            preview.channel = preview.channel if top is None else top
    show(scene)
    return strip


def _lay(strip: MovieStrip, take: Take, scene: Scene) -> None:
    """Scale and move ``strip`` so that its pixels are where the photo's are."""
    frame = scene.render.resolution_y, scene.render.resolution_x
    try:
        lift = lifts.find(take.lift, take.asked_in)[1].levitor
        photo = lift.height, lift.width
    except ShotError:  # undone or deleted; a lift makes the scene's size the photo's
        photo = frame
    film = strip.elements[0]
    fitted = strips.placement(frame, photo, (film.orig_height, film.orig_width), take.shown)
    strip.transform.scale_x, strip.transform.scale_y = fitted.scale
    strip.transform.offset_x, strip.transform.offset_y = fitted.offset


def there(film: Film) -> None:
    """Raise :class:`ShotError` unless the file is there."""
    # new_movie makes a strip of one frame for a missing file, without an error.
    if not film.path.is_file() or film.path.stat().st_size == 0:
        raise ShotError("file", f"The take {film.path} is not there.", "Render the shot again.")


@contextlib.contextmanager
def strip_of(
    film: Film, level: bpy.types.bpy_prop_collection, channel: int, fit: str = "ORIGINAL"
) -> Iterator[MovieStrip]:
    """A strip that shows ``film`` over its frames; it is gone again if the body raises.

    Raises:
        ShotError: the file is no film.
    """
    start, end = strips.span_of(film.frame_start, film.frame_end)
    path = files.stored(film.path, "//" if _comes_along(film.path) else "")
    strip = level.new_movie(
        name=film.path.stem, filepath=path, channel=channel, frame_start=start, fit_method=fit
    )
    try:
        if strip.fps <= 0:  # so for what is no film; Blender itself says nothing
            raise ShotError(
                "file", f"Blender cannot read the take {film.path}.", "Render the shot again."
            )
        _span(strip, start, end)
        with contextlib.suppress(TypeError):  # a colour management without it is the artist's own
            strip.colorspace_settings.name = "sRGB"
        strip["levitor_shot"] = film.shot
        strip["levitor_job"] = film.job
        yield strip
    except BaseException:
        level.remove(strip)
        raise


def closed_channels(scene: Scene) -> set[int]:
    """Channels that are locked or muted."""
    channels = scene.sequence_editor.channels  # the first one is number 0, which is never shown
    return {n for n, channel in enumerate(channels) if channel.lock or channel.mute}


def _span(strip: MovieStrip, start: int, end: int) -> None:
    """Trim the strip, or hold its last frame, so that it covers ``start`` up to ``end``."""
    if span_of(strip).end == end:
        return
    if hasattr(strip, "right_handle"):
        strip.right_handle = end
    else:
        strip.frame_final_end = end


def _comes_along(path: Path) -> bool:
    """Whether a film is moved with the .blend, or with the project that both are in."""
    if not bpy.data.filepath:
        return False
    near = [Path(bpy.data.filepath).parent]
    if prefs.get().takes.startswith("//"):
        near.append(files.takes_folder().parent)
    return any(path.is_relative_to(one) for one in near)


def show(scene: Scene) -> None:
    """Since 5.0 a workspace edits the strips of a scene of its own, none in a fresh file."""
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene") and workspace.sequencer_scene is None:
            workspace.sequencer_scene = scene
