"""A rough look at a take while it is still latents."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class LatentPreview:
    """Latents to colours by the linear map that fits the photo's own latents best.

    A latent's four numbers say mostly the mean colour of the pixels it covers. The photo and its
    latents are both at hand, so the map is fitted to them rather than known for one codec.
    """

    def __init__(self, image: Tensor, latents: Tensor, scaling_factor: float) -> None:
        """Fit the map.

        Args:
            image: ``(3, H, W)`` in [0, 1].
            latents: ``(4, h, w)`` of it, not multiplied by the scaling factor.
            scaling_factor: of the sampled latents.
        """
        small = F.interpolate(image[None].float(), size=latents.shape[-2:], mode="area")[0]
        known = _with_one(latents.float().cpu() * scaling_factor).flatten(1).T
        # A little regularisation: a photo of one colour says nothing of the others
        square = known.T @ known + 1e-3 * len(known) * torch.eye(known.shape[1])
        self._map = torch.linalg.solve(square, known.T @ small.cpu().flatten(1).T)

    def frames(self, latents: Tensor) -> Tensor:
        """``(F, 4, h, w)`` denoised latents -> ``(F, 3, h, w)`` in [0, 1]."""
        values = latents.float().cpu()
        ones = torch.ones_like(values[:, :1])
        colours = torch.einsum("fchw,cd->fdhw", torch.cat([values, ones], 1), self._map)
        return colours.clamp(0.0, 1.0)


def _with_one(latents: Tensor) -> Tensor:
    return torch.cat([latents, torch.ones_like(latents[:1])])
