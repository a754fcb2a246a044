"""The model of `tiny-cpu`: a small video diffusion model in pixels with LeviTor's control.

It is trained from nothing in an hour on a CPU core, to show that a ControlNet that this code trains
makes a video obey its control. Noise, preconditioning and loss are the real model's. What is not:
the control comes with the first frame carried along by its points (nothing learned), and beside
what it adds to the trunk's skips the ControlNet says which of the carried pixels are seen. These
then are what the preconditioning departs from, in place of the first frame. With it a run is where
it would be without after more than twice as many steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from backend.datasets.synthetic import FAR, NEAR
from backend.engines.svd.edm import (
    denoised,
    euler_step,
    karras_sigmas,
    noised,
    preconditioning,
)
from backend.training.base import Batch, StepLoss
from backend.training.edm_loss import edm_loss
from backend.training.tiny_networks import (
    BLOCK,
    TinyControlNet,
    TinyUNet,
    draw_weights,
    to_blocks,
    to_pixels,
)
from protocol.errors import ShotError

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CHANGE_SCALE = 3.0
"""What a frame's difference from the first one, in [-2, 2], is multiplied by, so that where things
move its variance is about 1, as the preconditioning expects."""
MOST_IDS = 3
"""Ids that the ControlNet tells apart, also 0, of points without one; higher ones are the last."""
CONTROL = 2 + 5 * MOST_IDS
"""Channels of :func:`control_channels`."""
SIGMA_MIN, SIGMA_MAX = 0.05, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyOptions:
    """What the small model is and how it is trained.

    Attributes:
        width: channels at full size; twice as many at half size.
        sigma_mean: of ln(sigma). Lower than for Stable Video Diffusion, whose frames are larger:
            the same noise hides less of a large picture.
        sigma_std: of ln(sigma).
        control: whether there is a ControlNet; without one, the trunk alone is trained.
        trunk: folder of a trained trunk that stays as it is while the ControlNet is trained, as in
            LeviTor; empty to train both together.
        half: whether networks compute in bfloat16; weights and loss stay float32.
    """

    width: int = 64
    sigma_mean: float = 0.5
    sigma_std: float = 1.4
    control: bool = True
    trunk: str = ""
    half: bool = True


class TinyVideoModel:
    """A trunk and its ControlNet, with their loss and their sampler.

    Frames are drawn as differences from the first one, which is given.

    Args:
        options: what it is like.
        seed: of the first weights.
    """

    def __init__(self, options: TinyOptions, seed: int = 0) -> None:
        if options.trunk and not options.control:
            raise ValueError("a trunk that stays as it is has nothing to train without a control")
        self.options = options
        self.unet = TinyUNet(options.width)
        self.controlnet = (
            TinyControlNet(options.width, CONTROL, MOST_IDS) if options.control else None
        )
        generator = Generator().manual_seed(seed)
        for network in self.networks().values():
            draw_weights(network, generator)
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if options.trunk:
            _read(Path(options.trunk), "unet", self.unet)
            self.unet.requires_grad_(False)
            assert self.controlnet is not None
            self.controlnet.encoder.load_state_dict(self.unet.encoder.state_dict())

    def networks(self) -> Mapping[str, nn.Module]:
        """``unet`` and, unless the trunk is trained alone, ``controlnet``."""
        both: dict[str, nn.Module] = {"unet": self.unet}
        if self.controlnet is not None:
            both["controlnet"] = self.controlnet
        return both

    def loss(self, batch: Batch, generators: Sequence[Generator]) -> StepLoss:
        """The mean squared error of the velocity at one noise level an example."""
        first, change = _change(batch.frames)
        drawn = [torch.randn((), generator=one) for one in generators]
        level = torch.stack(drawn) * self.options.sigma_std + self.options.sigma_mean
        sigma = level.exp().to(change.device)
        noise = torch.stack([torch.randn(change.shape[1:], generator=one) for one in generators])
        noise, wide = noise.to(change.device), sigma[:, None, None, None, None]
        noisy = noised(change, noise, wide)
        velocity = self._velocity(noisy, first, sigma, self._control(batch))
        each = edm_loss(denoised(noisy, velocity, wide), change, sigma)
        return StepLoss(mean=each.mean(), each=each.detach(), sigmas=sigma)

    def sample(
        self, batch: Batch, generators: Sequence[Generator], steps: int = 10, control: bool = True
    ) -> Tensor:
        """Draw the clips of a batch anew from their first frames and their control.

        Args:
            batch: only the first frames and the maps are looked at.
            generators: one an example, of the noise.
            steps: of Euler's method.
            control: whether the ControlNet adds anything; False is the trunk alone.

        Returns:
            ``(B, F, 3, H, W)`` in [0, 1].
        """
        first, change = _change(batch.frames)
        sigmas = karras_sigmas(steps, SIGMA_MIN, SIGMA_MAX)
        noise = torch.stack([torch.randn(change.shape[1:], generator=one) for one in generators])
        noisy = noise.to(change.device) * sigmas[0]
        told = self._control(batch) if control else None
        with torch.no_grad():
            for sigma, after in pairwise(sigmas):
                level = noisy.new_full((len(noisy),), sigma)
                velocity = self._velocity(noisy, first, level, told)
                noisy = euler_step(noisy, denoised(noisy, velocity, sigma), sigma, after)
        frames = (to_pixels(noisy / CHANGE_SCALE + first[:, None]) + 1) / 2
        frames[:, 0] = batch.frames[:, 0]
        return frames.clamp(0, 1)

    def save(self, folder: Path, networks: Mapping[str, nn.Module]) -> None:
        """A folder for every network: ``model.safetensors`` and ``config.json``."""
        for name, network in networks.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            weights = {key: value.contiguous() for key, value in network.state_dict().items()}
            save_file(weights, folder / name / WEIGHTS)
            (folder / name / CONFIG).write_text(json.dumps(asdict(self.options), indent=2) + "\n")

    def load(self, folder: Path) -> None:
        """Read the networks' weights back, in place."""
        for name, network in self.networks().items():
            _read(folder, name, network)

    def _velocity(
        self, noisy: Tensor, first: Tensor, sigma: Tensor, control: Tensor | None
    ) -> Tensor:
        factors = preconditioning(sigma)
        assert isinstance(factors.c_in, Tensor)
        assert isinstance(factors.c_noise, Tensor)
        assert isinstance(factors.c_out, Tensor)
        scaled = noisy * factors.c_in[:, None, None, None, None]
        with torch.autocast(noisy.device.type, torch.bfloat16, enabled=self.options.half):
            if self.controlnet is None or control is None:
                return self.unet(scaled, first, factors.c_noise).float()
            residuals, seen = self.controlnet(scaled, first, factors.c_noise, control)
            velocity = self.unet(scaled, first, factors.c_noise, residuals).float()
        mean = carried_change(control, seen.float(), first)
        return velocity + factors.c_out[:, None, None, None, None] * mean

    def _control(self, batch: Batch) -> Tensor | None:
        return None if self.controlnet is None else to_blocks(control_channels(batch))


