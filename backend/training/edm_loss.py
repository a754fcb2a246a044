"""The loss of a denoiser told ln(sigma) / 4 that answers with a velocity, and what is drawn for it.

LeviTor's own loop was never released. Each number that had to be guessed is a field of
:class:`EdmOptions` that names where its value is from. The arithmetic around the network is
``engines.svd.edm``'s, which sampling calls too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from backend.training.config import SVD_XTEND, guess


@dataclass(frozen=True, slots=True, kw_only=True)
class EdmOptions:
    """What the paper does not say of its loop.

    The values are those of ``pixeli99/SVD_Xtend``, which LeviTor's authors credit, unless
    another source stands there.

    Attributes:
        sigma_mean: of the natural logarithm of the noise level, which is drawn once a clip.
            Stable Video Diffusion (arXiv 2311.15127), appendix D: 0.7.
        sigma_std: its standard deviation; likewise 1.6.
        condition_mean: of the natural logarithm of the noise over the first frame.
        condition_std: its standard deviation.
        dropout: p; the embedding alone, the latents alone and both are zeroed with p each, so that
            guidance has something to compare with. Control is never dropped.
        fps_id: the frame rate the network is told. LeviTor's own is not known.
        motion_bucket: the motion it is told. Likewise; its demo starts at 100, and DragAnything's
            training used 180.
    """

    sigma_mean: float = guess(0.7, "Stable Video Diffusion (arXiv 2311.15127), appendix D")
    sigma_std: float = guess(1.6, "Stable Video Diffusion (arXiv 2311.15127), appendix D")
    condition_mean: float = guess(-3.0, SVD_XTEND)
    condition_std: float = guess(0.5, SVD_XTEND)
    dropout: float = guess(0.1, SVD_XTEND)
    fps_id: float = guess(7.0, f"{SVD_XTEND}; LeviTor's own is not known")
    motion_bucket: float = guess(127.0, f"{SVD_XTEND}; LeviTor's demo starts at 100")

    def __post_init__(self) -> None:
        """Refuse what no run can be made with.

        Raises:
            ValueError: a spread is negative, or a probability is not 0 to a third.
        """
        if not (self.sigma_std >= 0 and self.condition_std >= 0):  # NaN is refused too
            raise ValueError(
                f"sigma_std {self.sigma_std:g} and condition_std {self.condition_std:g} must be 0 "
                "or more."
            )
        if not 0 <= self.dropout <= 1 / 3:
            raise ValueError(f"dropout {self.dropout:g} must be 0 to a third: three cases have it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What is decided for one clip before its noise is drawn.

    Attributes:
        sigma: noise level.
        condition_sigma: of the noise over the first frame, pixels in [-1, 1].
        drop_embedding: whether the image embedding is zeroed.
        drop_latents: whether the first frame's latents are.
    """

    sigma: float
    condition_sigma: float
    drop_embedding: bool
    drop_latents: bool


def draw(options: EdmOptions, generator: Generator) -> Draws:
    """Decide for one clip; takes three numbers from the generator, whatever the options."""
    level, condition = torch.randn(2, generator=generator, dtype=torch.float64).tolist()
    embedding, latents = dropped(
        float(torch.rand((), generator=generator, dtype=torch.float64)), options.dropout
    )
    return Draws(
        sigma=math.exp(options.sigma_mean + options.sigma_std * level),
        condition_sigma=math.exp(options.condition_mean + options.condition_std * condition),
        drop_embedding=embedding,
        drop_latents=latents,
    )


def dropped(u: float, probability: float) -> tuple[bool, bool]:
    """Whether the embedding and the latents are zeroed, by one ``u`` from [0, 1).

    Below p the embedding, from p to 2 p both, from 2 p to 3 p the latents.
    """
    return u < 2 * probability, probability <= u < 3 * probability


def added_ids(options: EdmOptions, draws: Sequence[Draws]) -> Tensor:
    """``(B, 3)`` float32: frame rate, motion bucket, noise over the first frame."""
    return torch.tensor(
        [[options.fps_id, options.motion_bucket, one.condition_sigma] for one in draws]
    )


def weighting(sigma: Tensor) -> Tensor:
    """``(1 + sigma^2) / sigma^2``: with it the loss is that of the velocity.

    Source: Karras et al. (arXiv 2206.00364), table 1, lambda with sigma_data 1.
    """
    return 1 + sigma**-2


def edm_loss(denoised: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
    """The weighted denoising loss; equals the mean squared error of the velocity.

    Args:
        denoised: ``(B, ...)``, what the network thinks lies under the noise.
        clean: the same shape, what does.
        sigma: ``(B,)`` noise levels.

    Returns:
        ``(B,)`` float32 with gradients: the mean over each clip.
    """
    if denoised.shape != clean.shape or sigma.shape != denoised.shape[:1]:
        raise ValueError(
            f"denoised {tuple(denoised.shape)}, clean {tuple(clean.shape)} and noise levels "
            f"{tuple(sigma.shape)} do not go together"
        )
    error = (denoised.float() - clean.float()).square().flatten(1).mean(1)
    return weighting(sigma.float()) * error
