"""Small random networks in the file formats of the real ones, for tests and benchmarks.

The same seed gives the same network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from backend.perception import convert_depth_anything, convert_segment_anything, loading

SAM_SIDE = 256


def depth_anything(seed: int = 0) -> Any:
    """A tiny ``DepthAnythingForDepthEstimation`` whose depths differ from pixel to pixel."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    size: dict[str, Any] = {
        "image_size": 518,
        "patch_size": 14,
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 1,
        "out_indices": convert_depth_anything.output_layers(4),
        "reshape_hidden_states": False,
    }
    config = DepthAnythingConfig(
        backbone_config=Dinov2Config(**size),
        reassemble_hidden_size=64,
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    network = _random(DepthAnythingForDepthEstimation, config, seed, 0.15)
    # The last layer is a ReLU; keep the output above 0
    torch.nn.init.constant_(network.head.conv3.bias, 5.0)
    return network


def sam(seed: int = 0) -> Any:
    """A tiny ``SamModel`` with an input of 256 x 256 pixels."""
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 32,
            "output_channels": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SAM_SIDE,
            "window_size": 7,
            "global_attn_indexes": [1],
            "num_pos_feats": 16,
            "mlp_dim": 64,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": SAM_SIDE},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32},
    )
    return _random(SamModel, config, seed, 0.2)


def sam2(seed: int = 0) -> Any:
    """A tiny ``Sam2Model`` with an input of 256 x 256 pixels."""
    from transformers import Sam2Model

    return _random(Sam2Model, sam2_config(), seed, 0.2)


def sam2_config() -> Any:
    """The configuration of :func:`sam2`."""
    from transformers import Sam2Config

    widths = [8, 16, 32, 64]
    return Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": widths[0],
                "image_size": [SAM_SIDE, SAM_SIDE],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [1, 1, 1, 1],
                "window_size_per_stage": [8, 4, 4, 4],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]],
            "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": SAM_SIDE},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32},
    )


def make_tiny_depth_anything(folder: Path, seed: int = 0) -> Path:
    """Save it as a transformers folder."""
    return _saved(depth_anything(seed), folder)


def make_tiny_depth_anything_pth(path: Path, seed: int = 0) -> Path:
    """Save it in the authors' format."""
    torch.save(convert_depth_anything.to_original(depth_anything(seed).state_dict()), path)
    return path


def make_tiny_sam(folder: Path, seed: int = 0) -> Path:
    """Save it as a transformers folder."""
    return _saved(sam(seed), folder)


def make_tiny_sam_pth(path: Path, seed: int = 0) -> Path:
    """Save it in the authors' format."""
    torch.save(convert_segment_anything.to_original(sam(seed).state_dict()), path)
    return path


def make_tiny_sam2(folder: Path, seed: int = 0) -> Path:
    """Save it as a transformers folder."""
    return _saved(sam2(seed), folder)


def _random(kind: Any, config: Any, seed: int, spread: float) -> Any:
    network = kind(config)
    generator = torch.Generator().manual_seed(seed)
    for name, value in sorted(network.state_dict().items()):
        if not name.endswith("prompt_encoder.shared_embedding.positional_embedding"):
            noise = torch.randn(value.shape, generator=generator) * spread
            value.copy_(noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    network.tie_weights()
    shared = getattr(network, "shared_image_embedding", None)
    if shared is not None:
        own = network.prompt_encoder.shared_embedding.positional_embedding
        own.data.copy_(shared.positional_embedding)
    return network.eval().requires_grad_(False)


def _saved(network: Any, folder: Path) -> Path:
    with loading.no_progress_bars():
        network.save_pretrained(str(folder))
    return folder
