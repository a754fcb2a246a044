"""SVD-XT and LeviTor's ControlNet at their real sizes with random weights, made on a device.

Time and memory do not depend on what the weights are, so these tell both without a download; what
they sample is noise. On the meta device they take nothing at all, which is how memory is counted.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
    AutoencoderKLTemporalDecoder,
)
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.load import CLIP_MEAN, CLIP_STD, SIGMAS, Base
from backend.engines.svd.tiny_weights import CLIP, CODEC, CONTROL, UNET
from backend.engines.svd.unet import ControlledUNet

XT_UNET: dict[str, Any] = {"num_attention_heads": (5, 10, 20, 20)}
"""Stable Video Diffusion XT's; the rest is as the class has it."""
XT_CODEC: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
}
XT_CLIP: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}


def make_networks(
    device: torch.device, dtype: torch.dtype, tiny: bool = False
) -> tuple[Base, SVDControlNet]:
    """Stable Video Diffusion XT and LeviTor's ControlNet, nothing in them zero.

    Args:
        device: to make them on.
        dtype: of the weights.
        tiny: instead, the sizes of ``tiny_weights.py``.
    """
    codec: Any = AutoencoderKLTemporalDecoder
    clip_config = CLIPVisionConfig(**(CLIP if tiny else XT_CLIP))
    with torch.device("meta"):
        unet = ControlledUNet(**(UNET if tiny else XT_UNET))
        vae = codec(**(CODEC if tiny else XT_CODEC))
        controlnet = SVDControlNet(**(UNET | CONTROL if tiny else XT_UNET))
    for network in (unet, vae, controlnet):
        # A mixing factor is made on the CPU whatever one asks for, hence for all of them
        nn.Module.to(network, torch.device("meta"), dtype)
        if device.type != "meta":
            network.to_empty(device=device)
            _fill(network)
    with device:
        clip = CLIPVisionModelWithProjection(clip_config)
    nn.Module.to(clip, device, dtype)
    for network in (unet, vae, controlnet, clip):
        network.requires_grad_(False).eval()
    unet.batch.one_token = controlnet.batch.one_token = True
    base = Base(
        image_encoder=clip,
        vae=vae,
        unet=unet,
        sigma_min=SIGMAS[0],
        sigma_max=SIGMAS[1],
        clip_mean=CLIP_MEAN,
        clip_std=CLIP_STD,
    )
    return base, controlnet


def _fill(network: nn.Module) -> None:
    """Products keep the spread of what they are given, so that half precision does not overflow."""
    generator = torch.Generator(next(network.parameters()).device).manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.normal_(std=value[0].numel() ** -0.5, generator=generator)
            else:  # of norms, biases and mixing factors: any number will do, and none is to be 0
                value.uniform_(0.1, 1.0, generator=generator)
