"""The sampler: from noise, or from noised latents, to the latents of a clip, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from backend.engines.svd.edm import denoised, euler_step, noised, preconditioning
from backend.engines.svd.feature_taps import feature_taps
from backend.engines.svd.memory import Plan
from backend.engines.svd.torch_compile import Compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """What an artist may set.

    Attributes:
        guidance_min: guidance of the first frame; 1 is none.
        guidance_max: of the last frame; a straight ramp between.
        motion_bucket: how much motion the network was told there is.
        fps: frames a second the network was told, before it takes one off.
        noise_augmentation: how much noise the photo gets.
        legacy_cfg_context: see ``context.TemporalContext``.
        reuse: deep features are computed every so many steps; 1 computes them in each.
    """

    guidance_min: float = 1.0
    guidance_max: float = 3.0
    motion_bucket: float = 100.0
    fps: int = 6
    noise_augmentation: float = 0.02
    legacy_cfg_context: bool = False
    reuse: int = 1

    @property
    def guided(self) -> bool:
        """Whether any frame has an unconditional part."""
        return self.guidance_max > 1.0

    def added_time_ids(self, like: Tensor) -> Tensor:
        """``(1, 3)``: the network was trained on fps - 1."""
        return like.new_tensor([[self.fps - 1, self.motion_bucket, self.noise_augmentation]])


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlInput:
    """A ControlNet and what it is told.

    Attributes:
        network: an ``SVDControlNet``, or one compiled.
        maps: ``(F, 3, 8h, 8w)``, raw values 0..255.
        scale: multiplies its residuals; one with 0 is not asked.
    """

    network: Any
    maps: Tensor
    scale: float = 1.0


class Denoiser:
    """UNet and ControlNets with all of a take that no step changes, computed once.

    What is saved, without a change of result: a control's embedding is made once a take; a take
    whose guidance is 1 everywhere has no unconditional pass; a control scale of 0 needs no
    ControlNet; the context is added as the bias it is.
    """

    def __init__(
        self,
        unet: Any,
        embedding: Tensor,
        image_latents: Tensor,
        frames: int,
        settings: SamplerSettings,
        plan: Plan,
        controls: Sequence[ControlInput] = (),
    ) -> None:
        """Prepare a take; everything on the networks' device and of their dtype.

        Args:
            unet: a ``ControlledUNet``, or one compiled.
            embedding: ``(1, 1, D)``, CLIP's of the photo.
            image_latents: ``(4, h, w)`` of the photo.
            frames: of the take.
            settings: the artist's.
            plan: whether the two passes of guidance run one after the other.
            controls: any number; their residuals are added up.
        """
        self._unet = unet
        self._settings = settings
        # The unconditional pass sees no photo, but the same control
        clips = [(embedding, image_latents)]
        if settings.guided:
            clips.insert(0, (torch.zeros_like(embedding), torch.zeros_like(image_latents)))
        size = 1 if plan.sequential_cfg else len(clips)
        self._passes = [clips[at : at + size] for at in range(0, len(clips), size)]
        self._contexts = [torch.cat([e for e, _ in part]) for part in self._passes]
        self._images = [
            torch.stack([i for _, i in part])[:, None].expand(-1, frames, -1, -1, -1)
            for part in self._passes
        ]
        self._ids = [settings.added_time_ids(c).expand(len(c), -1) for c in self._contexts]
        ramp = torch.linspace(settings.guidance_min, settings.guidance_max, frames)
        self._guidance = ramp.to(embedding.device)[:, None, None, None]
        # Not the maps, which are large and of no further use
        self._controls = [
            (control.network, control.network.embed(control.maps[None]), control.scale)
            for control in controls
            if control.scale != 0
        ]
        self._kept: list[tuple[Tensor, list[Tensor] | None]] = []

    def velocity(self, noisy: Tensor, sigma: float, step: int) -> Tensor:
        """What the network answers for ``(F, 4, h, w)`` float32 latents, guided; float32.

        Args:
            noisy: the latents.
            sigma: their noise level.
            step: its index, from 0, in the whole schedule, as in :class:`Step`; whichever is the
                first that is made has deep features of its own.
        """
        reuse = self._settings.reuse
        fresh = reuse <= 1 or not self._kept or step % reuse == 0
        scaled, c_noise = self._scaled(noisy, sigma)
        answers: list[Tensor] = []
        for index, part in enumerate(self._passes):
            sample = torch.cat([scaled.expand(len(part), *scaled.shape), self._images[index]], 2)
            answers += self._pass(index, sample, c_noise, fresh).float().unbind(0)
        if not self._settings.guided:
            return answers[0]
        unconditional, conditional = answers
        return unconditional + self._guidance * (conditional - unconditional)

    def features(
        self,
        noisy: Tensor,
        sigma: float,
        names: Sequence[str],
        *,
        gradient_checkpointing: bool = False,
    ) -> Mapping[str, Tensor]:
        """Outputs of modules of the UNet in one conditional pass, which ends when they are there.

        Where gradients are on they reach ``noisy``.

        Args:
            noisy: ``(F, 4, h, w)`` float32 latents.
            sigma: their noise level.
            names: of modules; see :func:`~backend.engines.svd.feature_taps.feature_taps`.
            gradient_checkpointing: compute activations of UNet and ControlNets again in the
                backward pass, for memory.
        """
        # Compiled for sampling, without gradients
        unet = _not_compiled(self._unet)
        controls = [(_not_compiled(one), embedded, by) for one, embedded, by in self._controls]
        networks = [unet, *(network for network, *_ in controls)] if gradient_checkpointing else []
        scaled, c_noise = self._scaled(noisy, sigma)
        told = (
            torch.cat([scaled[None], self._images[-1][-1:]], 2),
            c_noise,
            self._contexts[-1][-1:],
            self._ids[-1][-1:],
        )
        with _checkpointed(networks), feature_taps(unet, names, stop=True) as found:
            unet(*told, *self._residuals(told, controls))
        return found

    def _scaled(self, noisy: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """What the networks see of the latents, in their dtype, and what they are told of sigma."""
        factors = preconditioning(sigma)
        # Filled on the device: a copy would wait for it
        c_noise = noisy.new_full((), float(factors.c_noise))
        return (noisy * factors.c_in).to(self._contexts[0].dtype), c_noise

    def _pass(self, index: int, sample: Tensor, c_noise: Tensor, fresh: bool) -> Tensor:
        legacy = self._settings.legacy_cfg_context
        told = (sample, c_noise, self._contexts[index], self._ids[index])
        if not fresh:
            deep, residuals = self._kept[index]
            return self._unet.shallow(*told, deep, residuals, legacy)
        down, mid = self._residuals(told, self._controls)
        if self._settings.reuse <= 1:
            return self._unet(*told, down, mid, legacy)
        answer, deep = self._unet.with_deep(*told, down, mid, legacy)
        self._kept[index : index + 1] = [(deep, down)]
        return answer

    def _residuals(
        self,
        told: tuple[Tensor, Tensor, Tensor, Tensor],
        controls: Sequence[tuple[Any, Tensor, float]],
    ) -> tuple[list[Tensor] | None, Tensor | None]:
        """Of ControlNets, for the UNet's skips and for its mid block.

        Args:
            told: what the UNet is told.
            controls: each ControlNet, its embedded maps and its scale.
        """
        down: list[Tensor] | None = None
        mid: Tensor | None = None
        for network, embedded, scale in controls:
            more, last = network.residuals(
                *told, embedded, scale, self._settings.legacy_cfg_context
            )
            down = (
                more if down is None else [one + own for one, own in zip(down, more, strict=True)]
            )
            mid = last if mid is None else mid + last
        return down, mid


def _not_compiled(network: Any) -> Any:
    return network.network if isinstance(network, Compiled) else network


@contextmanager
def _checkpointed(networks: Sequence[Any]) -> Iterator[None]:
    """Gradient checkpointing in the block; off afterwards."""
    try:
        for network in networks:
            network.enable_gradient_checkpointing()
        yield
    finally:
        for network in networks:
            network.disable_gradient_checkpointing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that is about to be made, for what an engine does before it.

    Attributes:
        index: from 0, in the whole schedule.
        sigma: noise level of the latents.
        sigma_next: the one they are brought to.
        noise: ``(F, 4, h, w)`` float32 of unit variance; the same in every step.
        start_latents: what the take started from, without noise; None where from noise alone.
        denoiser: asks the networks with all that this take tells them.
        pulse: to be called in long work: tells that it goes on, and may raise ``Cancelled``.
    """

    index: int
    sigma: float
    sigma_next: float
    noise: Tensor
    start_latents: Tensor | None
    denoiser: Denoiser
    pulse: Callable[[], None]


