"""Between pixels and what Stable Video Diffusion reads: CLIP's embedding of a photo, latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
    AutoencoderKLTemporalDecoder,
)
from torch import Tensor
from torch.nn import functional as F

from backend import tiles

CLIP_SIDE = 224
CELL = 8
"""Pixels a latent covers, each way."""
OVERLAP = 8
"""Latents two tiles share; blended, so that no seam shows."""


def clip_embedding(
    encoder: Any, image: Tensor, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """The photo as CLIP sees it: one token.

    Args:
        encoder: CLIP's vision model with projection.
        image: ``(3, H, W)`` in [-1, 1].
        mean: of CLIP's normalisation.
        std: likewise.

    Returns:
        ``(1, 1, D)`` in the encoder's dtype.
    """
    small = (resize_smoothly(image[None], CLIP_SIDE) + 1) / 2
    normal = (small - small.new_tensor(mean)[:, None, None]) / small.new_tensor(std)[:, None, None]
    place = next(encoder.parameters())
    return encoder(normal.to(place.device, place.dtype)).image_embeds[:, None]


def resize_smoothly(images: Tensor, side: int) -> Tensor:
    """``(N, C, H, W)`` -> ``(N, C, side, side)``, as the network's training did it.

    A Gaussian whose width follows the reduction, then a bicubic sampling from corner to corner.
    """
    for axis in (-2, -1):
        sigma = max((images.shape[axis] / side - 1) / 2, 0.001)
        length = int(max(4 * sigma, 3)) | 1
        at = torch.arange(length, dtype=images.dtype, device=images.device) - length // 2
        weights = torch.exp(-(at**2) / (2 * sigma**2))
        weights = weights / weights.sum()
        channels = images.shape[1]
        shape = (1, 1, -1, 1) if axis == -2 else (1, 1, 1, -1)
        margin = length // 2
        padding = (0, 0, margin, margin) if axis == -2 else (margin, margin, 0, 0)
        kernel = weights.reshape(shape).expand(channels, 1, -1, -1)
        kernel = kernel if axis == -2 else weights.reshape(shape).expand(channels, -1, 1, -1)
        images = F.conv2d(F.pad(images, padding, mode="reflect"), kernel, groups=channels)
    return F.interpolate(images, size=(side, side), mode="bicubic", align_corners=True)


def encode_image(vae: AutoencoderKLTemporalDecoder, image: Tensor) -> Tensor:
    """Latents of a photo, not multiplied by the scaling factor: the posterior's mode.

    Args:
        vae: the codec.
        image: ``(3, H, W)`` in [-1, 1], its noise augmentation included.

    Returns:
        ``(4, h, w)`` in the dtype of the codec.
    """
    mode, _ = _posterior(vae, image[None])
    return mode[0].to(vae.dtype)


def _posterior(vae: AutoencoderKLTemporalDecoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mode and standard deviation ``(N, 4, h, w)`` of the latents of ``(N, 3, H, W)`` in [-1, 1].

    In single precision where the model asks for it: in half precision this encoder overflows.
    """
    dtype = vae.dtype
    upcast = dtype == torch.float16 and vae.config["force_upcast"]
    parts = (vae.encoder, vae.quant_conv)
    if upcast:
        for part in parts:
            part.float()
    try:
        pixels = images.to(vae.device, torch.float32 if upcast else dtype)
        found: Any = vae.encode(pixels).latent_dist  # pyright: ignore
        return found.mode(), found.std.float()
    finally:
        if upcast:
            for part in parts:
                part.to(dtype)


def frame_posteriors(
    vae: AutoencoderKLTemporalDecoder, frames: Tensor, chunk: int = 1
) -> tuple[Tensor, Tensor]:
    """What the latents of a clip are drawn from, not multiplied by the scaling factor.

    Args:
        vae: the codec; its encoder does not look along time.
        frames: ``(F, 3, H, W)`` in [-1, 1].
        chunk: frames encoded at once.

    Returns:
        Mean and standard deviation, ``(F, 4, h, w)`` float32 each, on the codec's device.
    """
    found = [_posterior(vae, part) for part in frames.split(chunk)]
    means, deviations = zip(*found, strict=True)
    return torch.cat(means).float(), torch.cat(deviations)