def control_channels(batch: Batch) -> Tensor:
    """``(B, F, 17, H, W)``: the maps as the ControlNet reads them, nothing learned in it.

    Heat and depth of all points; then for every id heat, depth, and the first frame as it is
    carried along by its points: moved as their middle moves, and magnified as their depth says.
    So a picture stands where an object's points are, and which id is which object needs no
    learning over a distance. What of it is the object, and what it hides, the network has to find.
    """
    heat, ids, depth = (part / 255 for part in batch.maps.unbind(2))
    ids = (ids * 255).round().clamp(max=MOST_IDS - 1)
    parts = [heat[:, :, None], depth[:, :, None]]
    for item in range(MOST_IDS):
        own = heat * (ids == item)
        picture = _carried(2 * batch.frames[:, 0] - 1, own, depth)
        parts += [own[:, :, None], (depth * (own > 0))[:, :, None], picture]
    return torch.cat(parts, 2)


def carried_change(control: Tensor, seen: Tensor, first: Tensor) -> Tensor:
    """The change that the carried pictures make where they are seen.

    Args:
        control: ``(B, F, 68, h, w)``, :func:`control_channels` in blocks.
        seen: ``(B, F, K, 4, h, w)``.
        first: ``(B, 12, h, w)``.

    Returns:
        ``(B, F, 12, h, w)``.
    """
    own = control[:, :, 2 * BLOCK**2 :].unflatten(2, (MOST_IDS, 5, BLOCK**2))
    pictures = own[:, :, :, 2:]
    change = pictures - first.unflatten(1, (3, BLOCK**2))[:, None, None]
    return CHANGE_SCALE * (seen[:, :, :, None] * change).sum(2).flatten(2, 3)


