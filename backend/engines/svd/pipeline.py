"""A take on Stable Video Diffusion, from the photo to its frames: what all such engines share.

The photo is encoded, memory planned, latents sampled and decoded. An engine says in a
``TakeSpec`` what it adds: ControlNets, a clip to start from, what is done before each step.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backend.autograd import without_gradients
from backend.contracts import OnStep
from backend.engines.base import COMPILING, LOADING
from backend.engines.svd import edm, images, memory
from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.load import Base, controlnet_place, load_controlnet
from backend.engines.svd.preview import LatentPreview
from backend.engines.svd.sampler import (
    ControlInput,
    Denoiser,
    SamplerSettings,
    sample_latents,
)
from backend.engines.svd.shared_base import SharedBase, hold_base
from backend.engines.svd.take_spec import TakeSpec
from backend.engines.svd.torch_compile import Compiled, set_channels_last
from backend.networks import fingerprint, on_device, read_unchanged, weight_bytes
from backend.resources import Resources, is_out_of_memory
from protocol.errors import ShotError

log = logging.getLogger(__name__)

BASE = "svd-xt"
ENCODING, STEERING = "encoding the photo", "steering"


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of a take.

    Attributes:
        base: Stable Video Diffusion.
        controlnets: by the names of their weights.
    """

    base: Base
    controlnets: Mapping[str, SVDControlNet]

    @property
    def codecs(self) -> dict[str, nn.Module]:
        """What reads the photo and writes the frames."""
        return {"image_encoder": self.base.image_encoder, "vae": self.base.vae}

    @property
    def denoisers(self) -> dict[str, nn.Module]:
        """What is asked in every step."""
        return {"unet": self.base.unet, **self.controlnets}


