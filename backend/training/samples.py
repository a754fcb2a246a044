"""What a model makes of a few examples during a run, beside the clips themselves."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.autograd import without_gradients
from backend.training import random_states
from backend.training.base import (
    Batch,
    Example,
    Examples,
    Sampler,
    TrainableModel,
    example_generator,
)
from backend.training.order import SHOWN
from protocol.errors import ShotError

CLIPS, STEPS = 4, 15
SMALLEST = 128
"""Pixels; smaller clips are enlarged, to be seen."""
HUE = 0.61803398875


@without_gradients()
def make_samples(
    model: TrainableModel, sampler: Sampler, examples: Examples, seed: int, device: torch.device
) -> Tensor | None:
    """Let the model make the same few clips as ever; None where none of them can be read.

    Leaves hidden generators and the networks' modes as they were.

    Args:
        model: whose networks are set to evaluation.
        sampler: the same object.
        examples: of the run.
        seed: of the noise.
        device: the networks'.

    Returns:
        ``(B, F, 3, H, 2 W)`` in [0, 1], see :func:`beside`.
    """
    found = _readable(examples)
    if not found:
        return None
    batch = Batch.of(found).to(device)
    networks = list(model.networks().values())
    modes = [one.training for one in networks]
    with random_states.kept():
        try:
            for one in networks:
                one.eval()
            generators = [example_generator(seed, one.number) for one in found]
            made = sampler.sample(batch, generators, STEPS)
        finally:
            for one, mode in zip(networks, modes, strict=True):
                one.train(mode)
    return beside(batch.frames.cpu(), made.float().cpu(), batch.maps.cpu())


def _readable(examples: Examples) -> list[Example]:
    found: list[Example] = []
    for number in range(SHOWN, SHOWN + 4 * CLIPS):
        try:
            found.append(examples[number])
        except ShotError:
            continue
        if len(found) == CLIPS:
            break
    return found


def beside(clips: Tensor, made: Tensor, maps: Tensor) -> Tensor:
    """Clips on the left, what was made on the right, the control drawn over both.

    Args:
        clips: ``(B, F, 3, H, W)`` in [0, 1].
        made: the same shape.
        maps: ``(B, F, C, H, W)`` raw; heat, and ids where there is a second channel.
    """
    drawn = torch.cat([_with_control(clips, maps), _with_control(made, maps)], -1)
    times = -(-SMALLEST // drawn.shape[-2])
    if times > 1:
        drawn = F.interpolate(drawn.flatten(0, 1), scale_factor=times).unflatten(0, clips.shape[:2])
    return drawn[..., : drawn.shape[-2] // 2 * 2, : drawn.shape[-1] // 2 * 2]


def _with_control(frames: Tensor, maps: Tensor) -> Tensor:
    """Frames with the heat of the points over them, a colour an id."""
    heat = (maps[:, :, :1] / 255).clamp(0, 1)
    ids = maps[:, :, 1].long() if maps.shape[2] > 1 else torch.zeros_like(heat[:, :, 0]).long()
    colour = _palette(int(ids.max()) + 1)[ids].movedim(-1, 2)
    return torch.lerp(frames, colour, heat)


def _palette(count: int) -> Tensor:
    """``(count, 3)``: white for points of no id, then hues that stay apart."""
    colours: Sequence[tuple[float, float, float]] = [
        (1.0, 1.0, 1.0),
        *(colorsys.hsv_to_rgb((0.05 + i * HUE) % 1.0, 0.9, 1.0) for i in range(count)),
    ]
    return torch.tensor(colours[:count])
