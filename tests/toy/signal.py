"""What the toy engine is told: the boxes of the instances that it shall tint, and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backend.contracts import Boxes, Control, Frames
from backend.control.preview import Look, look_at_masks
from backend.engines.base import Scalar
from protocol.options import ids_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySignal:
    """Boxes of all instances, the ids of those that are meant (none means all), and the prompt."""

    boxes: Boxes
    chosen: tuple[int, ...]
    prompt: str


def encode(control: Control, options: Mapping[str, Scalar]) -> ToySignal:
    """Where the chosen instances are."""
    return ToySignal(
        boxes=control.boxes(),
        chosen=ids_of(str(options["which"])),
        prompt=str(options["prompt"]),
    )


def show(control: Control, signal: ToySignal, look: Look) -> Frames:
    """The masks."""
    del signal
    return look_at_masks(control.masks(), look)


def notes(control: Control, options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """The prompt, so that a test sees what arrived."""
    del control
    return (f"Prompt: {options['prompt']!r}.",)


def shown(control: Control, options: Mapping[str, Scalar]) -> tuple[float, float, float, float]:
    """All of the photo."""
    del options
    height, width = control.image.shape[-2:]
    return 0, 0, height, width
