"""LeviTor's ControlNet on a frozen Stable Video Diffusion, as a model that the loop trains.

The paper says what is trained and on what; its loop was never released. What is not said there is
an option (:class:`~backend.training.edm_loss.EdmOptions`).

Gradients reach the ControlNet through the residuals alone, which the UNet adds after its way down:
its down and mid blocks run without them, in the form that sampling uses.

Legend: B clips, F frames, H x W pixels, h x w latents, an eighth of them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from backend.autograd import without_gradients
from backend.engines.svd import edm, images
from backend.engines.svd.controlnet import EMBEDDING_CHANNELS, SVDControlNet
from backend.engines.svd.load import controlnet_place, load_base, load_controlnet
from backend.engines.svd.memory import Plan
from backend.engines.svd.sampler import (
    ControlInput,
    Denoiser,
    SamplerSettings,
    sample_latents,
)
from backend.networks import fingerprint, move
from backend.resources import Resources
from backend.training.base import Batch, StepLoss
from backend.training.edm_loss import Draws, EdmOptions, added_ids, draw, edm_loss
from backend.training.latent_cache import LatentCache, Posterior

log = logging.getLogger(__name__)

BASE = "svd-xt"
CONTROLNET = "controlnet"
Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CODEC = torch.float32
"""Of the codec, whatever the run's precision: sampling encodes in it too, and in bfloat16 rounded
latents would be what is learned."""
SAMPLING = Plan(
    preset="training",
    sequential_cfg=True,
    offload=False,
    decode_chunk=4,
    tile=0,
    feed_forward=0,
)
"""Little memory beside the optimizer's, and nothing is moved that a step needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdTrainOptions:
    """How the ControlNet is trained.

    Attributes:
        edm: what the paper does not say of the loss.
        precision: of the frozen networks but the codec, and of what flows through the ControlNet;
            codec and ControlNet's weights stay in single precision. The reference: fp16 with a
            gradient scaler.
        checkpointing: compute activations twice instead of keeping them.
        encode_chunk: frames that the codec encodes at once.
        latents: a folder that keeps what the codec's encoder gave; None encodes in every step.
        start: a ControlNet to begin with; None begins with the UNet's own encoder.
        embedding_channels: of the convolutions that read the control; ``start`` has its own.
        seed: of the weights that neither of them gives.
        frozen_encoder: whether the UNet's way down records no gradients; it changes nothing but
            time and memory, and is there to be measured.
    """

    edm: EdmOptions = field(default_factory=EdmOptions)
    precision: Precision = "fp32"
    checkpointing: bool = False
    encode_chunk: int = 4
    latents: Path | None = None
    start: Path | None = None
    embedding_channels: tuple[int, ...] = EMBEDDING_CHANNELS
    seed: int = 0
    frozen_encoder: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """One clip with all its randomness, on the networks' device.

    Attributes:
        draws: noise levels, and what is left out.
        clean: ``(F, 4, h, w)`` float32 latents.
        noise: the same shape, of unit variance.
        condition: ``(4, h, w)`` float32, the first frame's latents.
        embedding: ``(1, D)`` float32, CLIP's.
    """

    draws: Draws
    clean: Tensor
    noise: Tensor
    condition: Tensor
    embedding: Tensor