def drawn_latents(mean: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    """Latents ``(F, 4, h, w)`` float32 of these posteriors.

    ``generator`` is of the CPU, asked frame by frame, so that a seed means the same on every
    device.
    """
    noise = torch.stack([torch.randn(one.shape, generator=generator) for one in mean])
    return mean + deviation * noise.to(mean.device)


def encode_frames(
    vae: AutoencoderKLTemporalDecoder, frames: Tensor, generator: torch.Generator
) -> Tensor:
    """Latents of a clip as the denoiser sees them: multiplied by the scaling factor.

    A frame at a time, so that a clip needs the memory of a photo.

    Args:
        vae: the codec.
        frames: ``(F, 3, H, W)`` in [0, 1].
        generator: of the CPU; what is encoded is drawn from the codec's posterior.

    Returns:
        ``(F, 4, h, w)`` float32 on the codec's device.
    """
    latents = drawn_latents(*frame_posteriors(vae, frames * 2 - 1), generator)
    return latents * vae.config["scaling_factor"]


def decode_frames(
    vae: AutoencoderKLTemporalDecoder,
    latents: Tensor,
    chunk: int = 0,
    tile: int = 0,
    on_chunk: Callable[[], None] = lambda: None,
) -> Tensor:
    """Frames of a clip.

    Args:
        vae: the codec; its decoder looks along time.
        latents: ``(F, 4, h, w)``, as sampled.
        chunk: frames decoded at once, 0 for all; fewer need less memory and agree less.
        tile: side in latents of the tiles decoded at once, 0 for whole frames.
        on_chunk: called after each chunk; may raise ``Cancelled``.

    Returns:
        ``(F, 3, 8h, 8w)`` float32 in [0, 1], where ``latents`` lie.
    """
    latents = (latents / vae.config["scaling_factor"]).to(vae.dtype)
    chunks: list[Tensor] = []
    for part in latents.split(chunk or len(latents)):
        whole = not tile or max(part.shape[-2:]) <= tile
        pixels = _decode(vae, part) if whole else _decode_tiles(vae, part, tile)
        chunks.append((pixels.float() / 2 + 0.5).clamp(0.0, 1.0))
        on_chunk()
    return torch.cat(chunks)


def _decode(vae: AutoencoderKLTemporalDecoder, latents: Tensor) -> Tensor:
    return vae.decode(latents.to(vae.device), num_frames=len(latents)).sample  # pyright: ignore


def _decode_tiles(vae: AutoencoderKLTemporalDecoder, latents: Tensor, tile: int) -> Tensor:
    """Decode overlapping tiles and blend them with ramps that add up to one."""
    height, width = latents.shape[-2:]
    total = latents.new_zeros(len(latents), 3, height * CELL, width * CELL, dtype=torch.float32)

    def decoded() -> Iterator[tiles.Tile]:
        for top in _starts(height, tile):
            for left in _starts(width, tile):
                part = latents[:, :, top : top + tile, left : left + tile]
                pixels = _decode(vae, part).float()
                rows = slice(top * CELL, top * CELL + pixels.shape[-2])
                columns = slice(left * CELL, left * CELL + pixels.shape[-1])
                down, across = (_ramp(side, pixels) for side in pixels.shape[-2:])
                yield rows, columns, pixels, down[:, None] * across

    return tiles.blend(total, decoded())


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin, so that all of ``length`` is covered and neighbours share OVERLAP."""
    if length <= tile:
        return [0]
    step = max(1, tile - OVERLAP)
    return [*range(0, length - tile, step), length - tile]


def _ramp(length: int, like: Tensor) -> Tensor:
    """Rises over the overlap from each end, shared or not: where one tile counts it is the mean."""
    return tiles.ramp(length, OVERLAP * CELL, like)
