"""What is picked: the mask that is shown, and the others that the same clicks may have meant.

The .blend holds the shown mask alone. The others are kept in memory under a key that the lift
names, so that undo and redo come back to theirs; another session does without them.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bpy.types import Collection

from ..core.candidates import Box, Candidates, Click
from ..link.wire import ShotError, messages
from . import cloud, view

KEPT = 16
"""Answers in memory; undo goes back further only without the other masks."""
_kept: OrderedDict[str, Candidates] = OrderedDict()


def place(collection: Collection, found: Candidates) -> None:
    """Show the best mask of an answer that has a pixel in the background; keep all such.

    Raises:
        ShotError: none has; nothing was changed.
    """
    lift = collection.levitor
    pixel, size = cloud.pixels(lift.background), lift.width * lift.height
    masks = tuple(mask for mask in found.masks if mask.at(pixel, size)[0].any())
    if not masks:
        raise ShotError(
            "empty_pick",
            "The pick has no pixel that is not in an instance already.",
            "Click on another place.",
        )
    key = uuid.uuid4().hex
    _kept[key] = replace(found, masks=masks)
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    lift.clicks.clear()
    for x, y, positive in found.clicks:
        click = lift.clicks.add()
        click.x, click.y, click.positive = x, y, positive
    lift.box = found.box or (0.0,) * 4
    lift.pick = key
    _show(lift, _kept[key], 0)


def of(lift: Any) -> Candidates | None:
    """The masks of what is picked; None where nothing is, or they are not in memory."""
    return _kept.get(lift.pick) if lift.picked else None


def several(lift: Any) -> bool:
    """Whether there is another mask to go to."""
    found = of(lift)
    return found is not None and len(found.masks) > 1


def label(lift: Any) -> str:
    """Which of several masks is shown; empty where there are not several."""
    found = of(lift)
    if found is None or len(found.masks) < 2:
        return ""
    return found.label(lift.candidate % len(found.masks))


def cycle(collection: Collection, step: int) -> str:
    """Show the mask ``step`` places on, round and round; says which.

    Raises:
        ShotError: there is no other mask.
    """
    lift = collection.levitor
    found = of(lift)
    if found is None:
        raise ShotError(
            "no_candidates",
            "The other masks of this pick are not here."
            if lift.picked
            else "No pixel of the photo is picked.",
            "Pick again." if lift.picked else "Pick something first.",
        )
    if len(found.masks) < 2:
        raise ShotError(
            "no_candidates",
            "There is no other mask for these clicks.",
            "Add a click on what is missing, or Alt-click on what is too much.",
        )
    _show(lift, found, (lift.candidate + step) % len(found.masks))
    return label(lift)


def to_refine(
    lift: Any, clicks: Sequence[Click], box: Box
) -> tuple[messages.ArrayBlob, bytes] | None:
    """Logits of the shown mask, where these clicks go on from those that it answers."""
    found = of(lift)
    if found is None or not found.goes_on(clicks, box):
        return None
    return found.masks[lift.candidate % len(found.masks)].logits


def forget() -> None:
    """Keep nothing."""
    _kept.clear()


def _show(lift: Any, found: Candidates, index: int) -> None:
    background = lift.background
    mask, depth = found.masks[index].at(cloud.pixels(background), lift.width * lift.height)
    cloud.set_floats(background.data, cloud.PICK, mask)
    cloud.set_floats(background.data, cloud.PICK_DEPTH, depth)
    background.update_tag()
    lift.candidate = index
    lift.picked = int(mask.sum())
    view.redraw_points()
