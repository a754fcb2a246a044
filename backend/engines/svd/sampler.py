"""The sampler: from noise to the latents of a clip, step by step, told by a control signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from backend.engines.svd.edm import denoised, euler_step, preconditioning
from backend.engines.svd.memory import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """What an artist may set.

    Attributes:
        guidance_min: guidance of the first frame; 1 is none.
        guidance_max: of the last frame; a straight ramp between.
        motion_bucket: how much motion the network was told there is.
        fps: frames a second the network was told, before it takes one off.
        noise_augmentation: how much noise the photo gets.
        control_scale: multiplies the residuals.
        legacy_cfg_context: see ``context.TemporalContext``.
        reuse: deep features are computed every so many steps; 1 computes them in each.
    """

    guidance_min: float = 1.0
    guidance_max: float = 3.0
    motion_bucket: float = 100.0
    fps: int = 6
    noise_augmentation: float = 0.02
    control_scale: float = 1.0
    legacy_cfg_context: bool = False
    reuse: int = 1

    @property
    def guided(self) -> bool:
        """Whether any frame has an unconditional part."""
        return self.guidance_max > 1.0

    def added_time_ids(self, like: Tensor) -> Tensor:
        """``(1, 3)``: the network was trained on fps - 1."""
        return like.new_tensor([[self.fps - 1, self.motion_bucket, self.noise_augmentation]])


class Denoiser:
    """Both networks with all of a shot that no step changes, computed once.

    What is saved, without a change of result: the control's embedding is made once a shot; a shot
    whose guidance is 1 everywhere has no unconditional pass; a control scale of 0 needs no
    ControlNet; the context is added as the bias it is.
    """

    def __init__(
        self,
        unet: Any,
        controlnet: Any,
        embedding: Tensor,
        image_latents: Tensor,
        control: Tensor,
        settings: SamplerSettings,
        plan: Plan,
    ) -> None:
        """Prepare a shot; everything on the networks' device and of their dtype.

        Args:
            unet: a ``ControlledUNet``, or one compiled.
            controlnet: an ``SVDControlNet``, or one compiled.
            embedding: ``(1, 1, D)``, CLIP's of the photo.
            image_latents: ``(4, h, w)`` of the photo.
            control: ``(F, 3, 8h, 8w)``, raw values 0..255.
            settings: the artist's.
            plan: whether the two passes of guidance run one after the other.
        """
        self._unet, self._controlnet = unet, controlnet
        self._settings = settings
        frames = len(control)
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
        self._guidance = ramp.to(control.device)[:, None, None, None]
        self._controlled = settings.control_scale != 0
        self._embedded = controlnet.embed(control[None]) if self._controlled else None
        self._kept: list[tuple[Tensor, list[Tensor] | None]] = []

    def velocity(self, noisy: Tensor, sigma: float, step: int) -> Tensor:
        """What the network answers for ``(F, 4, h, w)`` float32 latents, guided; float32."""
        factors = preconditioning(sigma)
        scaled = (noisy * factors.c_in).to(self._contexts[0].dtype)
        # Filled on the device: a copy would wait for it
        c_noise = noisy.new_full((), float(factors.c_noise))
        fresh = self._settings.reuse <= 1 or step % self._settings.reuse == 0
        answers: list[Tensor] = []
        for index, part in enumerate(self._passes):
            sample = torch.cat([scaled.expand(len(part), *scaled.shape), self._images[index]], 2)
            answers += self._pass(index, sample, c_noise, fresh).float().unbind(0)
        if not self._settings.guided:
            return answers[0]
        unconditional, conditional = answers
        return unconditional + self._guidance * (conditional - unconditional)

    def _pass(self, index: int, sample: Tensor, c_noise: Tensor, fresh: bool) -> Tensor:
        legacy = self._settings.legacy_cfg_context
        told = (sample, c_noise, self._contexts[index], self._ids[index])
        if not fresh:
            deep, residuals = self._kept[index]
            return self._unet.shallow(*told, deep, residuals, legacy)
        down = mid = None
        if self._controlled:
            down, mid = self._controlnet.residuals(
                *told, self._embedded, self._settings.control_scale, legacy
            )
        if self._settings.reuse <= 1:
            return self._unet(*told, down, mid, legacy)
        answer, deep = self._unet.with_deep(*told, down, mid, legacy)
        self._kept[index : index + 1] = [(deep, down)]
        return answer


def sample_latents(
    denoiser: Denoiser,
    noise: Tensor,
    sigmas: Sequence[float],
    on_step: Callable[[int, Tensor], None],
) -> Tensor:
    """Euler's steps down the noise levels.

    Args:
        denoiser: a shot's.
        noise: ``(F, 4, h, w)`` float32, of unit variance.
        sigmas: falling noise levels; the last one is 0.
        on_step: called with the number of steps done and the denoised latents so far; may raise
            ``Cancelled``.

    Returns:
        ``(F, 4, h, w)`` float32.
    """
    # The first level is so high that the photo under it does not show; diffusers' scheduler starts
    # from the same spread.
    noisy = noise * (sigmas[0] ** 2 + 1) ** 0.5
    pace = Pace(noise.device)
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        clean = denoised(noisy, denoiser.velocity(noisy, sigma, step), sigma)
        noisy = euler_step(noisy, clean, sigma, sigma_next)
        pace.wait()
        on_step(step + 1, clean)
    return noisy


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
