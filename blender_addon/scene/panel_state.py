"""What the sidebar shows that has to be looked for: found by the timer, so that panels only draw.

A panel is drawn whenever the mouse crosses it. Which takes belong to the file, whether colours are
the photo's, which notices still hold: that is found a few times a second for the scenes of all
windows, and the sidebar is drawn again where it changed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import bpy
from bpy.types import Scene

from ..core import obedience
from ..core.options import Group
from ..link import pump
from ..link.wire import flat_scene, frames
from . import (
    active_lift,
    blender_state,
    colour_management,
    job_icons,
    lifts,
    linked,
    notices,
    options,
    playback,
    selection,
    sequencer,
    viewport,
)
from .notices import Notice

log = logging.getLogger(__name__)

SECONDS = 0.2
"""How often it is looked."""
FRESH_SECONDS = 1.0
"""So long after a look what it found stands for a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTake:
    """A take in a scene's sequencer; ``title`` says what it was made with and when."""

    job: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelState:
    """What was found of one scene.

    Attributes:
        has_lifts: whether the file has a lift, in whichever scene.
        foreign: what to say of a lift that comes from another file; empty where it does not.
        kind: of the lift's scene, ``ground`` or ``backdrop``; empty where it is neither.
        colour_differences: what keeps the scene from showing the photo's colours, a few words each.
        depth_from: what will give the next lift its depth; empty for a ground or a backdrop.
        hint: what to know of the active object.
        notices: what the shot does not follow.
        takes: the backend's names of the jobs that made a take of this file.
        has_takes: whether there is one of these, or one in the scene's sequencer.
        placed: the takes in the scene's sequencer, newest first.
        obeyed: by job, how well its take obeyed the shot; no entry where it was not measured.
        option_groups: the fields of the chosen engine that are of use, by heading.
        toggles: of each of its options that names instances, their names and whether it does.
        lost_choices: of each of these that names nothing of this lift, what to say of it.
        wrong_frames: why the chosen engine does not make as many samples as are asked for.
        blocked: why a result that is here may not be placed now; empty where it may.
    """

    has_lifts: bool = False
    foreign: str = ""
    kind: str = ""
    colour_differences: tuple[str, ...] = ()
    depth_from: str = ""
    hint: str = ""
    notices: tuple[Notice, ...] = ()
    takes: frozenset[str] = frozenset()
    has_takes: bool = False
    placed: tuple[PlacedTake, ...] = ()
    obeyed: Mapping[str, obedience.Said] = field(default_factory=dict)
    option_groups: tuple[Group, ...] = ()
    toggles: Mapping[str, tuple[tuple[str, bool], ...]] = field(default_factory=dict)
    lost_choices: Mapping[str, str] = field(default_factory=dict)
    wrong_frames: str = ""
    blocked: str = ""


_NOTHING = PanelState()
_found: dict[int, PanelState] = {}
"""By the scene's session number."""
_looked: dict[int, tuple[float, tuple[str, ...]]] = {}
"""When each was found, and the jobs of the takes that there were."""
_troubles: dict[int, str] = {}
"""What looking at each scene fails with; no entry where it does not."""
_next = 0.0
_trouble = ""


def of(scene: Scene) -> PanelState:
    """What was found last of ``scene``."""
    return _found.get(scene.session_uid, _NOTHING)


def fresh(scene: Scene) -> PanelState | None:
    """What was found of ``scene`` a moment ago, for ``poll``, which every drawn button calls.

    None where it has to be searched for: without a window nobody looks, and a script asks for a
    take that arrived since.
    """
    at, takes = _looked.get(scene.session_uid, (float("-inf"), ()))
    if time.monotonic() - at > FRESH_SECONDS or takes != tuple(pump.link().takes):
        return None
    return _found.get(scene.session_uid)


def refresh() -> bool:
    """Look now; whether anything changed.

    Of a scene that cannot be looked at, what was found last stays; its error is logged once.
    """
    for job in pump.link().jobs.open:
        job_icons.load(job)
    found = dict[int, PanelState]()
    for scene in {window.scene for window in bpy.context.window_manager.windows}:
        number = scene.session_uid
        try:
            found[number] = _look(scene)
        except Exception as error:
            if _troubles.get(number) != repr(error):
                log.exception("what the sidebar shows of %r could not be found", scene.name)
            _troubles[number] = repr(error)
            if number in _found:
                found[number] = _found[number]
        else:
            _looked[number] = time.monotonic(), tuple(pump.link().takes)
            _troubles.pop(number, None)
    changed = found != _found
    _found.clear()
    _found.update(found)
    return changed