BeforeStep = Callable[[Tensor, Step], Tensor]
"""Latents ``(F, 4, h, w)`` float32 and the step -> the latents that the step is made from.

Called with gradients off; it turns them on (``torch.enable_grad()``) where it needs them. The
networks ask for none, so a gradient reaches latents alone."""


def sample_latents(
    denoiser: Denoiser,
    noise: Tensor,
    sigmas: Sequence[float],
    on_step: Callable[[int, Tensor], None],
    *,
    start_latents: Tensor | None = None,
    start_step: int = 0,
    before_step: BeforeStep | None = None,
    pulse: Callable[[], None] = lambda: None,
) -> Tensor:
    """Euler's steps down the noise levels.

    Args:
        denoiser: a take's.
        noise: ``(F, 4, h, w)`` float32, of unit variance.
        sigmas: falling noise levels; the last one is 0.
        on_step: called with the number of steps done and the denoised latents so far; may raise
            ``Cancelled``.
        start_latents: ``(F, 4, h, w)`` float32, to which noise of the first step's level is added;
            None to start from noise alone.
        start_step: index of the first step that is made; those before are left out.
        before_step: changes the latents before each step.
        pulse: see :class:`Step`.

    Returns:
        ``(F, 4, h, w)`` float32.

    Raises:
        ValueError: the first step is none, or has nothing to start from, or ``before_step`` gives
            latents of another shape.
    """
    if not 0 <= start_step < len(sigmas) - 1 or (start_step and start_latents is None):
        raise ValueError(
            f"step {start_step} of {len(sigmas) - 1} starts from "
            f"{'noise alone' if start_latents is None else 'latents'}"
        )
    if start_latents is None:
        # The first level is so high that the photo under it does not show; diffusers' scheduler
        # starts from the same spread.
        noisy = noise * (sigmas[0] ** 2 + 1) ** 0.5
    else:
        noisy = noised(start_latents, noise, sigmas[start_step])
    pace = Pace(noise.device)
    for index, (sigma, sigma_next) in enumerate(pairwise(sigmas[start_step:]), start_step):
        if before_step is not None:
            step = Step(
                index=index,
                sigma=sigma,
                sigma_next=sigma_next,
                noise=noise,
                start_latents=start_latents,
                denoiser=denoiser,
                pulse=pulse,
            )
            noisy = _changed(noisy, before_step, step)
        clean = denoised(noisy, denoiser.velocity(noisy, sigma, index), sigma)
        noisy = euler_step(noisy, clean, sigma, sigma_next)
        pace.wait()
        on_step(index + 1 - start_step, clean)
    return noisy


def _changed(noisy: Tensor, before_step: BeforeStep, step: Step) -> Tensor:
    with torch.no_grad():  # what it turns on is off again afterwards
        changed = before_step(noisy, step).detach()
    if changed.shape != noisy.shape or changed.dtype != noisy.dtype:
        raise ValueError(
            f"before step {step.index} the latents became {tuple(changed.shape)} "
            f"{changed.dtype}, they are {tuple(noisy.shape)} {noisy.dtype}"
        )
    return changed


class Pace:
    """Keeps progress honest on a device that works behind its program.

    Waiting for a step before the next one is sent would leave the device idle in between, so the
    program runs one step ahead, and no more.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._before: Any = None

    def wait(self) -> None:
        """Mark the end of this step, and wait for the end of the one before."""
        if not self._cuda:
            return
        event = torch.cuda.Event()
        event.record()
        if self._before is not None:
            self._before.synchronize()
        self._before = event