class SVDControlModel:
    """A :class:`~backend.training.base.TrainableModel`.

    Args:
        resources: where SVD-XT lies, and the device.
        options: how it is trained.

    Raises:
        ShotError: weights are missing or do not fit.
    """

    def __init__(self, resources: Resources, options: SvdTrainOptions) -> None:
        self._options = options
        self._device = torch.device(resources.device)
        self._dtype = DTYPES[options.precision]
        folder = resources.weights(BASE)
        # In single precision first: what the ControlNet copies is not to be rounded
        self._base = base = load_base(folder, torch.float32)
        base.unet.batch.one_token = base.unet.batch.one_token_always = True
        if options.start is None:
            fresh = SVDControlNet.from_unet(
                base.unet, conditioning_embedding_out_channels=options.embedding_channels
            )
            controlnet = initialised(fresh, options.seed)
        else:
            controlnet = load_controlnet(options.start, base.unet, torch.float32)
        self._controlnet = controlnet.float().requires_grad_(True).train()
        for name, network in self.frozen.items():
            nn.Module.to(network, self._device, CODEC if name == "vae" else self._dtype)
        move(self._device, self._controlnet)
        if options.checkpointing:
            self._controlnet.enable_gradient_checkpointing()
            base.unet.enable_gradient_checkpointing()
        self._cache = None
        if options.latents is not None:
            precision = str(CODEC).removeprefix("torch.")
            self._cache = LatentCache(
                options.latents, f"{fingerprint(folder / 'vae')[:8]}{precision}"
            )
        log.info("the loss of LeviTor's ControlNet, as guessed: %s", asdict(options.edm))

    @property
    def cache(self) -> LatentCache | None:
        """Latents on disk, where they are kept."""
        return self._cache

    @property
    def frozen(self) -> Mapping[str, nn.Module]:
        """The networks that stay as they are."""
        base = self._base
        return {"unet": base.unet, "vae": base.vae, "image_encoder": base.image_encoder}

    def networks(self) -> Mapping[str, nn.Module]:
        """The ControlNet."""
        return {CONTROLNET: self._controlnet}

    def loss(self, batch: Batch, generators: Sequence[Generator]) -> StepLoss:
        """The loss of a batch; see :class:`~backend.training.base.TrainableModel`.

        Source: LeviTor (arXiv 2412.15214), equation 6 as Stable Video Diffusion means it: EDM with
        a velocity.
        """
        if len(generators) != len(batch.numbers):
            raise ValueError(f"{len(generators)} generators for {len(batch.numbers)} clips")
        # Whatever the loop has turned on: each network has its own precision here
        with torch.autocast(self._device.type, enabled=False):
            return self._loss(batch, generators)

    def _loss(self, batch: Batch, generators: Sequence[Generator]) -> StepLoss:
        with torch.no_grad():
            drawn = [
                self._drawn(frames, generator)
                for frames, generator in zip(batch.frames, generators, strict=True)
            ]
            clean = torch.stack([one.clean for one in drawn])
            sigmas = torch.tensor([one.draws.sigma for one in drawn], device=self._device)
            level = sigmas[:, None, None, None, None]
            noisy = edm.noised(clean, torch.stack([one.noise for one in drawn]), level)
        velocity = self._velocity(noisy, sigmas, drawn, batch.maps)
        each = edm_loss(edm.denoised(noisy, velocity.float(), level), clean, sigmas)
        return StepLoss(mean=each.mean(), each=each.detach(), sigmas=sigmas)

    @without_gradients()
    def sample(self, batch: Batch, generators: Sequence[Generator], steps: int) -> Tensor:
        """The clips of a batch as the engine would make them, one after the other.

        The network is told the frame rate and the motion of its training; guidance, its noise on
        the photo and the noise levels are the engine's usual ones. See
        :class:`~backend.training.base.Sampler`.
        """
        told = self._options.edm
        settings = SamplerSettings(fps=round(told.fps_id) + 1, motion_bucket=told.motion_bucket)
        training = self._controlnet.training
        self._controlnet.eval()
        try:
            with torch.autocast(self._device.type, enabled=False):
                clips = [
                    self._sampled(frames[0], maps, generator, steps, settings)
                    for frames, maps, generator in zip(
                        batch.frames, batch.maps, generators, strict=True
                    )
                ]
        finally:
            self._controlnet.train(training)
        return torch.stack(clips)

    def _sampled(
        self,
        photo: Tensor,
        maps: Tensor,
        generator: Generator,
        steps: int,
        settings: SamplerSettings,
    ) -> Tensor:
        """``(F, 3, H, W)`` in [0, 1]; randomness is drawn in the engine's order."""
        base = self._base
        frames, (height, width) = len(maps), photo.shape[-2:]
        pixels = photo * 2 - 1
        grain = torch.randn(pixels.shape, generator=generator).to(pixels)
        noise = torch.randn(frames, 4, height // 8, width // 8, generator=generator)
        embedding = images.clip_embedding(base.image_encoder, pixels, base.clip_mean, base.clip_std)
        latents = images.encode_image(base.vae, pixels + settings.noise_augmentation * grain)
        denoiser = Denoiser(
            base.unet,
            embedding.to(self._dtype),
            latents.to(self._dtype),
            frames,
            settings,
            SAMPLING,
            [ControlInput(network=_Asked(self._controlnet, self._dtype), maps=maps)],
        )
        sigmas = edm.karras_sigmas(steps, base.sigma_min, base.sigma_max)
        noise = noise.to(self._device)
        made = sample_latents(denoiser, noise, sigmas, lambda step, clean: None)
        return images.decode_frames(base.vae, made, SAMPLING.decode_chunk)

    def save(self, folder: Path, networks: Mapping[str, nn.Module]) -> None:
        """Write ``controlnet/`` as the LeviTor engine loads it."""
        network = networks[CONTROLNET]
        if not isinstance(network, SVDControlNet):
            raise TypeError(f"a ControlNet is to be saved, got {type(network).__name__}")
        network.save_pretrained(folder / CONTROLNET)

    def load(self, folder: Path) -> None:
        """Read the ControlNet back; see :class:`~backend.training.base.TrainableModel`."""
        there = load_controlnet(controlnet_place(folder), self._base.unet, torch.float32)
        self._controlnet.load_state_dict(there.state_dict())

    def _drawn(self, frames: Tensor, generator: Generator) -> _Drawn:
        """All randomness of a clip, in one order, and what the frozen codecs make of it.

        Clip by clip, so that it does not depend on the batch.
        """
        base = self._base
        draws = draw(self._options.edm, generator)
        first = frames[0] * 2 - 1
        grain = torch.randn(first.shape, generator=generator).to(first)
        embedding = images.clip_embedding(base.image_encoder, first, base.clip_mean, base.clip_std)[
            0
        ].float()
        noisy = (first + draws.condition_sigma * grain)[None]
        condition = images.drawn_latents(*images.frame_posteriors(base.vae, noisy), generator)[0]
        clean = images.drawn_latents(*self._posterior(frames), generator)
        clean = clean * base.vae.config["scaling_factor"]
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        return _Drawn(
            draws=draws,
            clean=clean,
            noise=noise,
            # The reference does not multiply this one by the scaling factor, nor does sampling
            condition=torch.zeros_like(condition) if draws.drop_latents else condition,
            embedding=torch.zeros_like(embedding) if draws.drop_embedding else embedding,
        )

    def _posterior(self, frames: Tensor) -> Posterior:
        def encode() -> Posterior:
            return images.frame_posteriors(
                self._base.vae, frames * 2 - 1, self._options.encode_chunk
            )

        return encode() if self._cache is None else self._cache.posterior(frames, encode)

    def _velocity(
        self, noisy: Tensor, sigmas: Tensor, drawn: Sequence[_Drawn], maps: Tensor
    ) -> Tensor:
        """``(B, F, 4, h, w)``."""
        factors = edm.preconditioning(sigmas)
        level = edm.preconditioning(sigmas[:, None, None, None, None])
        photo = torch.stack([one.condition for one in drawn])[:, None]
        sample = torch.cat([level.c_in * noisy, photo.expand_as(noisy)], 2)
        embedding = torch.stack([one.embedding for one in drawn])
        ids = added_ids(self._options.edm, [one.draws for one in drawn]).to(self._device)
        mixed = self._dtype != torch.float32
        with torch.autocast(self._device.type, self._dtype, enabled=mixed):
            down, mid = self._controlnet(sample, factors.c_noise, embedding, ids, maps)
        return self._base.unet(
            sample.to(self._dtype),
            factors.c_noise,
            embedding.to(self._dtype),
            ids,
            [residual.to(self._dtype) for residual in down],
            mid.to(self._dtype),
            frozen_encoder=self._options.frozen_encoder,
        )


class _Asked:
    """The ControlNet as sampling asks it: single-precision weights beside a UNet in the run's."""

    def __init__(self, network: SVDControlNet, dtype: torch.dtype) -> None:
        self._network, self._dtype = network, dtype

    def embed(self, maps: Tensor) -> Tensor:
        with self._autocast(maps):
            return self._network.embed(maps)

    def residuals(self, sample: Tensor, *told: Any) -> tuple[list[Tensor], Tensor]:
        with self._autocast(sample):
            down, mid = self._network.residuals(sample, *told)
        return [residual.to(self._dtype) for residual in down], mid.to(self._dtype)

    def _autocast(self, like: Tensor) -> torch.autocast:
        mixed = self._dtype != torch.float32
        return torch.autocast(like.device.type, self._dtype, enabled=mixed)


def initialised(network: SVDControlNet, seed: int) -> SVDControlNet:
    """A fresh ControlNet whose own layers are drawn from a seed.

    ``from_unet`` gave it the UNet's way down; the zero convolutions stay zero.
    """
    generator = Generator().manual_seed(seed)
    for part in (network.controlnet_cond_embedding, network.add_embedding):
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                _draw_layer(module, generator)
    nn.init.zeros_(network.controlnet_cond_embedding.conv_out.weight)
    assert network.controlnet_cond_embedding.conv_out.bias is not None
    nn.init.zeros_(network.controlnet_cond_embedding.conv_out.bias)
    return network


def _draw_layer(layer: nn.Conv2d | nn.Linear, generator: Generator) -> None:
    """As torch does it when a layer is made, from a generator that is not hidden."""
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        bound = layer.weight[0].numel() ** -0.5
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
