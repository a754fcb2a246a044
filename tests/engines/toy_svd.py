"""A second engine on Stable Video Diffusion: no ControlNet, and whatever a test does to latents."""

from __future__ import annotations

from dataclasses import replace

import torch

from backend.engines.base import EngineSpec
from backend.engines.svd.pipeline import SVDPipeline
from backend.engines.svd.sampler import SamplerSettings
from backend.engines.svd.take_spec import TakeSpec
from backend.geometry.fit import fit_photo

SPEC = EngineSpec(name="toy", label="Toy", help="A test's.", weights=("svd-xt",))
SIZE = (64, 64)
FRAMES, STEPS = 2, 3


class ToyEngine:
    """Plain Stable Video Diffusion; a test's signal is what it changes of the spec."""

    spec = SPEC

    def __init__(self, resources):
        self.pipeline = SVDPipeline(resources)

    def sample(self, image, signal, options, seed, on_step):
        return self.pipeline.sample(replace(a_spec(image, seed), **signal), on_step)

    def release(self):
        self.pipeline.release()


def a_photo():
    return torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))


def a_spec(image, seed=0):
    return TakeSpec(
        image=image,
        fit=fit_photo(SIZE, SIZE, "squash"),
        frames=FRAMES,
        seed=seed,
        settings=SamplerSettings(guidance_max=1.5),
        steps=STEPS,
    )


def take(engine, on_step=lambda *told, **more: None, **changes):
    """A take of the toy, of a photo that is always the same."""
    return engine.sample(a_photo(), changes, {}, 0, on_step)
