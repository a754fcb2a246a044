"""SVD's UNet with places for a ControlNet's residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor

from backend.engines.svd.context import watch_context
from backend.engines.svd.encoder import conditions, encode


class ControlledUNet(UNetSpatioTemporalConditionModel):
    """The stock UNet, same configuration and same keys, whose forward takes residuals.

    Its forward is written over the stock submodules (see ``encoder.py`` for why not hooks). Without
    residuals it computes what the stock forward does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch = watch_context(self)

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

        Returns:
            ``(B, F, 4, h, w)``.

        Raises:
            ValueError: a shape or the number of residuals does not fit.
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
        skips, hidden = encode(self, self.conv_in(sample.flatten(0, 1)), told)
        if down_residuals is not None:
            if len(down_residuals) != len(skips):
                raise ValueError(f"{len(down_residuals)} residuals for {len(skips)} skips")
            skips = [skip + own for skip, own in zip(skips, down_residuals, strict=True)]
        if mid_residual is not None:
            hidden = hidden + mid_residual
        up_blocks: Any = self.up_blocks
        for block in up_blocks:
            own = len(block.resnets)
            skips, taken = skips[:-own], skips[-own:]
            # 36 -> 18 -> 9 -> 5 is no exact halving, so each block is told the size to go back to
            size = skips[-1].shape[2:] if skips else None
            hidden = block(
                hidden,
                res_hidden_states_tuple=tuple(taken),
                upsample_size=size,
                **told.of(block),
            )
        hidden = self.conv_out(self.conv_act(self.conv_norm_out(hidden)))
        return hidden.unflatten(0, (clips, frames))
