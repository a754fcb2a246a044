"""How much of a device a shot may take: the rungs of a ladder, and which one fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from backend.resources import is_out_of_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One rung: what is given up for memory. None of it changes a take beyond rounding, but for
    ``decode_chunk`` and ``tile``: the decoder looks along time, and a little over each tile's edge.

    Attributes:
        rung: its name.
        apart: the two passes of guidance run one after the other.
        park: parts that are not at work wait in main memory.
        decode_chunk: frames decoded at once, 0 for all.
        tile: side in latents of what is decoded at once, 0 for the whole frame.
        feed_forward: frames a feed-forward layer takes at once, 0 for all.
    """

    rung: str
    apart: bool
    park: bool
    decode_chunk: int
    tile: int
    feed_forward: int


PLANS = (
    Plan(rung="high", apart=False, park=False, decode_chunk=0, tile=0, feed_forward=0),
    Plan(rung="balanced", apart=True, park=True, decode_chunk=4, tile=0, feed_forward=0),
    Plan(rung="low", apart=True, park=True, decode_chunk=1, tile=32, feed_forward=1),
)
"""From the one that takes most."""


def plan_of(rung: str) -> Plan:
    """The plan called ``rung``."""
    return next(plan for plan in PLANS if plan.rung == rung)


def lower_rung(rung: str) -> str | None:
    """The next rung that needs less, if there is one."""
    names = [plan.rung for plan in PLANS]
    at = names.index(rung) + 1
    return names[at] if at < len(names) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Bytes of each part's weights."""

    image_encoder: int
    vae: int
    unet: int
    controlnet: int


def weight_bytes(network: nn.Module) -> int:
    """Bytes of a network's parameters."""
    return sum(value.numel() * value.element_size() for value in network.parameters())


# Numbers alive at the worst moment, counted by running the real networks at real sizes without
# memory (python -m tests.benchmarks --footprint). They grow with cells and pixels, with nothing
# else: no attention keeps a matrix.
DENOISER_ELEMENTS = 9_050
"""For each latent cell of a clip."""
CHUNKED_ELEMENTS = 6_900
"""Likewise, where feed-forward layers take a frame at once."""
DECODER_ELEMENTS = 1_050
"""For each pixel that is being decoded."""
ENCODER_ELEMENTS = 570
"""For each pixel of the photo, in single precision."""
PIXEL_BYTES = 3 * 4
"""A pixel of a frame that is done."""


def needed_bytes(
    plan: Plan,
    weights: Weights,
    frames: int,
    height: int,
    width: int,
    guided: bool,
    element_size: int,
) -> int:
    """The most a shot takes at once on a rung.

    Args:
        plan: the rung.
        weights: of the parts.
        frames: of the shot.
        height: of a frame, pixels.
        width: likewise.
        guided: whether there is an unconditional pass.
        element_size: bytes of a number while computing.
    """
    pixels = height * width
    clips = 2 if guided and not plan.apart else 1
    elements = CHUNKED_ELEMENTS if plan.feed_forward else DENOISER_ELEMENTS
    denoising = clips * frames * (pixels // 64) * elements * element_size
    together = min(plan.decode_chunk or frames, frames)
    at_once = pixels if not plan.tile else min(pixels, (8 * plan.tile) ** 2)
    decoding = together * at_once * DECODER_ELEMENTS * element_size + frames * pixels * PIXEL_BYTES
    if plan.tile:  # tiles are added up beside what is done
        decoding += (together + 1) * pixels * PIXEL_BYTES
    # The encoder's weights are there in single precision as well
    encoding = pixels * ENCODER_ELEMENTS * 4 + weights.vae
    coding = max(encoding, decoding)
    denoisers = weights.unet + weights.controlnet
    codecs = weights.image_encoder + weights.vae
    if plan.park:
        return max(denoisers + denoising, codecs + coding)
    return denoisers + codecs + max(denoising, coding)


def free_bytes(device: torch.device, *own: nn.Module) -> int | None:
    """What a shot may take of a device's own memory; None where it has none, as a CPU.

    Where its ``own`` networks lie there from the shot before, their place is free to it: the same
    shot then finds the same rung.
    """
    if device.type != "cuda":
        return None
    try:
        free, _ = torch.cuda.mem_get_info(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return 0  # so full that even the asking found no room
    # What this process holds but does not use is free to it as well
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    here = [network for network in own if next(network.parameters()).device.type == device.type]
    return free + sum(weight_bytes(network) for network in here)


def choose_plan(
    memory: str,
    free: int | None,
    weights: Weights,
    frames: int,
    height: int,
    width: int,
    guided: bool,
    element_size: int,
    together: bool = False,
) -> Plan:
    """The rung asked for; with ``auto``, the highest that fits what is free.

    On a CPU (``free`` is None) ``auto`` is ``balanced``: there is nothing to park, and its two
    passes take no longer than one of twice the size. ``together`` says that the passes may not be
    parted.
    """
    if memory != "auto":
        return plan_of(memory)
    if together:
        return plan_of("high")
    if free is None:
        return plan_of("balanced")
    for plan in PLANS:
        if needed_bytes(plan, weights, frames, height, width, guided, element_size) < 0.92 * free:
            return plan
    return PLANS[-1]


def chunk_feed_forward(size: int, *networks: nn.Module) -> None:
    """Let every feed-forward layer take ``size`` frames at once, 0 for all."""
    for network in networks:
        for module in network.modules():
            set_chunks: Any = getattr(module, "set_chunk_feed_forward", None)
            if set_chunks is not None:
                set_chunks(size or None, dim=0)


def place(device: torch.device, *networks: nn.Module) -> None:
    """Move networks to ``device``, if they are not there."""
    for network in networks:
        if next(network.parameters()).device != device:
            nn.Module.to(network, device)


@contextmanager
def at_work(device: torch.device, park: bool, *networks: nn.Module) -> Iterator[None]:
    """Networks on ``device`` for as long as they work; then parked, if the plan says so."""
    try:
        place(device, *networks)
        yield
    finally:
        if park:
            place(torch.device("cpu"), *networks)
            if device.type == "cuda":
                torch.cuda.empty_cache()
