"""How much of a device's memory a take may use: the presets, and which one fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from backend.networks import weight_bytes
from backend.resources import is_out_of_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a preset gives up for memory. None of it changes a take beyond rounding, but for
    ``decode_chunk`` and ``tile``: the decoder looks along time, and a little over each tile's edge.

    Attributes:
        preset: its name.
        sequential_cfg: the two passes of guidance run one after the other.
        offload: networks that are not at work wait in main memory.
        decode_chunk: frames decoded at once, 0 for all.
        tile: side in latents of what is decoded at once, 0 for the whole frame.
        feed_forward: frames a feed-forward layer takes at once, 0 for all.
    """

    preset: str
    sequential_cfg: bool
    offload: bool
    decode_chunk: int
    tile: int
    feed_forward: int


PLANS = (
    Plan(
        preset="high",
        sequential_cfg=False,
        offload=False,
        decode_chunk=0,
        tile=0,
        feed_forward=0,
    ),
    Plan(
        preset="balanced",
        sequential_cfg=True,
        offload=True,
        decode_chunk=4,
        tile=0,
        feed_forward=0,
    ),
    Plan(
        preset="low",
        sequential_cfg=True,
        offload=True,
        decode_chunk=1,
        tile=32,
        feed_forward=1,
    ),
)
"""From the one that takes most."""


def plan_of(preset: str) -> Plan:
    """The plan called ``preset``."""
    return next(plan for plan in PLANS if plan.preset == preset)


def lower_preset(preset: str) -> str | None:
    """The next preset that needs less, if there is one."""
    names = [plan.preset for plan in PLANS]
    at = names.index(preset) + 1
    return names[at] if at < len(names) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a take in which the same networks are at work.

    Attributes:
        networks: bytes of each network's weights, by a name that is the same in every stage.
        activations: the most bytes that are alive beside them, under a plan.
    """

    networks: Mapping[str, int]
    activations: Callable[[Plan], int]


def needed_bytes(plan: Plan, stages: Mapping[str, Stage]) -> int:
    """The most a take holds at once under a plan.

    Args:
        plan: a preset's.
        stages: of the take, by name, as :func:`svd_stages` has them and with those of its engine.
    """
    if plan.offload:
        return max(
            sum(stage.networks.values()) + stage.activations(plan) for stage in stages.values()
        )
    networks = {name: size for stage in stages.values() for name, size in stage.networks.items()}
    return sum(networks.values()) + max(stage.activations(plan) for stage in stages.values())


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


def svd_stages(
    codecs: Mapping[str, int],
    denoisers: Mapping[str, int],
    *,
    frames: int,
    height: int,
    width: int,
    guided: bool,
    element_size: int,
) -> dict[str, Stage]:
    """The stages of every take on Stable Video Diffusion: ``encode``, ``denoise`` and ``decode``.

    Args:
        codecs: bytes of the weights of ``image_encoder`` and ``vae``, by these names.
        denoisers: of the UNet and of as many ControlNets as there are, by name.
        frames: of the take.
        height: of a frame, pixels.
        width: likewise.
        guided: whether there is an unconditional pass.
        element_size: bytes of a number while computing.
    """
    pixels = height * width

    def encoding(plan: Plan) -> int:
        # The encoder's weights are there in single precision as well
        return pixels * ENCODER_ELEMENTS * 4 + codecs["vae"]

    def denoising(plan: Plan) -> int:
        clips = 2 if guided and not plan.sequential_cfg else 1
        elements = CHUNKED_ELEMENTS if plan.feed_forward else DENOISER_ELEMENTS
        return clips * frames * (pixels // 64) * elements * element_size

    def decoding(plan: Plan) -> int:
        together = min(plan.decode_chunk or frames, frames)
        at_once = pixels if not plan.tile else min(pixels, (8 * plan.tile) ** 2)
        decoded = together * at_once * DECODER_ELEMENTS * element_size
        decoded += frames * pixels * PIXEL_BYTES
        if plan.tile:  # tiles are added up beside what is done
            decoded += (together + 1) * pixels * PIXEL_BYTES
        return decoded

    return {
        "encode": Stage(networks=codecs, activations=encoding),
        "denoise": Stage(networks=denoisers, activations=denoising),
        "decode": Stage(networks=codecs, activations=decoding),
    }


def free_bytes(device: torch.device, *own: nn.Module) -> int | None:
    """What a take may use of a device's own memory; None where it has none, as a CPU.

    Where its ``own`` networks lie there from the take before, their place is free to it: the same
    take then finds the same preset.
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
    memory: str, free: int | None, stages: Mapping[str, Stage], together: bool = False
) -> Plan:
    """The preset asked for; with ``auto``, the highest that fits what is free.

    On a CPU (``free`` is None) ``auto`` is ``balanced``: there is nothing to offload, and its two
    passes take no longer than one of twice the size. ``together`` says that both passes of guidance
    must be one batch.
    """
    if memory != "auto":
        return plan_of(memory)
    if together:
        return plan_of("high")
    if free is None:
        return plan_of("balanced")
    for plan in PLANS:
        if needed_bytes(plan, stages) < 0.92 * free:
            return plan
    return PLANS[-1]


def chunk_feed_forward(size: int, *networks: nn.Module) -> None:
    """Let every feed-forward layer take ``size`` frames at once, 0 for all."""
    for network in networks:
        for module in network.modules():
            set_chunks: Any = getattr(module, "set_chunk_feed_forward", None)
            if set_chunks is not None:
                set_chunks(size or None, dim=0)
