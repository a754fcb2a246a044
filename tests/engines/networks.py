"""Small networks and inputs for the tests of the SVD engines."""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor, nn

from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.tiny_weights import UNET
from backend.engines.svd.unet import ControlledUNet

SMALL = UNET | {"cross_attention_dim": 16}
"""Two resolutions, so one skip is halved; a context that is quick to make."""


class Inputs(NamedTuple):
    """What a network is called with, in its forward's order."""

    sample: Tensor
    timestep: Tensor
    context: Tensor
    added_time_ids: Tensor


def inputs(clips: int = 1, height: int = 8, width: int = 8, frames: int = 2, seed: int = 0):
    """Random inputs; every clip differs from the others."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([[5.0, 100.0, 0.02]]).repeat(clips, 1)
    ids[:, 1] += 20 * torch.arange(clips)
    return Inputs(
        torch.randn(clips, frames, 8, height, width, generator=generator),
        torch.linspace(1.6, 0.4, clips),
        torch.randn(clips, 1, 16, generator=generator),
        ids,
    )


def control(given: Inputs, seed: int = 1) -> Tensor:
    """Raw values 0..255 for a sample."""
    clips, frames, _, height, width = given.sample.shape
    generator = torch.Generator().manual_seed(seed)
    return 255 * torch.rand(clips, frames, 3, 8 * height, 8 * width, generator=generator)


def clip_of(given: Inputs, index: int) -> Inputs:
    """One clip of a batch."""
    return Inputs(*(value[index : index + 1] for value in given))


def small_unet(cls: type = ControlledUNet, **changes) -> UNetSpatioTemporalConditionModel:
    """With the same weights for the same changes, whatever the class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cls(**SMALL | changes).eval().requires_grad_(False)


def small_controlnet(unet: nn.Module, zero: bool = False) -> SVDControlNet:
    """For ``unet``; unless ``zero``, its ways out were trained a little."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = SVDControlNet.from_unet(
            unet, conditioning_embedding_out_channels=(4, 8, 16, 16)
        ).eval()
        if not zero:
            outs = [network.controlnet_cond_embedding.conv_out, network.controlnet_mid_block]
            for out in [*outs, *network.controlnet_down_blocks]:
                nn.init.normal_(out.weight, std=0.1)
                nn.init.normal_(out.bias, std=0.1)
    return network
