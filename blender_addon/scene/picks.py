"""What is picked: the mask that is shown, and the others that the same clicks may have meant.

The .blend holds the shown mask alone. The others are kept in memory under a key that the lift
names, so that undo and redo come back to theirs; another session does without them. With a photo of
4096 pixels a side one pick may have 200 MB of them: the oldest make room for the newest, and a pick
that undo comes back to says when its others are gone.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Context

from ..core.mask_candidates import Box, Click, MaskCandidates
from ..link.wire import ShotError, messages
from . import cloud, ground_backdrop, lifts, linked, viewport

LIMIT = 256_000_000
"""Bytes of answers in memory; undo goes back further only without the other masks."""
OPERATOR = "LEVITOR_OT_pick"
"""What Blender calls the operator that waits for clicks."""
GONE = "Its other masks made room for newer ones"
_kept: OrderedDict[str, MaskCandidates] = OrderedDict()
"""By key, the oldest first."""
_gone: set[str] = set()
"""Keys of answers that had several masks and made room."""


def place(collection: Collection, found: MaskCandidates) -> None:
    """Show the best mask of an answer that has a pixel in the background; keep all such.

    Raises:
        ShotError: none has; nothing was changed.
    """
    linked.check(collection)
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
    lift.clicks.clear()
    for x, y, positive in found.clicks:
        click = lift.clicks.add()
        click.x, click.y, click.positive = x, y, positive
    lift.box = found.box or (0.0,) * 4
    lift.pick = key
    _make_room(key)
    _show(lift, _kept[key], 0)


def is_waiting(context: Context) -> bool:
    """Whether picking waits for clicks in any window, as Blender knows it."""
    return any(
        running.bl_idname == OPERATOR
        for window in context.window_manager.windows
        for running in window.modal_operators
    )


def of(lift: Any) -> MaskCandidates | None:
    """The masks of what is picked; None where nothing is, or they are not in memory."""
    return _kept.get(lift.pick) if lift.picked else None


def several(lift: Any) -> bool:
    """Whether there is another mask to go to."""
    found = of(lift)
    return found is not None and len(found.masks) > 1


def label(lift: Any) -> str:
    """Which of several masks is shown, or that the others are gone; empty where there is one."""
    found = of(lift)
    if found is None and lift.picked and lift.pick in _gone:
        return GONE
    if found is None or len(found.masks) < 2:
        return ""
    return found.label(lift.candidate % len(found.masks))


def cycle(collection: Collection, step: int) -> str:
    """Show the mask ``step`` places on, round and round; says which.

    Raises:
        ShotError: there is no other mask.
    """
    linked.check(collection)
    lift = collection.levitor
    found = of(lift)
    if found is None and lift.picked:
        here = f"{GONE}, of which {LIMIT / 1e6:.0f} MB are kept."
        raise ShotError(
            "no_candidates",
            here if lift.pick in _gone else "The other masks of this pick are not here.",
            "Pick again.",
        )
    if found is None:
        raise ShotError(
            "no_candidates", "No pixel of the photo is picked.", "Pick something first."
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


def forget_gone() -> None:
    """Another file was opened, whose picks have other keys."""
    _gone.clear()


def forget() -> None:
    """Keep nothing."""
    _kept.clear()
    _gone.clear()


def _make_room(newest: str) -> None:
    """Let the oldest answers go, those that some lift shows last, until the rest fits."""
    shown = {collection.levitor.pick for collection in bpy.data.collections}
    total = sum(found.nbytes for found in _kept.values())
    for key in sorted(_kept, key=shown.__contains__):  # stable: the oldest first
        if total <= LIMIT:
            return
        if key != newest:
            found = _kept.pop(key)
            total -= found.nbytes
            if len(found.masks) > 1:
                _gone.add(key)


def _show(lift: Any, found: MaskCandidates, index: int) -> None:
    background, pixel = lift.background, cloud.pixels(lift.background)
    mask, depth = found.masks[index].at(pixel, lift.width * lift.height)
    # The scene may have become another one since the answer
    stands = ground_backdrop.picked_depth(lift, lifts.photo_of(lift.id_data), pixel, mask)
    if stands is not None:
        depth = np.where(mask, np.float32(stands), depth)
    cloud.set_floats(background.data, cloud.PICK, mask)
    cloud.set_floats(background.data, cloud.PICK_DEPTH, depth)
    background.update_tag()
    lift.candidate = index
    lift.picked = int(mask.sum())
    viewport.redraw_points()
