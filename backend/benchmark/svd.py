"""One take on Stable Video Diffusion with random weights, timed part by part."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from backend.autograd import without_gradients
from backend.benchmark.random_networks import make_networks
from backend.engines.svd import images, memory
from backend.engines.svd.edm import karras_sigmas
from backend.engines.svd.sampler import ControlInput, Denoiser, SamplerSettings, sample_latents
from backend.engines.svd.torch_compile import Compiled, set_channels_last
from backend.networks import move, on_device, weight_bytes

UNET_TFLOP, CONTROLNET_TFLOP, DECODER_TFLOP = 10.37, 3.67, 27.0
"""A pass of each network, and the decoding, for :data:`CELLS`; a sum and a product are two."""
CELLS = 16 * 36 * 64
KINDS = {
    "attention": ("attention", "flash", "fmha"),
    "convolutions": ("conv",),
    "products": ("mm", "linear", "gemm"),
    "norms": ("norm",),
    "copies": ("copy", "cat", "clone", "contiguous", "memcpy"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is run.

    Attributes:
        device: where.
        dtype: of weights and of what flows.
        frames: of the clip.
        height: of a frame, pixels.
        width: likewise.
        steps: of denoising.
        guidance: of the last frame; 1 is none.
        compile: whether the denoisers are compiled.
        channels_last: whether their convolutions have channels innermost.
    """

    device: torch.device
    dtype: torch.dtype
    frames: int = 16
    height: int = 288
    width: int = 512
    steps: int = 25
    guidance: float = 3.0
    compile: bool = False
    channels_last: bool = False

    @property
    def tflop(self) -> float:
        """The work of a shot with the real networks; attention's square is taken as straight."""
        share = self.frames * self.height * self.width / 64 / CELLS
        passes = self.steps * (2 if self.guidance > 1 else 1)
        return share * (passes * (UNET_TFLOP + CONTROLNET_TFLOP) + DECODER_TFLOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds of one shot, and its peak of memory.

    Attributes:
        photo: CLIP and the codec's encoder.
        sampling: all steps, with the control's embedding.
        decoding: latents to frames.
        step: median of the steps.
        unet: of all steps, the UNet.
        controlnet: likewise, the ControlNet.
        embedding: of the control, once a shot.
        peak: most bytes allocated on the device, None where it has none of its own.
    """

    photo: float
    sampling: float
    decoding: float
    step: float
    unet: float
    controlnet: float
    embedding: float
    peak: int | None

    @property
    def whole(self) -> float:
        """The shot, with what was moved between parts."""
        return self.photo + self.sampling + self.decoding


class Clock:
    """Time on a device. Marks are set without waiting and read when all is done."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[tuple[str, Any, Any]] = []

    def now(self) -> Any:
        """A mark at the end of what was sent to the device so far."""
        if not self._cuda:
            return time.perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call with a mark before and after."""

        def with_marks(*arguments: Any) -> Any:
            start = self.now()
            answer = call(*arguments)
            self._marks.append((name, start, self.now()))
            return answer

        return with_marks

    def seconds(self, start: Any, end: Any) -> float:
        """Between two marks; waits for the second."""
        if not self._cuda:
            return end - start
        end.synchronize()
        return start.elapsed_time(end) / 1000

    def spent(self, name: str) -> float:
        """All of the calls of that name."""
        return sum(self.seconds(start, end) for own, start, end in self._marks if own == name)


class Timed:
    """A denoiser whose calls are timed."""

    def __init__(self, network: Any, name: str, clock: Clock) -> None:
        self._call = clock.timed(name, network)
        if hasattr(network, "residuals"):
            self.residuals = clock.timed(name, network.residuals)
            self.embed = clock.timed("embedding", network.embed)

    def __call__(self, *told: Any) -> Any:
        """The network's forward."""
        return self._call(*told)


class Subject:
    """The networks of a trial, and a made-up photo and control."""

    def __init__(self, trial: Trial, tiny: bool = False) -> None:
        """Make the networks on the device.

        Raises:
            OutOfMemoryError: not even the weights fit.
        """
        self.trial = trial
        self.base, self.controlnet = make_networks(trial.device, trial.dtype, tiny)
        self._calls: dict[str, Any] = {}
        for name, network in (("unet", self.base.unet), ("controlnet", self.controlnet)):
            set_channels_last(network, trial.channels_last)
            self._calls[name] = Compiled(network) if trial.compile else network
        generator = torch.Generator().manual_seed(0)
        self._photo = 2 * torch.rand(3, trial.height, trial.width, generator=generator) - 1
        control = 255 * torch.rand(trial.frames, 3, trial.height, trial.width, generator=generator)
        self._control = control
        size = trial.height // 8, trial.width // 8
        self.noise = torch.randn(trial.frames, 4, *size, generator=generator)

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """All networks."""
        return self.base.image_encoder, self.base.vae, self.base.unet, self.controlnet

    def needed_bytes(self, plan: memory.Plan) -> int:
        """What a take is reckoned to need under a plan."""
        sizes = dict(
            zip(
                ("image_encoder", "vae", "unet", "controlnet"),
                map(weight_bytes, self.parts),
                strict=True,
            )
        )
        trial = self.trial
        stages = memory.svd_stages(
            {name: sizes[name] for name in ("image_encoder", "vae")},
            {name: sizes[name] for name in ("unet", "controlnet")},
            frames=trial.frames,
            height=trial.height,
            width=trial.width,
            guided=trial.guidance > 1,
            element_size=trial.dtype.itemsize,
        )
        return memory.needed_bytes(plan, stages)

    def run(self, plan: memory.Plan, steps: int | None = None) -> Took:
        """One take under a preset's plan.

        Raises:
            OutOfMemoryError: it does not fit.
        """
        trial, base, device = self.trial, self.base, self.trial.device
        cuda = device.type == "cuda"
        move(torch.device("cpu") if plan.offload else device, *self.parts)
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        clock = Clock(device)
        marks = [clock.now()]
        with without_gradients():
            with on_device(device, base.image_encoder, base.vae, offload=plan.offload):
                embedding, photo = self._encoded()
            marks.append(clock.now())
            memory.chunk_feed_forward(plan.feed_forward, base.unet, self.controlnet)
            with on_device(device, base.unet, self.controlnet, offload=plan.offload):
                stepped = [clock.now()]
                latents = sample_latents(
                    self._denoiser(plan, embedding, photo, clock),
                    self.noise.to(device),
                    karras_sigmas(steps or trial.steps, base.sigma_min, base.sigma_max),
                    lambda step, clean: stepped.append(clock.now()),
                )
            marks.append(clock.now())
            with on_device(device, base.vae, offload=plan.offload):
                images.decode_frames(base.vae, latents, plan.decode_chunk, plan.tile)
            marks.append(clock.now())
        photo_, sampling, decoding = map(clock.seconds, marks, marks[1:])
        return Took(
            photo=photo_,
            sampling=sampling,
            decoding=decoding,
            step=statistics.median(map(clock.seconds, stepped, stepped[1:])),
            unet=clock.spent("unet"),
            controlnet=clock.spent("controlnet"),
            embedding=clock.spent("embedding"),
            peak=torch.cuda.max_memory_allocated(device) if cuda else None,
        )

    def kinds(self, plan: memory.Plan) -> dict[str, float]:
        """Seconds of one step by kind of work, from torch's profiler, most first."""
        from torch.profiler import ProfilerActivity, profile

        device = self.trial.device
        cuda = device.type == "cuda"
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
        with without_gradients(), on_device(device, *self.parts[2:], offload=False):
            memory.chunk_feed_forward(plan.feed_forward, *self.parts[2:])
            context = self.base.unet.config["cross_attention_dim"]
            embedding = torch.zeros(1, 1, context, device=device, dtype=self.trial.dtype)
            photo = self.noise[0].to(device, self.trial.dtype)
            denoiser = self._denoiser(plan, embedding, photo, Clock(device))
            noisy = self.noise.to(device)
            denoiser.velocity(noisy, 1.0, 0)
            with profile(activities=activities) as seen:
                denoiser.velocity(noisy, 1.0, 0)
        found: dict[str, float] = {}
        for event in seen.key_averages():
            # A kernel stands there twice: by itself, and under the operation that sent it
            if cuda and event.cpu_time_total == 0:
                continue
            spent = event.self_device_time_total if cuda else event.self_cpu_time_total
            name = kind_of(event.key)
            found[name] = found.get(name, 0.0) + spent / 1e6
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def denoiser(self, plan: memory.Plan, clock: Clock | None = None) -> Denoiser:
        """The shot's, its photo encoded; everything where it is to be."""
        return self._denoiser(plan, *self._encoded(), clock or Clock(self.trial.device))

    def _encoded(self) -> tuple[Tensor, Tensor]:
        base = self.base
        embedding = images.clip_embedding(
            base.image_encoder, self._photo, base.clip_mean, base.clip_std
        )
        return embedding, images.encode_image(base.vae, self._photo)

    def _denoiser(
        self, plan: memory.Plan, embedding: Tensor, photo: Tensor, clock: Clock
    ) -> Denoiser:
        return Denoiser(
            Timed(self._calls["unet"], "unet", clock),
            embedding,
            photo,
            self.trial.frames,
            SamplerSettings(guidance_max=self.trial.guidance),
            plan,
            [
                ControlInput(
                    network=Timed(self._calls["controlnet"], "controlnet", clock),
                    maps=self._control.to(self.trial.device, self.trial.dtype),
                )
            ],
        )


def kind_of(operation: str) -> str:
    """Which kind of work an operation or a kernel is."""
    name = operation.lower()
    return next(
        (kind for kind, words in KINDS.items() if any(word in name for word in words)), "the rest"
    )


def disagreement(trial: Trial) -> float:
    """How far a step of the tiny networks on the device is from the CPU's in single precision.

    The largest difference over the mean size of the answer.
    """
    small = replace(trial, frames=4, height=64, width=64, compile=False)
    here = Subject(replace(small, device=torch.device("cpu"), dtype=torch.float32), tiny=True)
    there = Subject(small, tiny=True)
    for own, other in zip(here.parts, there.parts, strict=True):
        other.load_state_dict(own.state_dict())
    answers = [_answer(one) for one in (here, there)]
    return float((answers[0] - answers[1]).abs().max() / answers[0].abs().mean())


def _answer(subject: Subject) -> Tensor:
    with without_gradients():
        denoiser = subject.denoiser(memory.plan_of("high"))
        return denoiser.velocity(subject.noise.to(subject.trial.device), 1.0, 0).cpu()
