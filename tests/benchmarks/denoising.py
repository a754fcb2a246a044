"""One denoising step of a middle-sized random model, beside the same step written plainly.

The model has SVD-XT's layers at a fifth of its width (and so about a twentieth of its weights),
16 frames of 256 x 144.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.edm import preconditioning
from backend.engines.svd.memory import plan_of
from backend.engines.svd.sampler import ControlInput, Denoiser, SamplerSettings
from backend.engines.svd.tiny_weights import randomised
from backend.engines.svd.unet import ControlledUNet

WIDTHS: dict[str, Any] = {
    "block_out_channels": (64, 128, 256, 256),
    "num_attention_heads": (1, 2, 4, 4),
}
FRAMES, CELLS = 16, (18, 32)
SIGMA = 1.0
ROUNDS = 5
Row = tuple[str, float, str, str]


def rows(rounds: int = ROUNDS) -> list[Row]:
    """Both ways take turns, so that a busy machine is busy for both."""
    generator = torch.Generator().manual_seed(0)
    unet = randomised(ControlledUNet(**WIDTHS), generator).eval().requires_grad_(False)
    controlnet = randomised(SVDControlNet(**WIDTHS), generator).eval().requires_grad_(False)
    height, width = CELLS
    embedding = torch.randn(1, 1, 1024, generator=generator)
    photo = torch.randn(4, height, width, generator=generator)
    control = 255 * torch.rand(FRAMES, 3, 8 * height, 8 * width, generator=generator)
    noisy = torch.randn(FRAMES, 4, height, width, generator=generator)
    found: list[Row] = []
    for name, guidance, target in (("guided", 3.0, "at least 1.3"), ("guidance 1", 1.0, "")):
        settings = SamplerSettings(guidance_max=guidance)

        def plain(settings: SamplerSettings = settings) -> Tensor:
            unet.batch.one_token = controlnet.batch.one_token = False
            return plain_step(unet, controlnet, embedding, photo, control, noisy, settings)

        with torch.inference_mode():
            unet.batch.one_token = controlnet.batch.one_token = True
            told = ControlInput(network=controlnet, maps=control)
            denoiser = Denoiser(
                unet, embedding, photo, FRAMES, settings, plan_of("balanced"), [told]
            )

            def ours(denoiser: Denoiser = denoiser) -> Tensor:
                unet.batch.one_token = controlnet.batch.one_token = True
                return denoiser.velocity(noisy, SIGMA, 0)

            one, other = plain(), ours()
            taken = [(seconds(plain), seconds(ours)) for _ in range(rounds)]
        apart = float((one - other).abs().max() / one.abs().mean())
        slow, fast = (statistics.median(times) for times in zip(*taken, strict=True))
        ratio = statistics.median(first / second for first, second in taken)
        found += [
            (f"a denoising step, {name}, processor time", fast, "s", ""),
            (f"the same written plainly (apart by {apart:.0e} of the mean)", slow, "s", ""),
            (f"ratio{f' (wanted: {target})' if target else ''}", ratio, "x", ""),
        ]
    return found


def plain_step(
    unet: ControlledUNet,
    controlnet: SVDControlNet,
    embedding: Tensor,
    photo: Tensor,
    control: Tensor,
    noisy: Tensor,
    settings: SamplerSettings,
) -> Tensor:
    """As a pipeline has it: everything in every step, both passes in one batch, stock blocks."""
    factors = preconditioning(SIGMA)
    scaled = (noisy * factors.c_in)[None].repeat(2, 1, 1, 1, 1)
    photos = torch.stack([torch.zeros_like(photo), photo])[:, None].repeat(1, FRAMES, 1, 1, 1)
    sample = torch.cat([scaled, photos], 2)
    context = torch.cat([torch.zeros_like(embedding), embedding])
    ids = settings.added_time_ids(context).repeat(2, 1)
    time_ = torch.tensor(float(factors.c_noise))
    both = control[None].repeat(2, 1, 1, 1, 1)
    down, mid = controlnet(sample, time_, context, ids, both)
    without, told = unet(sample, time_, context, ids, down, mid)
    guidance = torch.linspace(settings.guidance_min, settings.guidance_max, FRAMES)
    return without + guidance[:, None, None, None] * (told - without)


def seconds(call: Callable[[], object]) -> float:
    """Processor time of all threads: other programs hardly count."""
    start = time.process_time()
    call()
    return time.process_time() - start
