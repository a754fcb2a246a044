"""What clicks, a box or a mask from a file may mean, and the depth of each meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.perception import classical, mask_refinement
from backend.perception.base import Array, Candidates, OnNote
from backend.perception.perceive import Perception


@dataclass(frozen=True, slots=True, kw_only=True)
class Picks:
    """What clicks may have meant: C candidates, best first.

    Attributes:
        masks: (H, W) bool each.
        depths: (H, W) float32 each, with the instance's own depth where its mask is.
        scores: (C,) float32.
        logits: (C, h, w) float32, to be refined; ``None`` where the model has none.
        model: what made the masks.
        notes: what the artist should know, a sentence each.
    """

    masks: tuple[Array, ...]
    depths: tuple[Array, ...]
    scores: Array
    logits: Array | None
    model: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightScene:
    """The scene that what was picked stands upright in: its kind and the range of its depth."""

    kind: str
    near: float
    far: float


def candidates(
    pixels: Array,
    points: Array,
    positive: Array,
    box: Sequence[float] | None,
    previous: Array | None,
    perception: Perception,
    key: str,
    on_note: OnNote,
) -> Candidates:
    """What the segment model finds for clicks and a box.

    Args:
        pixels: uint8 (H, W, 3).
        points: ``(K, 2)`` clicks (x, y) in pixels.
        positive: ``(K,)`` truthy where the click is on the instance.
        box: (x0, y0, x1, y1) around the instance, or None.
        previous: ``(h, w)`` logits of the mask that is to be refined, or None.
        perception: the models that look at the photo.
        key: content hash of ``pixels``; "" where it is not known.
        on_note: told when less was done than asked.

    Raises:
        ShotError: the clicks make no sense.
    """
    model = perception.segments
    found = model.segment(model.encode(pixels, key), points, positive, box, previous)
    if previous is not None and found.logits is None:
        on_note(f"{model.name} cannot refine a mask; it looked at all clicks anew.")
    return found


def given_mask(mask: Array) -> Candidates:
    """A mask from a file as the only candidate."""
    return Candidates(masks=mask[None], scores=np.ones(1, np.float32), logits=None)


def valid_masks(
    pixels: Array, found: Candidates
) -> tuple[tuple[npt.NDArray[np.bool_], ...], list[int]]:
    """Refined candidate masks that are valid instances, and their indices in ``found``.

    Masks of a network are refined by colour. Those that are empty, full or equal to a better one
    are dropped.

    Raises:
        ShotError: none is left.
    """
    band = mask_refinement.mask_band(*pixels.shape[:2]) if found.logits is not None else 0
    masks: list[npt.NDArray[np.bool_]] = []
    kept: list[int] = []
    for index, mask in enumerate(found.masks):
        refined = mask_refinement.refine_mask(pixels, mask, band)
        some = refined.any() and not refined.all()
        if some and not any((refined == better).all() for better in masks):
            masks.append(refined)
            kept.append(index)
    if not kept:
        classical.checked_mask(found.masks[0])
    return tuple(masks), kept


def instance_depth(depth: Array, mask: Array, upright: UprightScene | None) -> Array:
    """``depth`` (H, W) with the instance's own where ``mask`` is.

    Args:
        depth: of the scene.
        mask: bool (H, W).
        upright: where the depth knows no objects, the scene that the instance stands upright in.
    """
    if upright is None:
        return mask_refinement.clean_instance_depth(
            depth, mask, mask_refinement.depth_band(*depth.shape)
        )
    return classical.stand_upright(depth, mask, upright.kind, upright.near, upright.far)
