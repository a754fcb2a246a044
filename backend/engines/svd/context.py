"""Cross-attention to a context of one token, which is no attention at all.

Stable Video Diffusion's context is the CLIP embedding of the photo: one token. The softmax over one
token is 1 whatever the query asks, so the layer's output is ``to_out(to_v(token))`` at every place:
a bias. With ``Batch.one_token`` it is computed once a layer and clip, and added by broadcasting,
instead of once for every pixel and frame with a query nobody needs. Without it, and where a
gradient is asked for, the stock attention runs, to the bit, unless ``Batch.one_token_always``.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn


class Batch:
    """What the context's layers must know of the call they are part of; one for a network.

    Temporal layers see rows of (clip, place) and cannot tell how many clips there are. Kept between
    calls, so that a recomputation under gradient checkpointing sees what the first pass saw; one
    network therefore serves one thread.

    Attributes:
        clips: B of the present call.
        legacy: whether the present call gives row r the context r mod B (see
            :class:`TemporalContext`).
        one_token: whether the bias is added instead of attended to, where no gradient is asked for.
        one_token_always: with it, where one is asked for too; the query's weights then get none, so
            it is for a network that is not trained itself.
    """

    def __init__(self) -> None:
        self.clips = 1
        self.legacy = False
        self.one_token = False
        self.one_token_always = False

    @property
    def fused(self) -> bool:
        """Whether the bias is added, by blocks that change in place what a gradient would need.

        Told by the mode alone, so that a recomputation under gradient checkpointing does the same.
        """
        return self.one_token and not torch.is_grad_enabled()

    @property
    def bias(self) -> bool:
        """Whether cross-attention is a bias, in whichever blocks."""
        return self.one_token and (self.one_token_always or not torch.is_grad_enabled())


class SpatialContext:
    """Attention processor of a spatial layer: a bias for each of the B * F frames."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._stock = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """``(B * F, 1 or H * W, C)``, to be added to ``(B * F, H * W, C)``."""
        if self._batch.bias:
            return context_bias(attn, encoder_hidden_states)
        return self._stock(attn, hidden_states, encoder_hidden_states, attention_mask)


class TemporalContext:
    """Attention processor of a temporal layer: a bias for each of the B * H * W rows.

    Rows are clip by clip: row r belongs to clip r // (H * W) and must see that clip's context. The
    networks of diffusers before 0.27 laid the contexts out place by place, so that row r saw
    context r mod B; LeviTor's release was made and shown with such a version. ``Batch.legacy``
    does the same. With one clip there is no difference.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._stock = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """``(B * H * W, 1 or F, C)``, to be added to ``(B * H * W, F, C)``."""
        clips = self._batch.clips
        by_clip = encoder_hidden_states.unflatten(0, (clips, -1))
        if self._batch.bias:
            # One row of each clip, and only then as many as there are places
            by_clip = context_bias(attn, by_clip[:, 0])[:, None].expand(
                -1, by_clip.shape[1], -1, -1
            )
        rows = by_clip.transpose(0, 1) if self._batch.legacy else by_clip
        rows = rows.flatten(0, 1)
        if self._batch.bias:
            return rows
        return self._stock(attn, hidden_states, rows, attention_mask)


def watch_context(network: nn.Module) -> Batch:
    """Put these processors into every cross-attention layer of a network of SVD's blocks."""
    batch = Batch()
    for module in network.modules():
        if isinstance(module, TransformerSpatioTemporalModel):
            spatial: Any = module.transformer_blocks
            temporal: Any = module.temporal_transformer_blocks
            for block in spatial:
                block.attn2.set_processor(SpatialContext(batch))
            for block in temporal:
                block.attn2.set_processor(TemporalContext(batch))
    return batch


def context_bias(attn: Any, context: Tensor) -> Tensor:
    """What attention to one token gives: ``(N, 1, D)`` -> ``(N, 1, C)``."""
    return attn.to_out[0](attn.to_v(context))
