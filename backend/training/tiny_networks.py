"""A small video UNet in pixels and its ControlNet: what `tiny-cpu` trains from nothing.

The layout is Stable Video Diffusion's in small: convolutions and attention within a frame,
attention along time, skips from encoder to decoder, the first frame beside the noisy ones. The
ControlNet is a copy of the encoder that also sees the control; zero convolutions add what it found
to the skips, as in LeviTor. What differs: pixels in blocks of 2 x 2 in place of latents, no CLIP,
and attention within a frame also looks at the first frame, from which all things come.

Legend: B clips, F frames, C channels, h x w blocks of 2 x 2 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

BLOCK = 2
"""Side of the square of pixels that is one position of the networks."""
PICTURE = 3 * BLOCK**2
GROUPS = 8
HEAD = 64
"""Channels of an attention head."""


class ResidualBlock(nn.Module):
    """Two convolutions, between them scale and shift by the embedding."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(GROUPS, inputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_out = nn.GroupNorm(GROUPS, outputs)
        self.conv_out = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        _zero(self.conv_out)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``(B F, C, h, w)``, ``(B F, E)`` to ``(B F, C', h, w)``."""
        hidden = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        hidden = F.silu(self.norm_out(hidden) * (1 + scale) + shift)
        return self.skip(x) + self.conv_out(hidden)


class _SelfAttention(nn.Module):
    """The layers of an attention in which tokens look at tokens of their own kind."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.norm = nn.LayerNorm(channels)
        self.inwards = nn.Linear(channels, 3 * channels)
        self.outwards = nn.Linear(channels, channels)
        _zero(self.outwards)


class FrameAttention(_SelfAttention):
    """Positions of a frame look at all positions of their own and of the first frame."""

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """``(B F, C, h, w)`` to the same."""
        total, channels, height, width = x.shape
        tokens = x.permute(0, 2, 3, 1).reshape(total, height * width, channels)
        split = self.inwards(self.norm(tokens)).reshape(
            total, height * width, 3, self.heads, channels // self.heads
        )
        query, key, value = split.permute(2, 0, 3, 1, 4)
        key, value = (_with_first(part, frames) for part in (key, value))
        found = attention(query, key, value)
        found = self.outwards(found.transpose(1, 2).reshape(total, height * width, channels))
        return x + found.reshape(total, height, width, channels).permute(0, 3, 1, 2)


class FirstFrameAttention(nn.Module):
    """Positions of every frame look at those of the first one, where things come from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.first = nn.Linear(channels, 2 * channels)
        self.outwards = nn.Linear(channels, channels)
        _zero(self.outwards)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """``(B F, C, h, w)`` to the same."""
        total, channels, height, width = x.shape
        places, clips = height * width, total // frames
        tokens = self.norm(x.permute(0, 2, 3, 1)).reshape(clips, frames * places, channels)
        split = (clips, -1, self.heads, channels // self.heads)
        query = self.query(tokens).reshape(split).transpose(1, 2)
        key, value = self.first(tokens[:, :places]).chunk(2, -1)
        key, value = (part.reshape(split).transpose(1, 2) for part in (key, value))
        found = attention(query, key, value).transpose(1, 2).reshape(clips, -1, channels)
        found = self.outwards(found).reshape(total, height, width, channels)
        return x + found.permute(0, 3, 1, 2)


class TimeAttention(_SelfAttention):
    """Every position looks at itself in all frames."""

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """``(B F, C, h, w)`` to the same."""
        total, channels, height, width = x.shape
        clips, places = total // frames, height * width
        tokens = x.permute(0, 2, 3, 1).reshape(clips, frames, places, channels)
        tokens = (
            self.inwards(self.norm(tokens))
            .transpose(1, 2)
            .reshape(clips * places, frames, 3, self.heads, channels // self.heads)
        )
        query, key, value = tokens.permute(2, 0, 3, 1, 4)
        found = attention(query, key, value)
        found = found.transpose(1, 2).reshape(clips, places, frames, channels).transpose(1, 2)
        found = self.outwards(found).reshape(total, height, width, channels)
        return x + found.permute(0, 3, 1, 2)


class Stage(nn.Module):
    """A residual block and the two attentions."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.residual = ResidualBlock(inputs, outputs, embedding)
        self.frame = FrameAttention(outputs)
        self.time = TimeAttention(outputs)

    def forward(self, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
        """``(B F, C, h, w)`` to ``(B F, C', h, w)``."""
        return self.time(self.frame(self.residual(x, embedding), frames), frames)


class Encoder(nn.Module):
    """The half of the UNet that the ControlNet copies.

    Args:
        width: channels at full size; twice as many at half size.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        embedding = 4 * width
        self.embed = Embedding(width)
        self.conv_in = nn.Conv2d(2 * PICTURE, width, 3, padding=1)
        self.fine = ResidualBlock(width, width, embedding)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.coarse = nn.ModuleList(
            [Stage(2 * width, 2 * width, embedding), Stage(2 * width, 2 * width, embedding)]
        )

    @staticmethod
    def channels(width: int) -> list[int]:
        """Of what :meth:`forward` returns."""
        return [width, width, 2 * width, 2 * width, 2 * width]

    def forward(
        self, pictures: Tensor, noise: Tensor, frames: int, control: Tensor | float = 0.0
    ) -> tuple[list[Tensor], Tensor]:
        """Features of all depths, and the embedding.

        Args:
            pictures: ``(B F, 24, h, w)`` noisy and first frame.
            noise: ``(B,)`` c_noise.
            frames: F.
            control: ``(B F, C, h, w)``, added after the first convolution.
        """
        embedding = self.embed(noise, frames)
        x = self.conv_in(pictures) + control
        features = [x]
        x = self.fine(x, embedding)
        features.append(x)
        x = self.down(x)
        features.append(x)
        for stage in self.coarse:
            x = stage(x, embedding, frames)
            features.append(x)
        return features, embedding


class Embedding(nn.Module):
    """Noise level and frame number as features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Linear(2 * width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width), nn.SiLU()
        )

    def forward(self, noise: Tensor, frames: int) -> Tensor:
        """``(B,)`` to ``(B F, E)``."""
        number = torch.arange(frames, device=noise.device, dtype=noise.dtype)
        level = waves(noise * 100, self.width)[:, None].expand(-1, frames, -1)
        time = waves(number, self.width)[None].expand(len(noise), -1, -1)
        return self.layers(torch.cat([level, time], -1).flatten(0, 1))


class TinyUNet(nn.Module):
    """The trunk: it draws videos that start with a frame; without control, of any motion.

    Args:
        width: channels at full size.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        embedding = 4 * width
        self.encoder = Encoder(width)
        self.middle = Stage(2 * width, 2 * width, embedding)
        self.coarse = nn.ModuleList(
            [Stage(4 * width, 2 * width, embedding), Stage(4 * width, 2 * width, embedding)]
        )
        self.up = nn.Conv2d(4 * width, width, 3, padding=1)
        self.fine = nn.ModuleList(
            [ResidualBlock(2 * width, width, embedding), ResidualBlock(2 * width, width, embedding)]
        )
        self.origin = FirstFrameAttention(width)
        self.norm_out = nn.GroupNorm(GROUPS, width)
        self.conv_out = nn.Conv2d(width, PICTURE, 3, padding=1)
        _zero(self.conv_out)

    def forward(
        self, noisy: Tensor, first: Tensor, noise: Tensor, residuals: Sequence[Tensor] = ()
    ) -> Tensor:
        """The velocity.

        Args:
            noisy: ``(B, F, 12, h, w)``, scaled by c_in.
            first: ``(B, 12, h, w)``, clean.
            noise: ``(B,)`` c_noise.
            residuals: of the ControlNet; none without control.

        Returns:
            ``(B, F, 12, h, w)``.
        """
        frames = noisy.shape[1]
        features, embedding = self.encoder(_beside(noisy, first), noise, frames)
        if residuals:
            features = [own + more for own, more in zip(features, residuals, strict=True)]
        x = self.middle(features[-1], embedding, frames)
        for stage in self.coarse:
            x = stage(torch.cat([x, features.pop()], 1), embedding, frames)
        x = torch.cat([x, features.pop()], 1)
        x = self.up(F.interpolate(x, scale_factor=2, mode="nearest"))
        x = self.fine[0](torch.cat([x, features.pop()], 1), embedding)
        x = self.origin(x, frames)
        x = self.fine[1](torch.cat([x, features.pop()], 1), embedding)
        x = self.conv_out(F.silu(self.norm_out(x)))
        return x.unflatten(0, (-1, frames))


class TinyControlNet(nn.Module):
    """A copy of the trunk's encoder that sees the control.

    It adds to the trunk's skips, and says for every carried picture which of its pixels are seen.

    Args:
        width: the trunk's.
        control: channels of the control, per pixel.
        pictures: carried ones.
    """

    def __init__(self, width: int, control: int, pictures: int) -> None:
        super().__init__()
        self.embed_control = nn.Sequential(
            nn.Conv2d(control * BLOCK**2, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.encoder = Encoder(width)
        self.outwards = nn.ModuleList([nn.Conv2d(n, n, 1) for n in Encoder.channels(width)])
        self.seen_in = nn.Conv2d(3 * width, width, 3, padding=1)
        self.seen_out = nn.Conv2d(width, pictures * BLOCK**2, 3, padding=1)
        for layer in (*self.outwards, self.seen_out):
            _zero(layer)

    def forward(
        self, noisy: Tensor, first: Tensor, noise: Tensor, control: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """What is added to the trunk's skips, and how much of carried pictures is seen.

        Args:
            noisy: as of the trunk.
            first: likewise.
            noise: likewise.
            control: ``(B, F, 4 C, h, w)``.

        Returns:
            Features of all depths, and ``(B, F, K, 4, h, w)``.
        """
        frames = noisy.shape[1]
        told = self.embed_control(control.flatten(0, 1))
        features, _ = self.encoder(_beside(noisy, first), noise, frames, told)
        wide = F.interpolate(features[-1], scale_factor=2, mode="nearest")
        seen = self.seen_out(F.silu(self.seen_in(torch.cat([features[1], wide], 1))))
        seen = seen.unflatten(1, (-1, BLOCK**2)).unflatten(0, (-1, frames))
        return [layer(x) for layer, x in zip(self.outwards, features, strict=True)], seen


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``(n, heads, q, c)``, ``(n, heads, k, c)`` twice, to ``(n, heads, q, c)``.

    On a CPU as two products: in bfloat16 and at these sizes, a step is a fifth of the time that
    torch's own function takes.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value)
    scaled = query * query.shape[-1] ** -0.5
    return (scaled @ key.transpose(-1, -2)).softmax(-1) @ value


def waves(values: Tensor, width: int) -> Tensor:
    """``(n,)`` to ``(n, width)``: sines and cosines of many frequencies."""
    steps = torch.arange(width // 2, device=values.device, dtype=torch.float32)
    angle = values.float()[:, None] * torch.exp(-math.log(1000.0) * steps / (width // 2))
    return torch.cat([angle.sin(), angle.cos()], -1)


def to_blocks(pixels: Tensor) -> Tensor:
    """``(..., C, H, W)`` to ``(..., 4 C, H / 2, W / 2)``."""
    return F.pixel_unshuffle(pixels, BLOCK)


def to_pixels(blocks: Tensor) -> Tensor:
    """The inverse of :func:`to_blocks`."""
    return F.pixel_shuffle(blocks, BLOCK)


def draw_weights(network: nn.Module, generator: Generator) -> None:
    """Draw the weights of all layers, as torch does by default; those that are zero stay zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.any():
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = layer.weight[0].numel() ** -0.5
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def _beside(noisy: Tensor, first: Tensor) -> Tensor:
    both = torch.cat([noisy, first[:, None].expand_as(noisy)], 2).flatten(0, 1)
    return both.contiguous(memory_format=torch.channels_last)


def _with_first(part: Tensor, frames: int) -> Tensor:
    """``(B F, heads, n, c)`` to ``(B F, heads, 2 n, c)``: the first frame's after every own."""
    own = part.unflatten(0, (-1, frames))
    return torch.cat([own, own[:, :1].expand_as(own)], 3).flatten(0, 1)


def _zero(layer: nn.Module) -> None:
    for value in layer.parameters():
        nn.init.zeros_(value)
