"""The half that SVD's UNet and its ControlNet share: time, input convolution, down and mid blocks.

A forward over the submodules of diffusers' own classes, rather than hooks or a fork of them: the
places where residuals go in are then to be read in the code, nothing is stored on a module between
calls but the layout of the batch, and ``torch.compile`` sees one plain function.

Legend: B clips, F frames, C channels, h x w latent pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.engines.svd.context import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What every block of one call is told, repeated for each of the B * F frames.

    Attributes:
        time: ``(B * F, 4 C)`` embedding of the noise level and the added ids.
        context: ``(B * F, 1, D)``.
        image_only: ``(B, F)`` zeros: every frame is part of a video.
    """

    time: Tensor
    context: Tensor
    image_only: Tensor

    def of(self, block: Any) -> dict[str, Tensor]:
        """The keyword arguments of a block; one without cross-attention takes no context."""
        told = {"temb": self.time, "image_only_indicator": self.image_only}
        if getattr(block, "has_cross_attention", False):
            told["encoder_hidden_states"] = self.context
        return told


def conditions(
    network: Any,
    batch: Batch,
    sample: Tensor,
    timestep: Tensor | float,
    context: Tensor,
    added_time_ids: Tensor,
    legacy_cfg_context: bool,
) -> Conditions:
    """Embed time and ids, and repeat them for every frame.

    Args:
        network: UNet or ControlNet; they have the same modules under the same names.
        batch: told the layout of this call.
        sample: ``(B, F, C, h, w)``.
        timestep: ln(sigma) / 4; one for all clips, or ``(B,)``.
        context: ``(B, 1, D)``.
        added_time_ids: ``(B, 3)``: fps - 1, motion bucket, noise augmentation.
        legacy_cfg_context: see :class:`~backend.engines.svd.context.TemporalContext`.

    Raises:
        ValueError: a shape does not fit.
    """
    if sample.ndim != 5:
        raise ValueError(f"sample must be (B, F, C, h, w), got {tuple(sample.shape)}")
    clips, frames = sample.shape[:2]
    if context.ndim != 3 or context.shape[:2] != (clips, 1):
        raise ValueError(
            f"encoder_hidden_states must be ({clips}, 1, D), got {tuple(context.shape)}"
        )
    if added_time_ids.ndim != 2 or added_time_ids.shape[0] != clips:
        raise ValueError(
            f"added_time_ids must be ({clips}, ids), got {tuple(added_time_ids.shape)}"
        )
    batch.clips, batch.legacy = clips, legacy_cfg_context
    times = torch.as_tensor(timestep, device=sample.device).reshape(-1).expand(clips)
    time = network.time_embedding(network.time_proj(times).to(sample.dtype))
    ids = network.add_time_proj(added_time_ids.flatten()).reshape(clips, -1)
    time = time + network.add_embedding(ids.to(time.dtype))
    return Conditions(
        time=time.repeat_interleave(frames, 0, output_size=clips * frames),
        context=context.repeat_interleave(frames, 0, output_size=clips * frames),
        image_only=sample.new_zeros(clips, frames),
    )


def encode(network: Any, hidden: Tensor, told: Conditions) -> tuple[list[Tensor], Tensor]:
    """Run the down blocks and the mid block.

    Args:
        network: UNet or ControlNet.
        hidden: ``(B * F, C, h, w)``, after the input convolution.
        told: the call's conditions.

    Returns:
        The skips (``hidden`` is the first of them), and what the mid block gave.
    """
    skips = [hidden]
    for block in network.down_blocks:
        hidden, given = block(hidden, **told.of(block))
        skips.extend(given)
    return skips, network.mid_block(hidden, **told.of(network.mid_block))
