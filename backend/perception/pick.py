"""Picking an instance: candidate masks from clicks, a box or a file, and their depth."""

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
    """The C candidate instances of a prompt, best first.

    Attributes:
        masks: (H, W) bool each.
        depths: (H, W) float32 each, the scene's depth with the instance's own inside its mask.
        scores: (C,) float32.
        logits: (C, h, w) float32, for refinement; ``None`` if the model has none.
        model: name of the model that made the masks.
        notes: sentences for the artist.
    """

    masks: tuple[Array, ...]
    depths: tuple[Array, ...]
    scores: Array
    logits: Array | None
    model: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightScene:
    """The flat scene in which a picked instance stands upright: its kind and depth range."""

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
    """Candidate masks of the segmentation model for clicks and a box.

    Args:
        pixels: uint8 (H, W, 3).
        points: ``(K, 2)`` clicks (x, y) in pixels.
        positive: ``(K,)`` truthy where the click is on the instance.
        box: (x0, y0, x1, y1) around the instance, or None.
        previous: ``(h, w)`` logits of the mask to refine, or None.
        perception: the models.
        key: content hash of ``pixels``; computed if empty.
        on_note: called if less was done than requested.

    Raises:
        ShotError: the prompt is invalid.
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
    """``depth`` (H, W) with the instance's own inside ``mask``.

    Args:
        depth: of the scene.
        mask: bool (H, W).
        upright: the flat scene that the instance stands upright in; None for any other depth.
    """
    if upright is None:
        return mask_refinement.clean_instance_depth(
            depth, mask, mask_refinement.depth_band(*depth.shape)
        )
    return classical.stand_upright(depth, mask, upright.kind, upright.near, upright.far)
