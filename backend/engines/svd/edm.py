"""EDM's preconditioning and Euler's step: the arithmetic around the network, in one place.

Sampling calls it, and a training loss is to call the same functions. Source: Karras et al.,
"Elucidating the Design Space of Diffusion-Based Generative Models" (arXiv 2206.00364), table 1,
with Stable Video Diffusion's v-prediction: sigma_data is 1, the network is told ln(sigma) / 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Sigma = float | Tensor
"""A noise level: one for all, or a tensor that broadcasts against the latents."""

TUNED_SIGMAS = (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)
"""Ten steps for this network that lose less than ten of the usual ones do. Source: Sabour et al.,
"Align Your Steps" (arXiv 2404.14507), Stable Video Diffusion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditioning:
    """What surrounds the network at one noise level.

    The denoised latents are ``c_skip * noisy + c_out * network(c_in * noisy, c_noise)``.
    """

    c_in: Sigma
    c_skip: Sigma
    c_out: Sigma
    c_noise: Sigma


def preconditioning(sigma: Sigma) -> Preconditioning:
    """The factors at noise level ``sigma``, which is above 0."""
    root = (sigma**2 + 1) ** 0.5
    c_noise = sigma.log() / 4 if isinstance(sigma, Tensor) else math.log(sigma) / 4
    return Preconditioning(c_in=1 / root, c_skip=1 / root**2, c_out=-sigma / root, c_noise=c_noise)


def denoised(noisy: Tensor, velocity: Tensor, sigma: Sigma) -> Tensor:
    """What the network thinks lies under the noise.

    Args:
        noisy: latents ``x0 + sigma * n``.
        velocity: what the network answered to ``c_in * noisy``.
        sigma: their noise level.
    """
    factors = preconditioning(sigma)
    return factors.c_skip * noisy + factors.c_out * velocity


def noised(clean: Tensor, noise: Tensor, sigma: Sigma) -> Tensor:
    """``clean`` under noise of level ``sigma``; ``noise`` has unit variance."""
    return clean + sigma * noise


def velocity_target(clean: Tensor, noise: Tensor, sigma: Sigma) -> Tensor:
    """The answer of a perfect network: ``denoised(clean + sigma * noise, it, sigma)`` is clean."""
    return (noise - sigma * clean) * preconditioning(sigma).c_in


def euler_step(noisy: Tensor, clean: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """From noise level ``sigma`` to ``sigma_next``, straight towards ``clean``."""
    return noisy + (noisy - clean) * ((sigma_next - sigma) / sigma)


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float) -> list[float]:
    """``steps + 1`` falling noise levels from ``sigma_max`` to ``sigma_min``, then 0.

    The usual schedule. Source: Karras et al., equation 5, with rho 7.
    """
    if steps < 1:
        raise ValueError(f"sampling needs at least 1 step, got {steps}")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    first, last = (ramp.new_tensor(sigma ** (1 / 7)) for sigma in (sigma_max, sigma_min))
    sigmas = torch.lerp(first, last, ramp) ** 7
    return [*sigmas.tolist(), 0.0]


def tuned_sigmas(steps: int) -> list[float]:
    """``steps + 1`` falling noise levels, the last one 0, along :data:`TUNED_SIGMAS`.

    Between the tuned levels the logarithm is interpolated, so any number of steps has its share.
    """
    if steps < 1:
        raise ValueError(f"sampling needs at least 1 step, got {steps}")
    known = torch.tensor(TUNED_SIGMAS, dtype=torch.float64).log()
    at = torch.linspace(0, len(known) - 1, steps + 1, dtype=torch.float64)
    low = at.floor().long().clamp(max=len(known) - 2)
    sigmas = torch.lerp(known[low], known[low + 1], at - low).exp()
    return [*sigmas[:-1].tolist(), 0.0]
