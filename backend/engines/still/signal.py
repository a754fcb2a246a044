"""The signal of the still engine: the number of frames."""

from __future__ import annotations

from collections.abc import Mapping

from backend.contracts import Control, Frames
from backend.control.preview import Look, look_at_masks
from backend.engines.base import Scalar


def encode(control: Control, options: Mapping[str, Scalar]) -> int:
    """The number of frames. Others ask the control for masks, tracks, boxes or a draft."""
    del options
    return control.num_frames


def show(control: Control, signal: int, look: Look) -> Frames:
    """The preview of the control. What an engine is not told, its preview does not draw."""
    del signal
    return look_at_masks(control.masks(), look)


def notes(control: Control, options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """What the artist should know of the take, a sentence each."""
    del options
    told = "A still shows no motion; choose another engine to see it."
    return (told,) if control.num_frames > 1 else ()


def shown(control: Control, options: Mapping[str, Scalar]) -> tuple[float, float, float, float]:
    """The part of the photo that the frames show: top, left, height, width in its pixels."""
    del options
    height, width = control.image.shape[-2:]
    return 0, 0, height, width
