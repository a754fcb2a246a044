"""How much memory the real networks take at real sizes, counted without having it.

They run on the meta device, where a tensor has a shape and no numbers. A dispatch mode sees every
tensor that is made and when its storage goes, so the peak is that of the program as it is written,
in whatever precision. Not in it: a device's own workspaces and the gaps its allocator leaves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from backend.benchmark.random_networks import make_networks
from backend.engines.svd import images, memory
from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.load import Base
from backend.engines.svd.sampler import ControlInput, Denoiser, SamplerSettings
from backend.networks import weight_bytes

META = torch.device("meta")
HALF = torch.float16


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all storages made inside it that are still alive.

    Attributes:
        live: bytes alive now.
        peak: the most so far.
    """

    def __init__(self, *known: Tensor) -> None:
        """``known`` tensors are not counted: weights."""
        super().__init__()
        self.live = self.peak = 0
        # The numbers of freed storages are given again, so each is forgotten with its storage
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        number = storage._cdata
        if number in self._seen:
            return
        self._seen.add(number)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, number, size)

    def _forget(self, number: int, size: int) -> None:
        self._seen.discard(number)
        self.live -= size


class Flash(TorchFunctionMode):
    """Attention that keeps no matrix, as every GPU's does: its answer is as large as its query."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


def peak_bytes(call: Callable[[], object], *networks: nn.Module) -> int:
    """The most that ``call`` holds at once beside the weights of ``networks``."""
    weights = [value for network in networks for value in network.parameters()]
    buffers = [value for network in networks for value in network.buffers()]
    with torch.inference_mode(), Flash(), LiveMemory(*weights, *buffers) as found:
        call()
    return found.peak


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Networks on the meta device, and the shot they are asked for."""

    base: Base
    controlnet: SVDControlNet
    frames: int = 16
    height: int = 288
    width: int = 512
    dtype: torch.dtype = HALF

    def empty(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.empty(*shape, device=META, dtype=dtype or self.dtype)

    def encoding(self) -> int:
        """CLIP and the codec's encoder, one after the other; in single precision from half."""

        def call() -> None:
            pixels = self.empty(3, self.height, self.width, dtype=torch.float32)
            images.clip_embedding(
                self.base.image_encoder, pixels, self.base.clip_mean, self.base.clip_std
            )
            images.encode_image(self.base.vae, pixels)

        return peak_bytes(call, self.base.image_encoder, self.base.vae)

    def denoising(self, plan: memory.Plan, guided: bool) -> int:
        """A step, with all that a shot keeps between steps."""
        size = self.height // 8, self.width // 8
        context = self.base.unet.config["cross_attention_dim"]

        def call() -> None:
            denoiser = Denoiser(
                self.base.unet,
                self.empty(1, 1, context),
                self.empty(4, *size),
                self.frames,
                SamplerSettings(guidance_max=3.0 if guided else 1.0),
                plan,
                [
                    ControlInput(
                        network=self.controlnet,
                        maps=self.empty(self.frames, 3, self.height, self.width),
                    )
                ],
            )
            noisy = self.empty(self.frames, 4, *size, dtype=torch.float32)
            denoiser.velocity(noisy, 1.0, 0)

        memory.chunk_feed_forward(plan.feed_forward, self.base.unet, self.controlnet)
        return peak_bytes(call, self.base.unet, self.controlnet)

    def decoding(self, plan: memory.Plan) -> int:
        def call() -> None:
            latents = self.empty(
                self.frames, 4, self.height // 8, self.width // 8, dtype=torch.float32
            )
            images.decode_frames(self.base.vae, latents, plan.decode_chunk, plan.tile)

        return peak_bytes(call, self.base.vae)

    def counted(self, plan: memory.Plan, guided: bool = True) -> int:
        """The most a whole take holds under a plan, weights included."""
        codecs, denoisers = sum(self.codecs.values()), sum(self.denoisers.values())
        waiting = 0 if plan.offload else 1
        return max(
            codecs + max(self.encoding(), self.decoding(plan)) + waiting * denoisers,
            denoisers + self.denoising(plan, guided) + waiting * codecs,
        )

    def reckoned(self, plan: memory.Plan, guided: bool = True) -> int:
        """What a plan is chosen by."""
        stages = memory.svd_stages(
            self.codecs,
            self.denoisers,
            frames=self.frames,
            height=self.height,
            width=self.width,
            guided=guided,
            element_size=self.dtype.itemsize,
        )
        return memory.needed_bytes(plan, stages)

    @property
    def codecs(self) -> dict[str, int]:
        return {
            "image_encoder": weight_bytes(self.base.image_encoder),
            "vae": weight_bytes(self.base.vae),
        }

    @property
    def denoisers(self) -> dict[str, int]:
        return {
            "unet": weight_bytes(self.base.unet),
            "controlnet": weight_bytes(self.controlnet),
        }


def print_footprint() -> None:
    """The tables behind the presets: stages by latent cell or pixel, presets by size."""
    base, controlnet = make_networks(META, HALF)
    print(
        "weights, GB: "
        + ", ".join(
            f"{name} {size / 1e9:.2f}"
            for name, size in (
                ("image encoder", weight_bytes(base.image_encoder)),
                ("codec", weight_bytes(base.vae)),
                ("UNet", weight_bytes(base.unet)),
                ("ControlNet", weight_bytes(controlnet)),
            )
        )
    )
    print("frames     size      preset    encode  denoise   alone  decode    peak  reckoned   GB")
    for frames, height, width in ((16, 288, 512), (32, 288, 512), (16, 576, 1024)):
        subject = Subject(
            base=base, controlnet=controlnet, frames=frames, height=height, width=width
        )
        encoding = subject.encoding()
        for plan in memory.PLANS:
            parts = (
                encoding,
                subject.denoising(plan, guided=True),
                subject.denoising(plan, guided=False),
                subject.decoding(plan),
                subject.counted(plan),
                subject.reckoned(plan),
            )
            print(
                f"{frames:>4}  {width:>5} x {height:<4}  {plan.preset:<9}"
                + "".join(f"{size / 1e9:8.3f}" for size in parts)
            )