def carried_frames(batch: Batch) -> Tensor:
    """What the carried pictures show with no network at all, to hold a trained one against.

    Each is pasted where its points are drawn, nearer points over farther ones, on the first frame.

    Args:
        batch: only the first frames and the maps are looked at.

    Returns:
        ``(B, F, 3, H, W)`` in [0, 1].
    """
    heat, ids, depth = (part / 255 for part in batch.maps.unbind(2))
    ids = (ids * 255).round()
    frames = batch.frames[:, :1].expand_as(batch.frames)
    for item in range(1, MOST_IDS):  # a pixel is of one point: what is drawn later lies over it
        own = heat * (ids == item)
        frames = torch.where(
            (own > 0)[:, :, None], _carried(batch.frames[:, 0], own, depth), frames
        )
    return frames.clamp(0, 1)


def _carried(picture: Tensor, heat: Tensor, depth: Tensor) -> Tensor:
    """A picture moved and magnified in every frame as points of one id are.

    Args:
        picture: ``(B, 3, H, W)``, the first frame.
        heat: ``(B, F, H, W)`` of the points of that id.
        depth: ``(B, F, H, W)`` disparity in [0, 1] at points; 0 throughout is no depth.

    Returns:
        ``(B, F, 3, H, W)``; the picture as it is where there are no points, in that frame or in the
        first one.
    """
    clips, frames, height, width = heat.shape
    y = torch.arange(height, device=heat.device, dtype=heat.dtype) + 0.5
    x = torch.arange(width, device=heat.device, dtype=heat.dtype) + 0.5
    total = heat.sum((-2, -1))
    safe = total.clamp(min=1e-6)
    middle_x = (heat.sum(-2) * x).sum(-1) / safe
    middle_y = (heat.sum(-1) * y).sum(-1) / safe
    disparity = (heat * depth).sum((-2, -1)) / safe
    inverse_z = 1 / FAR + disparity * (1 / NEAR - 1 / FAR)
    scale = (inverse_z / inverse_z[:, :1])[..., None, None]
    from_x = (x - middle_x[..., None])[:, :, None, :] / scale + middle_x[:, :1, None, None]
    from_y = (y - middle_y[..., None])[:, :, :, None] / scale + middle_y[:, :1, None, None]
    grid = torch.stack(
        [
            (2 * from_x / width - 1).expand(-1, -1, height, -1),
            (2 * from_y / height - 1).expand(-1, -1, -1, width),
        ],
        -1,
    )
    found = F.grid_sample(
        picture,
        grid.reshape(clips, frames * height, width, 2),
        padding_mode="border",
        align_corners=False,
    )
    found = found.reshape(clips, 3, frames, height, width).transpose(1, 2)
    known = ((total > 0) & (total[:, :1] > 0))[..., None, None, None]
    return torch.where(known, found, picture[:, None])


def _change(frames: Tensor) -> tuple[Tensor, Tensor]:
    """The first frame and all frames' differences from it, in blocks."""
    blocks = to_blocks(2 * frames - 1)
    return blocks[:, 0], (blocks - blocks[:, :1]) * CHANGE_SCALE


def _read(folder: Path, name: str, network: nn.Module) -> None:
    place = folder / name / WEIGHTS
    try:
        weights = load_file(place)
    except (OSError, SafetensorError) as error:
        raise ShotError(
            "weights", f"'{place}' cannot be read: {error}.", "Name the folder of a checkpoint."
        ) from error
    wanted = network.state_dict()
    wrong = [
        key for key in wanted.keys() | weights.keys() if _shape(weights, key) != _shape(wanted, key)
    ]
    if wrong:
        raise ShotError(
            "weights",
            f"{len(wrong)} of {len(wanted)} weights in '{place}' do not fit: {sorted(wrong)[0]}.",
            "Use the options that it was trained with; they are in its config.json.",
        )
    network.load_state_dict(weights)


def _shape(weights: Mapping[str, Tensor], key: str) -> torch.Size | None:
    return weights[key].shape if key in weights else None