class SVDPipeline:
    """What an engine on Stable Video Diffusion samples with; it shares the base with others."""

    def __init__(
        self,
        resources: Resources,
        controlnets: Sequence[str] = (),
        dtype: torch.dtype | None = None,
    ) -> None:
        """Find the weights, and hold the base if another engine has it; nothing is read yet.

        Args:
            resources: what the engine was handed.
            controlnets: names of the weights of its ControlNets.
            dtype: of the networks, by default the checkpoint's own where there is a device for it.

        Raises:
            ShotError: weights are not there.
        """
        self._resources = resources
        self._device = torch.device(resources.device)
        usual = torch.float16 if self._device.type == "cuda" else torch.float32
        self._dtype = dtype or usual
        self._names = tuple(controlnets)
        for name in (BASE, *self._names):
            resources.weights(name)
        self._base: SharedBase | None = hold_base(resources, BASE, self._dtype)
        self._base_fingerprint = ""
        self._controlnets: dict[str, tuple[SVDControlNet, str]] = {}
        self._compiled: dict[str, Any] = {}

    @without_gradients()
    def sample(self, spec: TakeSpec, on_step: OnStep) -> Tensor:
        """Frames ``(F, 3, H, W)`` float32 in [0, 1], in the photo's proportions.

        Raises:
            ShotError: the weights cannot be read, or the memory is not enough.
        """
        networks = self.networks(lambda: on_step(0, 1, phase=LOADING))
        plan = self._plan(networks, spec)
        start = time.monotonic()
        try:
            frames = self._sample(networks, plan, spec, on_step)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("memory preset '%s' was not enough: %s", plan.preset, str(error))
            frames = None
        # Not inside the except clause: there the error keeps everything alive that it interrupted
        if frames is None:
            del networks
            raise self._out_of_memory(plan, spec.settings)
        log.info(
            "%d frames in %.1f s on %s, memory preset '%s'",
            len(frames),
            time.monotonic() - start,
            self._device,
            plan.preset,
        )
        return frames

    def networks(self, before_load: Callable[[], None] = lambda: None) -> Networks:
        """The networks of the weights that lie there now; read once, unless they change.

        Args:
            before_load: called before files are read, which may take minutes.

        Raises:
            ShotError: weights are not there or cannot be read.
        """
        folders = {name: self._resources.weights(name) for name in (BASE, *self._names)}
        if self._base is None:
            self._base = hold_base(self._resources, BASE, self._dtype)

        def before() -> None:
            self._forget()  # it was made for the base before
            before_load()

        base, mark = self._base.loaded(folders[BASE], before)
        if mark != self._base_fingerprint:
            self._forget()
            self._base_fingerprint = mark
        places = {name: controlnet_place(folders[name]) for name in self._names}
        self._drop_replaced(places)
        for name, place in places.items():
            if name not in self._controlnets:
                before_load()
                self._controlnets[name] = read_unchanged(
                    lambda folder=folders[name]: self._read(folder, base), place
                )
        return Networks(
            base=base, controlnets={name: self._controlnets[name][0] for name in self._names}
        )

    def release(self) -> None:
        """Let go of the networks, and of the device's memory that they took.

        The base stays where another engine holds it.
        """
        self._base = None
        self._controlnets.clear()
        self._compiled.clear()
        gc.collect()
        if self._device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # too full even for that
                torch.cuda.empty_cache()

    def _drop_replaced(self, places: Mapping[str, Path]) -> None:
        """Let go of the ControlNets whose files have changed, before anything new is read."""
        replaced = [
            name
            for name, (_, mark) in self._controlnets.items()
            if mark != fingerprint(places[name])
        ]
        for name in replaced:
            log.info("the weights at %s were replaced", places[name])
            del self._controlnets[name]
            self._compiled.pop(name, None)
        if replaced:
            gc.collect()

    def _forget(self) -> None:
        """Let go of what is this engine's alone, if there is any."""
        if self._controlnets or self._compiled:
            self._controlnets.clear()
            self._compiled.clear()
            gc.collect()  # of every object in the process: not for nothing

    def _read(self, folder: Any, base: Base) -> SVDControlNet:
        network = load_controlnet(folder, base.unet, self._dtype)
        network.batch.one_token = True
        return network

    def _sample(
        self, networks: Networks, plan: memory.Plan, spec: TakeSpec, on_step: OnStep
    ) -> Tensor:
        base, settings = networks.base, spec.settings
        frames, (height, width) = spec.frames, spec.fit.frame
        # Drawn on the CPU, so that a seed means the same on every device
        generator = torch.Generator().manual_seed(spec.seed)
        photo = spec.fit.image(spec.image)
        pixels = photo * 2 - 1
        noisy = pixels + settings.noise_augmentation * torch.randn(
            pixels.shape, generator=generator
        )
        noise = torch.randn(frames, 4, height // 8, width // 8, generator=generator)
        sigmas = self._sigmas(base, spec)
        chunks = math.ceil(frames / (plan.decode_chunk or frames))
        done = 0
        total = len(sigmas) - 1 - spec.start_step + chunks

        on_step(0, total, phase=ENCODING)
        with on_device(self._device, *networks.codecs.values(), offload=plan.offload):
            embedding = images.clip_embedding(
                base.image_encoder, pixels, base.clip_mean, base.clip_std
            )
            image_latents = images.encode_image(base.vae, noisy)
            start_latents = None
            if spec.start_clip is not None:
                start_latents = images.encode_frames(base.vae, spec.start_clip, generator)
        preview = LatentPreview(photo, image_latents, base.vae.config["scaling_factor"])

        def on_denoised(step: int, clean: Tensor) -> None:
            nonlocal done
            done = step
            on_step(done, total, preview=lambda: preview.frames(clean))

        used = [base.unet, *(networks.controlnets[name] for name in spec.controls)]
        memory.chunk_feed_forward(plan.feed_forward, *used)
        with on_device(self._device, *used, offload=plan.offload):
            denoiser = Denoiser(
                self._form(base.unet, "unet", spec),
                embedding,
                image_latents,
                frames,
                settings,
                plan,
                [
                    ControlInput(
                        network=self._form(networks.controlnets[name], name, spec),
                        maps=told.maps.to(self._device, self._dtype),
                        scale=told.scale,
                    )
                    for name, told in spec.controls.items()
                ],
            )
            if spec.compile:
                on_step(0, total, phase=COMPILING)  # at the first step, for this size and length
            latents = sample_latents(
                denoiser,
                noise.to(self._device),
                sigmas,
                on_denoised,
                start_latents=start_latents,
                start_step=spec.start_step,
                before_step=spec.latent_hook.before_step if spec.latent_hook else None,
                pulse=lambda: on_step(done, total, phase=STEERING),
            )
            del denoiser

        def on_chunk() -> None:
            nonlocal done
            done += 1
            on_step(done, total)

        with on_device(self._device, base.vae, offload=plan.offload):
            decoded = images.decode_frames(
                base.vae, latents, plan.decode_chunk, plan.tile, on_chunk
            )
        return spec.fit.frames(decoded.cpu())

    def _plan(self, networks: Networks, spec: TakeSpec) -> memory.Plan:
        height, width = spec.fit.frame
        settings = spec.settings
        used = {name: networks.denoisers[name] for name in ("unet", *spec.controls)}
        denoisers = {name: weight_bytes(network) for name, network in used.items()}
        stages = memory.svd_stages(
            {name: weight_bytes(network) for name, network in networks.codecs.items()},
            denoisers,
            frames=spec.frames,
            height=height,
            width=width,
            guided=settings.guided,
            element_size=self._dtype.itemsize,
        )
        if spec.latent_hook is not None:
            stages["steer"] = memory.Stage(
                networks=denoisers, activations=spec.latent_hook.activations
            )
        plan = memory.choose_plan(
            self._resources.memory,
            # Without the ControlNets that this take does not use: they stay where they are
            memory.free_bytes(self._device, *networks.codecs.values(), *used.values()),
            stages,
            together=settings.legacy_cfg_context,
        )
        if settings.legacy_cfg_context and settings.guided and plan.sequential_cfg:
            raise ShotError(
                "option",
                "'As the Release' mixes both passes of guidance, which memory preset "
                f"'{plan.preset}' runs one after the other.",
                "Turn it off, or start the server with --memory high.",
            )
        return plan

    def _sigmas(self, base: Base, spec: TakeSpec) -> list[float]:
        if spec.schedule == "tuned":
            return edm.tuned_sigmas(spec.steps)
        return edm.karras_sigmas(spec.steps, base.sigma_min, base.sigma_max)

    def _form(self, network: nn.Module, name: str, spec: TakeSpec) -> Any:
        """The network in the memory order asked for, compiled where that is asked for."""
        set_channels_last(network, spec.channels_last)
        if not spec.compile:
            return network
        if name not in self._compiled:
            self._compiled[name] = Compiled(network)
        return self._compiled[name]

    def _out_of_memory(self, plan: memory.Plan, settings: SamplerSettings) -> ShotError:
        self.release()
        numbers = ""
        if self._device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # too full to say how full
                free, whole = torch.cuda.mem_get_info(self._device)
                numbers = f": {free / 1e9:.1f} of {whole / 1e9:.1f} GB are free now"
        fix = "Use fewer frames or a smaller width and height, or close other programs."
        if settings.legacy_cfg_context and settings.guided:  # no lower preset takes it
            fix = f"Turn 'As the Release' off, which needs both passes at once. {fix}"
        elif lower := memory.lower_preset(plan.preset):
            fix = f"Start the server with --memory {lower}, or close other programs."
        return ShotError(
            "out_of_memory",
            f"The memory of '{self._device}' was not enough for the memory preset "
            f"'{plan.preset}'{numbers}.",
            fix,
        )
