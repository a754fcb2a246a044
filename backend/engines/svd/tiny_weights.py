"""Writes tiny networks with random weights in the real on-disk layouts.

They run the whole way in seconds on a CPU and give noise: for tests, and to try an installation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
    AutoencoderKLTemporalDecoder,
)
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.utils import logging as transformers_logging

from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.load import CLIP_MEAN, CLIP_STD
from backend.engines.svd.unet import ControlledUNet

BASE_FOLDER = "stable-video-diffusion-img2vid-xt"
CONTROL_FOLDER = "LeviTor"

UNET: dict[str, Any] = {
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "block_out_channels": (32, 64),
    "num_attention_heads": (2, 4),
    "layers_per_block": 1,
}
CODEC: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "block_out_channels": (32, 32, 32, 32),
}
CLIP: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 224,
    "patch_size": 32,
    "projection_dim": 1024,
}
CONTROL: dict[str, Any] = {"conditioning_embedding_out_channels": (16, 16, 32, 32)}


def make_tiny_weights(folder: Path, seed: int = 0) -> None:
    """Write a tiny SVD-XT and a tiny LeviTor under the names they are looked for.

    Args:
        folder: gets ``stable-video-diffusion-img2vid-xt/`` and ``LeviTor/``.
        seed: of the random weights.
    """
    transformers_logging.disable_progress_bar()
    make_tiny_base(folder / BASE_FOLDER, seed)
    make_tiny_controlnet(folder / CONTROL_FOLDER, seed)


def make_tiny_base(folder: Path, seed: int = 0, **changes: Any) -> None:
    """A tiny Stable Video Diffusion; ``changes`` go into the UNet's configuration."""
    generator = torch.Generator().manual_seed(seed)
    unet = randomised(ControlledUNet(**{**UNET, **changes}), generator)
    unet.save_pretrained(folder / "unet", variant="fp16")
    codec: Any = AutoencoderKLTemporalDecoder
    vae = randomised(codec(**CODEC), generator)
    vae.save_pretrained(folder / "vae", variant="fp16")
    clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP))
    randomised(clip, generator).save_pretrained(folder / "image_encoder", variant="fp16")
    EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        interpolation_type="linear",
        num_train_timesteps=1000,
        prediction_type="v_prediction",
        sigma_max=700.0,
        sigma_min=0.002,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    ).save_pretrained(folder / "scheduler")
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor" / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": CLIP_MEAN, "image_std": CLIP_STD}), "utf-8"
    )


def make_tiny_controlnet(folder: Path, seed: int = 0) -> None:
    """A tiny ControlNet in the layout of the release, with an effect: its ways out are not zero."""
    network = SVDControlNet(**UNET, **CONTROL)
    generator = torch.Generator().manual_seed(seed + 1)
    randomised(network, generator).save_pretrained(folder / "controlnet")


Network = TypeVar("Network", bound=torch.nn.Module)


@torch.no_grad()
def randomised(network: Network, generator: torch.Generator) -> Network:
    """The network with weights that keep what flows through it at about its size."""
    for name, values in network.named_parameters():
        if values.ndim > 1 or name.endswith("class_embedding"):
            spread = values[0].numel() ** -0.5
            values.copy_(torch.randn(values.shape, generator=generator) * spread)
        elif name.endswith("bias"):
            values.zero_()
    return network
