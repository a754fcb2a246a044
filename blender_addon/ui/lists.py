"""Lists of the sidebar: instances, options of an engine, and the rows of jobs."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import blf
import bpy
from bpy.types import Context, UILayout, UIList

from ..core.jobs import JobRow
from ..core.obedience import Said
from ..scene import options
from ..scene.notices import Notice
from ..scene.panel_state import PanelState, PlacedTake

KINDS = {"lift": "Lift", "segment": "Pick", "submit": "Render", "preview": "Preview"}
ROWS = 4
TAKES = 12
LETTERS = 44
"""Of a line, where there is no window to measure it in."""
BUTTON = 20
"""Pixels of an icon or a square button, at a scale of 1."""
MARGIN = 70
"""Pixels of a sidebar without text: its tabs, the panel's and a box's edges, at a scale of 1."""


class LEVITOR_UL_instances(UIList):
    """Instances of the lifted photo, in the order they were made."""

    def draw_item(
        self,
        context: Context,
        layout: UILayout,
        data: Any,
        item: Any,
        icon: int,
        active_data: Any,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        """Draw the name, which can be changed here, and whether it moves."""
        layout.prop(item, "name", text="", emboss=False, icon="EMPTY_ARROWS")
        layout.prop(item, "moving", text="", icon="ANIM" if item.moving else "PINNED")


def draw_options(layout: UILayout, settings: Any, state: PanelState, *, advanced: bool) -> None:
    """Draw the options of the chosen engine under their headings.

    Args:
        layout: where.
        settings: of the scene.
        state: what was found of it.
        advanced: which of the two panels this is.
    """
    for group in state.option_groups:
        if group.advanced != advanced:
            continue
        column = layout.column(align=True)
        if group.heading:
            column.label(text=group.heading)
        for option in group.options:
            item = settings.engine_options.get(f"{settings.engine}.{option.name}")
            if item is None:
                continue  # the engine was changed a moment ago
            if option.name in state.toggles:
                lost = state.lost_choices.get(option.name, "")
                _draw_toggles(column, item, state.toggles[option.name], lost)
            else:
                column.prop(item, options.PATH, text=item.label, slider=item.slider)


def _draw_toggles(
    layout: UILayout, item: Any, instances: tuple[tuple[str, bool], ...], lost: str
) -> None:
    """Draw a button for each moving instance; those that are pressed are named.

    Args:
        layout: where.
        item: the option's field.
        instances: name, and whether the option names it.
        lost: what to say where it names others only; empty where it does not.
    """
    every = not lost and not any(chosen for _, chosen in instances)
    layout.label(text=f"{item.label}: all that move" if every else f"{item.label}:")
    for name, chosen in instances:
        button = layout.operator("levitor.choose_instance", text=name, depress=chosen)
        button.option, button.instance = item.name, name
    if lost:
        column = layout.column()
        column.alert = True
        draw_text(column, lost)
        column.operator("levitor.clear_choice", icon="X").option = item.name


def draw_jobs(
    layout: UILayout,
    jobs: list[JobRow],
    takes: Container[str],
    obeyed: Mapping[str, Said],
    opened: int,
) -> None:
    """Draw the last few jobs: progress and a cancel button, or what went wrong and what to do.

    A note on what went well stays under its own row, however many jobs came after it.

    Args:
        layout: where.
        jobs: the rows, oldest first.
        takes: the backend's names of the jobs that made a take of this file, which can be watched.
        obeyed: by the backend's name of the job, how well its take obeyed the shot.
        opened: how many files were opened; a row of an earlier one names its file.
    """
    for job in reversed(jobs[-ROWS:]):
        title = f"{KINDS.get(job.kind, job.kind)}: {job.label}"
        if job.opened != opened:
            title = f"{title} ({job.file})"
        if job.state == "failed":
            box = layout.box()
            row = box.row(align=True)
            draw_text(row.column(), title, icon="ERROR", beside=2)
            row.operator("levitor.dismiss", text="", icon="X").task = job.task
            draw_text(box, job.text)
        elif job.final:
            icon = "CHECKMARK" if job.state == "done" else "X"
            row = layout.row(align=True)
            draw_text(row.column(), f"{title}, {job.state}", icon=icon, beside=3)
            if job.job in takes:
                row.operator("levitor.watch_take", text="", icon="PLAY").job = job.job
            row.operator("levitor.dismiss", text="", icon="X").task = job.task
            if job.state == "done" and job.job in obeyed:
                _draw_numbers(layout, job.job, obeyed[job.job])
            if job.state == "done" and job.sentence:
                draw_text(layout, job.sentence)
        else:
            bar = f"{title}, {job.activity}"
            if not _fitting(1)(bar):  # a bar has one line
                draw_text(layout, title)
                bar = job.activity
            row = layout.row(align=True)
            row.progress(factor=job.factor, type="BAR", text=bar)
            row.operator("levitor.cancel", text="", icon="X").job = job.task
            if job.sentence:
                draw_text(layout, job.text)


def draw_takes(layout: UILayout, takes: Iterable[PlacedTake], obeyed: Mapping[str, Said]) -> None:
    """Draw takes of the sequencer, each with a button to watch it and its numbers.

    Args:
        layout: where.
        takes: newest first.
        obeyed: by job, how well a take obeyed its shot.
    """
    for take in takes:
        row = layout.row(align=True)
        draw_text(row.column(), take.title, icon="SEQUENCE", beside=2)
        row.operator("levitor.watch_take", text="", icon="PLAY").job = take.job
        if take.job in obeyed:
            _draw_numbers(layout, take.job, obeyed[take.job])


def _draw_numbers(layout: UILayout, job: str, said: Said) -> None:
    """Draw a take's numbers as one line, or as three; the tooltip says all of them with units."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    for text in (said.line,) if _fitting()(said.line) else said.parts:
        row = column.row()
        row.alignment = "LEFT"
        row.operator("levitor.take_numbers", text=text, emboss=False).job = job


def draw_notices(layout: UILayout, found: Iterable[Notice]) -> None:
    """Draw what the shot does not follow, each with the button that mends it."""
    for notice in found:
        box = layout.box()
        draw_text(box, notice.text)
        if notice.operator:
            button = box.operator(notice.operator)
            for name, value in notice.arguments.items():
                setattr(button, name, value)


def draw_text(layout: UILayout, text: str, icon: str = "NONE", beside: int = 0) -> None:
    """Draw a sentence over as many lines as the sidebar needs, at the width that it has now.

    Args:
        layout: where.
        text: the sentence.
        icon: before its first line.
        beside: how many icons and square buttons take room beside it.
    """
    column = layout.column(align=True)
    column.scale_y = 0.8
    fits = _fitting(beside)
    lines, line = list[str](), ""
    for word in text.split():
        if line and not fits(f"{line} {word}"):
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    for number, each in enumerate([*lines, line] if line else []):
        column.label(text=each, icon="NONE" if number else icon)


def _fitting(beside: int = 0) -> Callable[[str], bool]:
    """Whether a line of text fits into the sidebar; by letters where nothing is drawn.

    Args:
        beside: how many icons and square buttons stand beside it.
    """
    region = bpy.context.region
    if bpy.app.background or region is None:
        return lambda line: len(line) <= LETTERS
    preferences = bpy.context.preferences
    scale = preferences.system.ui_scale
    blf.size(0, preferences.ui_styles[0].widget.points * scale)
    room = region.width - (MARGIN + BUTTON * beside) * scale
    return lambda line: blf.dimensions(0, line)[0] <= room