def follow() -> None:
    """Look every :data:`SECONDS`; called by the timer. An error that stays is logged once."""
    global _next, _trouble
    if (now := time.monotonic()) < _next or blender_state.raised:
        return
    _next = now + SECONDS
    try:
        changed = refresh()
    except Exception as error:
        if repr(error) != _trouble:
            log.exception("what the sidebar shows could not be found")
        _trouble = repr(error)
        return
    _trouble = ""
    if changed:
        viewport.redraw_sidebar()


def _look(scene: Scene) -> PanelState:
    link, collection = pump.link(), scene.levitor.lift
    active = viewport.layer_of(scene).objects.active
    foreign = collection is not None and linked.is_foreign(collection)
    hindrance = blender_state.hindrance()
    takes = frozenset(take.job for _, take in sequencer.of_this_file(link.takes.values()))
    placed = _placed(scene)
    said = {job: obedience.said(text) for job, text in numbers(scene).items()}
    return PanelState(
        has_lifts=bool(active_lift.every()),
        foreign=linked.sentence(collection) if foreign else "",
        kind=collection.get(lifts.KIND, "") if collection is not None else "",
        colour_differences=tuple(colour_management.differences(scene))
        if collection is not None
        else (),
        depth_from=_depth_from(scene.levitor),
        hint=selection.hint(active, collection),
        notices=(*notices.of(scene), *notices.off_rest(scene)),
        takes=takes,
        has_takes=bool(takes or placed),
        placed=placed,
        obeyed={job: one for job, one in said.items() if one is not None},
        option_groups=options.groups(scene, scene.levitor.engine),
        toggles=options.toggles(scene, scene.levitor.engine),
        lost_choices={
            name: str(error)
            for name, error in options.lost_choices(scene, scene.levitor.engine).items()
        },
        wrong_frames=_wrong_frames(scene.levitor),
        blocked="" if hindrance is None else f"since {hindrance[0]}. {hindrance[1]}",
    )


def numbers(scene: Scene) -> dict[str, str]:
    """By job, what is kept of how well the takes of ``scene`` and of this session obeyed."""
    strips = {
        strip.get("levitor_job", ""): strip[sequencer.OBEDIENCE]
        for strip in playback.of_scene(scene)
        if isinstance(strip.get(sequencer.OBEDIENCE), str)
    }
    takes = {job: take.obedience for job, take in pump.link().takes.items() if take.obedience}
    return strips | takes


def _placed(scene: Scene) -> tuple[PlacedTake, ...]:
    found: dict[str, PlacedTake] = {}
    for strip in reversed(playback.of_scene(scene)):
        job, made = strip.get("levitor_job", ""), str(strip.get("levitor_made", ""))[5:16]
        title = f"{strip['levitor_engine']}, seed {strip.get('levitor_seed', 0)}"
        if job not in found:  # a strip may have been copied
            found[job] = PlacedTake(job=job, title=", ".join(filter(None, (title, made))))
    return tuple(found.values())


def _depth_from(settings: Any) -> str:
    """What will give the next lift its depth; empty where that is a ground or a backdrop."""
    if settings.depth_path:
        return "the depth map"
    welcome, name = pump.link().welcome, settings.depth_model
    found = welcome.perception if welcome is not None else ()
    depths = [one.name for one in found if one.task == "depth"]
    if name == "auto" and depths:
        name = depths[0]
    flat = ("", "auto", "offline", *flat_scene.DEPTH_NAMES.values())
    return "" if name in flat else name


def _wrong_frames(settings: Any) -> str:
    """Why as many samples as are asked for are refused; empty where they are not."""
    engine = next((e for e in pump.link().engines() if e.name == settings.engine), None)
    if engine is None or not settings.frames:
        return ""
    wrong = frames.rule_of(engine).refusal(engine.name, settings.frames)
    return "" if wrong is None else str(wrong)


def forget() -> None:
    """Another file was opened: nothing is known of its scenes."""
    for kept in (_found, _looked, _troubles):
        kept.clear()


def start() -> None:
    """Begin to look."""
    pump.follow(follow)


def stop() -> None:
    """Look no more."""
    pump.unfollow(follow)
