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
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from backend.engines.svd import edm, images
from backend.engines.svd.controlnet import EMBEDDING_CHANNELS, SVDControlNet
from backend.engines.svd.load import controlnet_place, load_base, load_controlnet
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdTrainOptions:
    """How the ControlNet is trained.

    Attributes:
        edm: what the paper does not say of the loss.
        precision: of the frozen networks, and of what flows through the ControlNet, whose weights
            stay in single precision. The reference: fp16 with a gradient scaler.
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
        for network in self.frozen.values():
            nn.Module.to(network, self._device, self._dtype)
        move(self._device, self._controlnet)
        if options.checkpointing:
            self._controlnet.enable_gradient_checkpointing()
            base.unet.enable_gradient_checkpointing()
        self._cache = None
        if options.latents is not None:
            self._cache = LatentCache(options.latents, fingerprint(folder / "vae"))
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
