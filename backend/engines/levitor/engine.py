"""The LeviTor engine: Stable Video Diffusion, told by a ControlNet where things go."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.autograd import without_gradients
from backend.contracts import OnStep
from backend.engines.base import COMPILING, LOADING, Scalar
from backend.engines.levitor.signal import LevitorSignal
from backend.engines.levitor.spec import SPEC
from backend.engines.svd import edm, images, memory
from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.load import (
    Base,
    base_places,
    controlnet_place,
    load_base,
    load_controlnet,
)
from backend.engines.svd.preview import LatentPreview
from backend.engines.svd.sampler import Denoiser, SamplerSettings, sample_latents
from backend.engines.svd.torch_compile import Compiled, set_channels_last
from backend.networks import fingerprint, on_device, read_unchanged, weight_bytes
from backend.resources import Resources, is_out_of_memory
from protocol.errors import ShotError

log = logging.getLogger(__name__)


class LevitorEngine:
    """Holds the networks between shots; they are read when first needed."""

    spec = SPEC

    def __init__(self, resources: Resources) -> None:
        """Find the weights.

        Raises:
            ShotError: they are not there.
        """
        self._resources = resources
        self._device = torch.device(resources.device)
        # The checkpoint's own precision where there is a device for it
        self._dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        self._folders()
        self._networks: tuple[Base, SVDControlNet] | None = None
        self._fingerprint = ""
        self._compiled: dict[str, Any] = {}

    @without_gradients()
    def sample(
        self,
        image: Tensor,
        signal: LevitorSignal,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """Frames ``(F, 3, H, W)`` in the photo's proportions.

        Raises:
            ShotError: the weights cannot be read, or the memory is not enough.
        """
        settings = _settings(options)
        base, controlnet = self._loaded(lambda: on_step(0, 1, phase=LOADING))
        plan = self._plan(base, controlnet, signal, settings)
        start = time.monotonic()
        try:
            frames = self._sample(
                base, controlnet, plan, image, signal, settings, options, seed, on_step
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("memory preset '%s' was not enough: %s", plan.preset, str(error))
            frames = None
        # Not inside the except clause: there the error keeps everything alive that it interrupted
        if frames is None:
            del base, controlnet
            raise self._out_of_memory(plan, settings)
        log.info(
            "%d frames in %.1f s on %s, memory preset '%s'",
            len(frames),
            time.monotonic() - start,
            self._device,
            plan.preset,
        )
        return frames

    def _sample(
        self,
        base: Base,
        controlnet: SVDControlNet,
        plan: memory.Plan,
        image: Tensor,
        signal: LevitorSignal,
        settings: SamplerSettings,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        # Drawn on the CPU, so that a seed means the same on every device
        generator = torch.Generator().manual_seed(seed)
        photo = signal.fit.image(image)
        frames, _, height, width = signal.maps.shape
        pixels = photo * 2 - 1
        noisy = pixels + settings.noise_augmentation * torch.randn(
            pixels.shape, generator=generator
        )
        noise = torch.randn(frames, 4, height // 8, width // 8, generator=generator)
        sigmas = self._sigmas(base, options)
        chunks = math.ceil(frames / (plan.decode_chunk or frames))
        total, done = len(sigmas) - 1 + chunks, len(sigmas) - 1

        on_step(0, total, phase="encoding the photo")
        with on_device(self._device, base.image_encoder, base.vae, offload=plan.offload):
            embedding = images.clip_embedding(
                base.image_encoder, pixels, base.clip_mean, base.clip_std
            )
            image_latents = images.encode_image(base.vae, noisy)
        preview = LatentPreview(photo, image_latents, base.vae.config["scaling_factor"])

        memory.chunk_feed_forward(plan.feed_forward, base.unet, controlnet)
        with on_device(self._device, base.unet, controlnet, offload=plan.offload):
            denoiser = Denoiser(
                self._faster(base.unet, "unet", options),
                self._faster(controlnet, "controlnet", options),
                embedding,
                image_latents,
                signal.maps.to(self._device, self._dtype),
                settings,
                plan,
            )
            if options["compile"]:
                on_step(0, total, phase=COMPILING)  # at the first step, for this size and length
            latents = sample_latents(
                denoiser,
                noise.to(self._device),
                sigmas,
                lambda step, clean: on_step(step, total, preview=lambda: preview.frames(clean)),
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
        return signal.fit.frames(decoded.cpu())

    def _folders(self) -> tuple[Path, Path]:
        """Where the weights lie now."""
        base, controlnet = (self._resources.weights(name) for name in SPEC.needs({}))
        return base, controlnet

    def release(self) -> None:
        """Let go of the networks, and of the device's memory that they took."""
        self._networks = None
        self._compiled.clear()
        gc.collect()
        if self._device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # too full even for that
                torch.cuda.empty_cache()

    def _loaded(self, before: Callable[[], None] = lambda: None) -> tuple[Base, SVDControlNet]:
        """The networks of the weights that lie there now; read once, unless they change."""
        base, controlnet = self._folders()
        places = (*base_places(base), controlnet_place(controlnet))
        if self._networks is not None and fingerprint(*places) != self._fingerprint:
            log.info("the weights at %s or %s were replaced", base, controlnet)
            self.release()
        if self._networks is None:
            before()
            self._networks, self._fingerprint = read_unchanged(
                lambda: self._read(base, controlnet), *places
            )
        return self._networks

    def _read(self, base_folder: Path, controlnet_folder: Path) -> tuple[Base, SVDControlNet]:
        base = load_base(base_folder, self._dtype)
        controlnet = load_controlnet(controlnet_folder, base.unet, self._dtype)
        for network in (base.unet, controlnet):
            network.batch.one_token = True
        return base, controlnet

    def _plan(
        self,
        base: Base,
        controlnet: SVDControlNet,
        signal: LevitorSignal,
        settings: SamplerSettings,
    ) -> memory.Plan:
        frames, _, height, width = signal.maps.shape
        plan = memory.choose_plan(
            self._resources.memory,
            memory.free_bytes(self._device, base.image_encoder, base.vae, base.unet, controlnet),
            memory.svd_stages(
                {
                    "image_encoder": weight_bytes(base.image_encoder),
                    "vae": weight_bytes(base.vae),
                },
                {"unet": weight_bytes(base.unet), "controlnet": weight_bytes(controlnet)},
                frames=frames,
                height=height,
                width=width,
                guided=settings.guided,
                element_size=self._dtype.itemsize,
            ),
            together=settings.legacy_cfg_context,
        )
        if settings.legacy_cfg_context and settings.guided and plan.sequential_cfg:
            raise ShotError(
                "option",
                "'As the Release' mixes both passes of guidance, which memory "
                f"preset '{plan.preset}' runs one after the other.",
                "Turn it off, or start the server with --memory high.",
            )
        return plan

    def _sigmas(self, base: Base, options: Mapping[str, Scalar]) -> list[float]:
        steps = int(options["steps"])
        if options["schedule"] == "tuned":
            return edm.tuned_sigmas(steps)
        return edm.karras_sigmas(steps, base.sigma_min, base.sigma_max)

    def _faster(self, network: Any, name: str, options: Mapping[str, Scalar]) -> Any:
        """The network in the memory order and form the artist asked for."""
        set_channels_last(network, bool(options["channels_last"]))
        if not options["compile"]:
            return network
        return self._compiled.setdefault(name, Compiled(network))

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


def _settings(options: Mapping[str, Scalar]) -> SamplerSettings:
    return SamplerSettings(
        guidance_min=float(options["guidance_min"]),
        guidance_max=float(options["guidance_max"]),
        motion_bucket=float(options["motion_bucket"]),
        fps=int(options["fps"]),
        noise_augmentation=float(options["noise_augmentation"]),
        control_scale=float(options["control_scale"]),
        legacy_cfg_context=bool(options["legacy_cfg_context"]),
        reuse=int(options["reuse"]),
    )
