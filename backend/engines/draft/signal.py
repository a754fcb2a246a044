"""The signal of the draft engine: the draft itself. Pure, no weights, no device."""

from __future__ import annotations

from collections.abc import Mapping

from backend.contracts import Control, Draft, Frames
from backend.control.preview import Look, look_at_masks
from backend.engines.base import Scalar


def encode(control: Control, options: Mapping[str, Scalar]) -> Draft:
    """The draft's frames, each composed when it is asked for."""
    return control.draft(softness=float(options["softness"]))


def show(control: Control, signal: Draft, look: Look) -> Frames:
    """Which instance is seen where and how far away; a draft has no control points."""
    del signal  # its frames are what a take of it shows
    return look_at_masks(control.masks(), look)


def shown(control: Control, options: Mapping[str, Scalar]) -> tuple[float, float, float, float]:
    """All of the photo."""
    del options
    height, width = control.image.shape[-2:]
    return 0, 0, height, width


def notes(control: Control, options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Nothing: a draft is what it is at any size and length."""
    del control, options
    return ()
