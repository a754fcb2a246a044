"""SVD's residual and transformer blocks, fused: fewer passes over memory, for sampling.

Next to its convolutions and products a block spends its time on reading and writing: copies into
another order, sums that make a new tensor, divisions by one. The forwards here go over the stock
submodules, do the same arithmetic (up to the order of sums), and leave those out:

- a context of one token is a bias (see ``context.py``), so its layer norm is not needed either;
- the blend of space and time is one pass: ``a x + (1 - a) (x + t)`` is ``x + (1 - a) t``;
- frames come back from the inner axis together with the blend;
- a convolution along time alone is one of two axes, time and place, which every library has;
- what nobody else holds is changed in place.

They run where ``Batch.one_token`` is on and no gradient is asked for; else the stock forward does.

Legend: B clips, F frames, C channels, P = H * W places.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.resnet import SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn
from torch.nn import functional as F

from backend.engines.svd.context import Batch, context_bias


class FusedResBlock(SpatioTemporalResBlock):
    """A residual block in space, then one in time."""

    batch: Batch

    def forward(
        self,
        hidden_states: Tensor,
        temb: Tensor | None = None,
        image_only_indicator: Tensor | None = None,
    ) -> Tensor:
        """``(B * F, C, H, W)`` -> ``(B * F, C', H, W)``."""
        if temb is None or image_only_indicator is None or not self.batch.fused:
            return super().forward(hidden_states, temb, image_only_indicator)
        time = F.silu(temb)
        space = _space(self.spatial_res_block, hidden_states, time)
        by_clip = space.unflatten(0, image_only_indicator.shape).transpose(1, 2)
        block: Any = self.temporal_res_block
        # (B, C, F, P) for the convolutions, which see no neighbours in P
        change = F.silu(block.norm1(by_clip.flatten(3)), inplace=True)
        change = _along_time(block.conv1, change)
        told = block.time_emb_proj(time).unflatten(0, image_only_indicator.shape)
        change += told.transpose(1, 2)[..., None]
        change = _along_time(block.conv2, F.silu(block.norm2(change), inplace=True))
        mixed = by_clip.addcmul_(change.view_as(by_clip), _share_of_time(self.time_mixer))
        return mixed.transpose(1, 2).flatten(0, 1)


class FusedTransformer(TransformerSpatioTemporalModel):
    """Attention between the places of a frame, then between the frames of a place."""

    batch: Batch

    # The stock forward answers in a class of its own if asked to; SVD's blocks do not ask.
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        image_only_indicator: Tensor | None = None,
        return_dict: bool = True,
    ) -> Any:
        """``(B * F, C, H, W)`` -> the same shape, in a tuple."""
        if encoder_hidden_states is None or image_only_indicator is None or not self.batch.fused:
            return super().forward(
                hidden_states, encoder_hidden_states, image_only_indicator, return_dict
            )
        clips, frames = image_only_indicator.shape
        height, width = hidden_states.shape[2:]
        context = encoder_hidden_states.unflatten(0, (clips, frames))[:, 0]
        hidden = self.norm(hidden_states).permute(0, 2, 3, 1).flatten(1, 2)
        hidden = self.proj_in(hidden)
        numbers = self.time_proj(torch.arange(frames, device=hidden.device))
        places = self.time_pos_embed(numbers.to(hidden.dtype))
        for spatial, temporal in zip(
            self.transformer_blocks, self.temporal_transformer_blocks, strict=True
        ):
            hidden = _in_space(spatial, hidden, context)
            by_clip = hidden.unflatten(0, (clips, frames))
            # A copy even where one place or one frame makes the order the same: both are changed
            along = by_clip.transpose(1, 2).clone(memory_format=torch.contiguous_format)
            along += places
            along = _in_time(temporal, along.flatten(0, 1), context, self.batch)
            along = along.unflatten(0, (clips, height * width)).transpose(1, 2)
            by_clip.lerp_(along, _share_of_time(self.time_mixer))
        hidden = self.proj_out(hidden).unflatten(1, (height, width))
        return (hidden_states + hidden.permute(0, 3, 1, 2),)


def fuse_blocks(network: nn.Module, batch: Batch) -> None:
    """Let a network's blocks be these; their parameters and their names stay."""
    fused = {
        SpatioTemporalResBlock: FusedResBlock,
        TransformerSpatioTemporalModel: FusedTransformer,
    }
    for module in network.modules():
        own: Any = module
        if type(own) in fused:
            own.__class__ = fused[type(own)]
            own.batch = batch


def _space(block: Any, hidden: Tensor, time: Tensor) -> Tensor:
    """A stock residual block that neither samples up nor down; ``time`` went through its SiLU."""
    change = block.conv1(F.silu(block.norm1(hidden), inplace=True))
    change += block.time_emb_proj(time)[:, :, None, None]
    change = block.conv2(F.silu(block.norm2(change), inplace=True))
    change += hidden if block.conv_shortcut is None else block.conv_shortcut(hidden)
    return change


def _share_of_time(mixer: Any) -> Tensor:
    return 1 - torch.sigmoid(mixer.mix_factor)


def _along_time(layer: nn.Conv3d, hidden: Tensor) -> Tensor:
    """``(B, C, F, P)`` -> ``(B, C', F, P)`` by a kernel of three frames and one place."""
    return F.conv2d(hidden, layer.weight[..., 0], layer.bias, padding=(1, 0))


def _in_space(block: Any, hidden: Tensor, context: Tensor) -> Tensor:
    """``(B * F, P, C)``, changed in place; ``context`` is ``(B, 1, D)``."""
    hidden += _attend(block.attn1, block.norm1(hidden))
    hidden.unflatten(0, (len(context), -1)).add_(context_bias(block.attn2, context)[:, None])
    _feed_forward(block, block.norm3, block.ff, hidden)
    return hidden


def _in_time(block: Any, hidden: Tensor, context: Tensor, batch: Batch) -> Tensor:
    """``(B * P, F, C)``, changed in place; ``context`` is ``(B, 1, D)``."""
    _feed_forward(block, block.norm_in, block.ff_in, hidden)
    hidden += _attend(block.attn1, block.norm1(hidden))
    rows = context_bias(block.attn2, context).expand(-1, len(hidden) // len(context), -1)
    hidden += (rows.transpose(0, 1) if batch.legacy else rows).flatten(0, 1)[:, None]
    _feed_forward(block, block.norm3, block.ff, hidden)
    return hidden


def _attend(attn: Any, hidden: Tensor) -> Tensor:
    """Self-attention of ``(N, L, C)``."""
    query, key, value = (
        layer(hidden).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for layer in (attn.to_q, attn.to_k, attn.to_v)
    )
    seen = F.scaled_dot_product_attention(query, key, value)
    return attn.to_out[0](seen.transpose(1, 2).flatten(2))


def _feed_forward(block: Any, norm: Any, layer: Any, hidden: Tensor) -> None:
    """Add the layer in place, in as many parts as ``memory.chunk_feed_forward`` told the block."""
    axis = block._chunk_dim or 0
    for part in hidden.split(block._chunk_size or hidden.shape[axis], axis):
        part += _gated(layer, norm(part))


def _gated(layer: Any, hidden: Tensor) -> Tensor:
    value, gate = layer.net[0].proj(hidden).chunk(2, -1)
    return layer.net[2](F.gelu(gate).mul_(value))
