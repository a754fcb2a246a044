"""Render the shot: build it, send it, keep the take and place it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import Context, Operator

from ..core import obedience, strips
from ..core import shot as core_shot
from ..link import pump
from ..link.pump import ResultHandler
from ..link.wire import ShotError, frames, messages, rules
from ..scene import blender_state, files, lifts, notices, options, playback, sequencer, shots
from .common import NeedsLift, Outcome, fill_from_scene, meet, reported

SETTINGS = ("engine", "seed", "frames", "anchors")


class ShotSettings(NeedsLift):
    """Arguments of operators that build a shot."""

    properties: Any  # Operator has it

    engine: StringProperty(
        name="Engine",
        description="Engine that renders the shot",
        default="draft",
        options={"SKIP_SAVE"},
    )
    seed: IntProperty(
        name="Seed",
        description="Same seed, same shot: the same take",
        min=0,
        options={"SKIP_SAVE"},
    )
    frames: IntProperty(
        name="Frames",
        description="Samples of the shot; 0 takes every frame, or as many as the engine makes",
        min=0,
        options={"SKIP_SAVE"},
    )
    anchors: BoolProperty(
        name="Static Anchors",
        description="What stays in place holds the scene and carries the camera",
        default=True,
        options={"SKIP_SAVE"},
    )
    options: StringProperty(
        name="Options",
        description="Settings of the engine as a JSON object; without it, those of the panel",
        options={"HIDDEN", "SKIP_SAVE"},  # for scripts
    )

    def read_shot(
        self, context: Context, *, may_play: bool = True
    ) -> tuple[messages.ShotMessage, dict[str, bytes]]:
        """The shot and its blobs; raises :class:`ShotError` for what cannot be rendered.

        Args:
            context: Blender's.
            may_play: whether the scene may be played for it where that is needed.
        """
        link, scene = pump.link(), context.scene
        known = {engine.name: engine for engine in link.engines()}
        if known and self.engine not in known:
            raise ShotError(
                "engine",
                f"The backend has no engine '{self.engine}'.",
                f"Choose one of: {', '.join(known)}.",
            )
        start, end = scene.frame_start, scene.frame_end
        rule = frames.rule_of(known[self.engine]) if known else frames.ANY_NUMBER
        count = core_shot.sample_count(self.frames, start, end, rule, link.limits.frames)
        if (wrong := rule.refusal(self.engine, count)) is not None:
            raise wrong
        given = self.properties.is_property_set("options")
        if not given and (lost := options.lost_choices(scene, self.engine)):
            raise next(iter(lost.values()))
        settings = core_shot.RenderSettings(
            frame_start=start,
            frame_end=end,
            fps=scene.render.fps / scene.render.fps_base,
            engine=self.engine,
            seed=self.seed,
            anchors=self.anchors,
            options=_options(self.options) if given else options.changed(scene, self.engine),
        )
        shot, blobs = shots.read(scene, settings, count, link.limits, may_play=may_play)
        requires = known[self.engine].requires if known else ()
        if (nothing := rules.nothing_to_follow(shot, requires)) is not None:
            raise nothing
        for notice in notices.note(scene, shot):
            if may_play:  # a live preview leaves it to the panel
                self.report({"WARNING"}, notice.text)  # pyright: ignore[reportAttributeAccessIssue]
        return shot, blobs


class LEVITOR_OT_render(ShotSettings, Operator):
    """Send the shot to the backend; the take goes into the sequencer when it is ready"""

    bl_idname = "levitor.render"
    bl_label = "Render Shot"
    bl_options = {"REGISTER"}  # No UNDO: it sends; an undo step is made when the take is placed

    wait: FloatProperty(
        name="Wait",
        description="Seconds to wait for the take; 0 returns at once",
        min=0.0,
        options={"HIDDEN", "SKIP_SAVE"},  # for scripts
    )

    def execute(self, context: Context) -> Outcome:
        """Take what was not given from the scene, send the shot; with a wait, place the take."""
        return reported(self, lambda: self._render(context))

    def _render(self, context: Context) -> str | None:
        link, scene = pump.link(), context.scene
        fill_from_scene(self, scene.levitor, SETTINGS)
        meet(context, self.wait)
        shot, blobs = self.read_shot(context)
        collection = lifts.active(scene)
        place = partial(
            _arrive,
            lift=collection.levitor.uid,
            photo=collection.name,
            shot=shot,
            folder=files.takes_folder(),
            loads=blender_state.loads(),
            asked=lifts.Asked.in_scene(scene),
        )
        label = f"{shot.engine}, seed {shot.seed}, {time.strftime('%H:%M')}"
        subject = f"{collection.levitor.uid} {shot.engine}"  # not the seed: any take of it mends
        handler = ResultHandler(
            kind="submit", label=label, place=place, subject=subject, any_file=True
        )
        task = link.start(messages.RenderRequest(shot=shot), blobs, handler)
        if not self.wait:
            return None
        note = link.wait(task, self.wait)
        take = next(reversed(link.takes.values()))
        return f"Rendered {take.path.name}. {note}".strip()


def _options(text: str) -> dict[str, messages.Scalar]:
    """The engine's options from JSON."""
    try:
        found: Any = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ShotError(
            "options", f"The options are not JSON: {error}.", 'Write them like {"softness": 1.5}.'
        ) from error
    if not isinstance(found, dict) or not all(
        isinstance(value, str | int | float | bool) for value in found.values()
    ):
        raise ShotError(
            "options",
            "The options must be names with text, numbers, true or false.",
            'Write them like {"softness": 1.5}.',
        )
    return found


def _arrive(
    result: messages.Rendered,
    blobs: Mapping[str, bytes],
    *,
    lift: str,
    photo: str,
    shot: messages.ShotMessage,
    folder: Path,
    loads: int,
    asked: lifts.Asked,
) -> str:
    """Keep the video, whatever is open and wherever there is room; place it where it belongs.

    Args:
        folder: where it goes if another file was opened since it was asked for.
        loads: how many files had been opened then.
        asked: the scene it was asked for in.

    Returns:
        What the artist should know, if anything.
    """
    if blender_state.loads() == loads:
        folder = files.takes_folder()  # the file may have been saved since
    stem = strips.take_name(photo.removeprefix("LeviTor "), result.engine, result.seed, result.job)
    path, moved = files.keep_take(folder, stem, blobs[result.video.sha256])
    take = sequencer.Take(
        job=result.job,
        lift=lift,
        path=path,
        frame_start=shot.frame_start,
        frame_end=shot.frame_end,
        engine=result.engine,
        seed=result.seed,
        options=result.options,
        shot=result.shot,
        made=time.strftime("%Y-%m-%d %H:%M:%S"),
        shown=result.shown,
        obedience=obedience.kept(result.obedience, {one.id: one.name for one in shot.instances})
        if result.obedience is not None
        else "",
        asked_in=asked,
    )
    pump.link().takes[take.job] = take
    try:
        scene = sequencer.scene_for(take)
    except ShotError:
        return f"Kept as {path}; open its file and use Place Take."
    if scene.levitor.place_automatically:
        try:
            sequencer.place(take)
            playback.show_all_channels()
        except ShotError as error:
            return f"Kept as {path}. {error}"
        bpy.ops.ed.undo_push(message="Place Take")
    return "\n".join(filter(None, (moved, *result.notes)))
