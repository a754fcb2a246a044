"""SVD's UNet with places for a ControlNet's residuals."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor

from backend.engines.svd.context import Batch, watch_context
from backend.engines.svd.encoder import conditions, encode
from backend.engines.svd.fused_blocks import fuse_blocks


class ControlledUNet(UNetSpatioTemporalConditionModel):
    """The stock UNet, same configuration and same keys, whose forward takes residuals.

    Its forward is written over the stock submodules (see ``encoder.py`` for why not hooks). Without
    residuals it computes what the stock forward does.
    """

    # Not in __init__: diffusers reads a class' configuration from the signature there
    @cached_property
    def batch(self) -> Batch:
        """How the present call is laid out, which its context's layers ask."""
        batch = watch_context(self)
        fuse_blocks(self, batch)
        return batch

    # The stock forward takes no residuals and answers in a dictionary; this one is ours to call.
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        down_residuals: Sequence[Tensor] | None = None,
        mid_residual: Tensor | None = None,
        legacy_cfg_context: bool = False,
        frozen_encoder: bool = False,
    ) -> Tensor:
        """Predict the velocity.

        Args:
            sample: ``(B, F, 8, h, w)``: scaled noisy latents, then the photo's latents.
            timestep: ln(sigma) / 4, one for all or ``(B,)``.
            encoder_hidden_states: ``(B, 1, 1024)``, CLIP's embedding of the photo.
            added_time_ids: ``(B, 3)``: fps - 1, motion bucket, noise augmentation.
            down_residuals: added to the skips; the way down does not see them.
            mid_residual: added to what the mid block gives.
            legacy_cfg_context: see :class:`~backend.engines.svd.context.TemporalContext`.
            frozen_encoder: record no gradients on the way down, which residuals do not change: for
                training what makes them.

        Returns:
            ``(B, F, 4, h, w)``.

        Raises:
            ValueError: a shape or the number of residuals does not fit.
        """
        return self.with_deep(
            sample,
            timestep,
            encoder_hidden_states,
            added_time_ids,
            down_residuals,
            mid_residual,
            legacy_cfg_context,
            frozen_encoder,
        )[0]

    def with_deep(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        down_residuals: Sequence[Tensor] | None = None,
        mid_residual: Tensor | None = None,
        legacy_cfg_context: bool = False,
        frozen_encoder: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`forward`, and what came into the last up block, for :meth:`shallow`."""
        with torch.no_grad() if frozen_encoder else nullcontext():
            told = conditions(
                self,
                self.batch,
                sample,
                timestep,
                encoder_hidden_states,
                added_time_ids,
                legacy_cfg_context,
            )
            skips, hidden = encode(self, self.conv_in(sample.flatten(0, 1)), told)
        skips = _added(skips, down_residuals)
        if mid_residual is not None:
            hidden = hidden + mid_residual
        up_blocks: Any = self.up_blocks
        deep = hidden
        for block in up_blocks:
            own = len(block.resnets)
            skips, taken = skips[:-own], skips[-own:]
            # 36 -> 18 -> 9 -> 5 is no exact halving, so each block is told the size to go back to
            size = skips[-1].shape[2:] if skips else None
            deep = hidden
            hidden = block(
                hidden,
                res_hidden_states_tuple=tuple(taken),
                upsample_size=size,
                **told.of(block),
            )
        return self._out(hidden, sample), deep

    def shallow(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        deep: Tensor,
        down_residuals: Sequence[Tensor] | None = None,
        legacy_cfg_context: bool = False,
    ) -> Tensor:
        """:meth:`forward` with everything below the first resolution taken from an earlier step.

        An approximation: deep features change little from step to step. Source: Ma et al.,
        "DeepCache: Accelerating Diffusion Models for Free" (arXiv 2312.00858).

        Args:
            sample: as in :meth:`forward`.
            timestep: likewise.
            encoder_hidden_states: likewise.
            added_time_ids: likewise.
            deep: of an earlier step's :meth:`with_deep`.
            down_residuals: of that step; only those of the first resolution are looked at.
            legacy_cfg_context: as in :meth:`forward`.
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
        first: Any = self.down_blocks[0]
        last: Any = self.up_blocks[-1]
        hidden = self.conv_in(sample.flatten(0, 1))
        skips = [hidden, *first(hidden, **told.of(first))[1]][: len(last.resnets)]
        residuals = None if down_residuals is None else down_residuals[: len(skips)]
        hidden = last(
            deep, res_hidden_states_tuple=tuple(_added(skips, residuals)), **told.of(last)
        )
        return self._out(hidden, sample)

    def _out(self, hidden: Tensor, sample: Tensor) -> Tensor:
        hidden = self.conv_out(self.conv_act(self.conv_norm_out(hidden)))
        return hidden.unflatten(0, sample.shape[:2])


def _added(skips: list[Tensor], residuals: Sequence[Tensor] | None) -> list[Tensor]:
    if residuals is None:
        return skips
    if len(residuals) != len(skips):
        raise ValueError(f"{len(residuals)} residuals for {len(skips)} skips")
    return [skip + own for skip, own in zip(skips, residuals, strict=True)]
