"""LeviTor's ControlNet: a trained copy of the UNet's encoder that turns the control into residuals.

Source: Wang et al., "LeviTor: 3D Trajectory Oriented Image-to-Video Synthesis" (arXiv 2412.15214);
the module names are those of its published checkpoint, so that it loads as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from backend.engines.svd.context import watch_context
from backend.engines.svd.encoder import conditions, encode
from backend.engines.svd.fused_blocks import fuse_blocks

CONDITION_CHANNELS = 3
EMBEDDING_CHANNELS = (16, 32, 96, 256)


class ConditionEmbedding(nn.Module):
    """The control at pixel size -> features at latent size (an eighth), zero at the start."""

    def __init__(self, out_channels: int, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(channels):
            self.blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
        self.conv_out = _zeroed(nn.Conv2d(channels[-1], out_channels, 3, padding=1))

    def forward(self, condition: Tensor) -> Tensor:
        """``(N, 3, 8h, 8w)``, raw values 0..255 -> ``(N, C, h, w)``."""
        hidden = F.silu(self.conv_in(condition))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        return self.conv_out(hidden)


class SVDControlNet(ModelMixin, ConfigMixin):
    """Residuals for a :class:`~backend.engines.svd.unet.ControlledUNet` from a control signal.

    Its trunk has the modules of the UNet's encoder under the same names. A fresh one gives zeros:
    every way out is a zeroed 1x1 convolution.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = 96,
        in_channels: int = 8,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = (
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ),
        up_block_types: tuple[str, ...] = (
            "UpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
        ),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        addition_time_embed_dim: int = 256,
        projection_class_embeddings_input_dim: int = 768,
        layers_per_block: int | tuple[int, ...] = 2,
        cross_attention_dim: int | tuple[int, ...] = 1024,
        transformer_layers_per_block: int | tuple[int, ...] = 1,
        num_attention_heads: int | tuple[int, ...] = (5, 10, 20, 20),
        num_frames: int = 25,
        conditioning_channels: int = CONDITION_CHANNELS,
        conditioning_embedding_out_channels: tuple[int, ...] = EMBEDDING_CHANNELS,
    ) -> None:
        super().__init__()
        # The trunk is taken out of a stock UNet, so that it is the same whatever diffusers does.
        # Its annotations are narrower than what it takes and what its own configurations hold.
        # On the meta device the half that is thrown away costs nothing.
        trunk = UNetSpatioTemporalConditionModel(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            addition_time_embed_dim=addition_time_embed_dim,
            projection_class_embeddings_input_dim=projection_class_embeddings_input_dim,
            layers_per_block=layers_per_block,  # pyright: ignore[reportArgumentType]
            cross_attention_dim=cross_attention_dim,  # pyright: ignore[reportArgumentType]
            transformer_layers_per_block=transformer_layers_per_block,  # pyright: ignore[reportArgumentType]
            num_attention_heads=num_attention_heads,
            num_frames=num_frames,
        )
        for name in TRUNK:
            setattr(self, name, getattr(trunk, name))
        self.batch = watch_context(self)
        fuse_blocks(self, self.batch)
        first, last = block_out_channels[0], block_out_channels[-1]
        self.controlnet_cond_embedding = ConditionEmbedding(
            first, conditioning_channels, conditioning_embedding_out_channels
        )
        self.controlnet_down_blocks = nn.ModuleList(
            _zeroed(nn.Conv2d(channels, channels, 1)) for channels in _skip_channels(self, first)
        )
        self.controlnet_mid_block = _zeroed(nn.Conv2d(last, last, 1))

    @classmethod
    def from_unet(
        cls,
        unet: UNetSpatioTemporalConditionModel,
        conditioning_channels: int = CONDITION_CHANNELS,
        conditioning_embedding_out_channels: tuple[int, ...] = EMBEDDING_CHANNELS,
        load_weights: bool = True,
    ) -> SVDControlNet:
        """A fresh ControlNet for ``unet``, its trunk a copy of the UNet's encoder.

        ``add_embedding`` is not copied: training learns it anew, as the authors' did.
        """
        wanted = {key: unet.config[key] for key in CONFIG}
        network = cls(
            **wanted,
            conditioning_channels=conditioning_channels,
            conditioning_embedding_out_channels=conditioning_embedding_out_channels,
        )
        if load_weights:
            nn.Module.to(network, unet.device, unet.dtype)
            for name in COPIED:
                getattr(network, name).load_state_dict(getattr(unet, name).state_dict())
        return network

    def embed(self, controlnet_cond: Tensor) -> Tensor:
        """Features of the control; they do not depend on the noise level.

        Args:
            controlnet_cond: ``(B, F, 3, 8h, 8w)``, raw values 0..255.

        Returns:
            ``(B, F, C, h, w)``.
        """
        if controlnet_cond.ndim != 5 or any(side % 8 for side in controlnet_cond.shape[-2:]):
            raise ValueError(
                "controlnet_cond must be (B, F, 3, H, W) with H and W multiples of 8, "
                f"got {tuple(controlnet_cond.shape)}"
            )
        features = self.controlnet_cond_embedding(controlnet_cond.flatten(0, 1))
        return features.unflatten(0, controlnet_cond.shape[:2])

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        controlnet_cond: Tensor,
        conditioning_scale: float = 1.0,
        legacy_cfg_context: bool = False,
    ) -> tuple[list[Tensor], Tensor]:
        """Residuals for the UNet's skips, and for its mid block.

        Args:
            sample: ``(B, F, 8, h, w)``, the same the UNet gets.
            timestep: ln(sigma) / 4, one for all or ``(B,)``.
            encoder_hidden_states: ``(B, 1, 1024)``.
            added_time_ids: ``(B, 3)``.
            controlnet_cond: ``(B, F, 3, 8h, 8w)``, raw values 0..255.
            conditioning_scale: multiplies every residual.
            legacy_cfg_context: see :class:`~backend.engines.svd.context.TemporalContext`.

        Returns:
            12 residuals ``(B * F, C_i, h_i, w_i)`` and the mid one.
        """
        return self.residuals(
            sample,
            timestep,
            encoder_hidden_states,
            added_time_ids,
            self.embed(controlnet_cond),
            conditioning_scale,
            legacy_cfg_context,
        )

    def residuals(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        embedded: Tensor,
        conditioning_scale: float = 1.0,
        legacy_cfg_context: bool = False,
    ) -> tuple[list[Tensor], Tensor]:
        """:meth:`forward` for a control that :meth:`embed` has seen; a shot embeds it once.

        ``embedded`` is ``(B, F, C, h, w)``, or ``(1, F, C, h, w)`` for the same control in every
        clip.
        """
        told = conditions(
            self,
            self.batch,
            sample,
            timestep,
            encoder_hidden_states,
            added_time_ids,
            legacy_cfg_context,
        )
        clips, frames = sample.shape[:2]
        hidden = self.conv_in(sample.flatten(0, 1))
        if embedded.shape[1] != frames or embedded.shape[-2:] != hidden.shape[-2:]:
            raise ValueError(
                f"the control is for {embedded.shape[1]} frames of {tuple(embedded.shape[-2:])}, "
                f"the latents have {frames} of {tuple(hidden.shape[-2:])}"
            )
        hidden = hidden + embedded.expand(clips, -1, -1, -1, -1).flatten(0, 1)
        skips, mid = encode(self, hidden, told)
        down = [
            out(skip) * conditioning_scale
            for out, skip in zip(self.controlnet_down_blocks, skips, strict=True)
        ]
        return down, self.controlnet_mid_block(mid) * conditioning_scale


COPIED = ("conv_in", "time_proj", "time_embedding", "add_time_proj", "down_blocks", "mid_block")
TRUNK = (*COPIED, "add_embedding")
CONFIG = (
    "sample_size",
    "in_channels",
    "out_channels",
    "down_block_types",
    "up_block_types",
    "block_out_channels",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
    "layers_per_block",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "num_attention_heads",
    "num_frames",
)


def _skip_channels(network: Any, first: int) -> list[int]:
    """Channels of every skip: the input's, then each layer's and downsampler's."""
    channels = [first]
    for block in network.down_blocks:
        width = block.resnets[0].spatial_res_block.out_channels
        channels += [width] * (len(block.resnets) + len(block.downsamplers or ()))
    return channels


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
