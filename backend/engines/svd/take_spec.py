"""What a take on Stable Video Diffusion is made of, as an engine tells :mod:`pipeline`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from backend.engines.svd.memory import Plan
from backend.engines.svd.sampler import BeforeStep, SamplerSettings
from backend.geometry.fit import Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMaps:
    """What a ControlNet is told.

    Attributes:
        maps: ``(F, 3, h, w)``, raw values 0..255, of the networks' frame.
        scale: multiplies its residuals; 0 leaves the UNet alone.
    """

    maps: Tensor
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentHook:
    """What an engine does to the latents before each step, and what memory that takes.

    Attributes:
        before_step: see :data:`~backend.engines.svd.sampler.BeforeStep`.
        activations: the most bytes alive in it beside the denoisers' weights, under a plan; those
            of gradients are not in the numbers of :func:`~backend.engines.svd.memory.svd_stages`.
    """

    before_step: BeforeStep
    activations: Callable[[Plan], int] = lambda plan: 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSpec:
    """What a take is made of.

    Attributes:
        image: ``(3, H, W)`` in [0, 1], the photo.
        fit: how it fills the networks' frame.
        frames: of the take.
        seed: of all its noise.
        settings: of the sampler.
        steps: of denoising.
        schedule: ``usual`` or ``tuned`` noise levels.
        controls: what each ControlNet is told, by the name of its weights.
        start_clip: ``(F, 3, h, w)`` in [0, 1] of the networks' frame, to start from; None is noise.
        start_step: the first step that is made; above 0 it needs a clip.
        latent_hook: what is done before each step.
        compile: whether the denoisers go through ``torch.compile``.
        channels_last: whether their convolutions have channels innermost.
    """

    image: Tensor
    fit: Fit
    frames: int
    seed: int
    settings: SamplerSettings
    steps: int = 25
    schedule: str = "usual"
    controls: Mapping[str, ControlMaps] = field(default_factory=dict)
    start_clip: Tensor | None = None
    start_step: int = 0
    latent_hook: LatentHook | None = None
    compile: bool = False
    channels_last: bool = False
