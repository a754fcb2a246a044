"""Features of frames and videos, of which the Frechet distance makes FID and FVD (``distances``).

An extractor is given pictures in [0, 1] and does its own resizing and scaling, so that the one
thing that differs between published numbers stands in one place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from backend.evaluation.weights_file import checksum, existing, optional_module, torchscript
from protocol.errors import ShotError

INCEPTION = (
    "inception-2015-12-05.pt (TorchScript, of NVIDIA's StyleGAN), or "
    "weights-inception-2015-12-05-6726825d.pth (of toshas/torch-fidelity)"
)
I3D = "i3d_torchscript.pt (TorchScript, of VideoGPT and StyleGAN-V; flateon/FVD-I3D-torchscript)"
VIDEO_FRAMES = 10
"""I3D's pooling takes at least so many."""


class Extractor(Protocol):
    """A network that turns pictures into rows of features.

    Attributes:
        name: for reports.
        source: which weights, with their checksum.
        kind: whether a sample is a frame or a clip.
        least: frames that a clip has at least.
    """

    name: str
    source: str
    kind: Literal["frames", "clips"]
    least: int

    def __call__(self, pictures: Tensor) -> Tensor:
        """``(B, D)`` of ``(B, 3, H, W)`` frames or ``(B, F, 3, H, W)`` clips in [0, 1]."""
        ...


class RandomProjection:
    """Pictures shrunk and multiplied by a random matrix: for tests, and says nothing of quality.

    Args:
        kind: of a sample.
        size: D.
        seed: of the matrix.
    """

    def __init__(
        self, kind: Literal["frames", "clips"] = "frames", size: int = 32, seed: int = 0
    ) -> None:
        self.name, self.source = "random projection", f"seed {seed}"
        self.kind: Literal["frames", "clips"] = kind
        self.least = 1
        self._size, self._seed, self._side = size, seed, 8

    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol says."""
        small = F.adaptive_avg_pool2d(pictures.flatten(0, -4), self._side)
        rows = small.reshape(len(pictures), -1).double()
        generator = Generator().manual_seed(self._seed)
        matrix = torch.randn(rows.shape[1], self._size, generator=generator, dtype=torch.float64)
        return rows @ matrix.to(rows) / rows.shape[1] ** 0.5


class Inception:
    """Inception-v3's 2048 pool features of frames, with the FID weights of 2015-12-05.

    Source: Heusel et al. 2017; the port of TensorFlow's network by the file's author, which
    resizes frames to 299 x 299 itself.

    Args:
        path: TorchScript that takes uint8 and ``return_features``, or torch-fidelity's state
            dictionary where that package is installed.
        device: of the network.

    Raises:
        ShotError: there is no such file, or it is another one.
    """

    def __init__(self, path: Path | None, device: str = "cpu") -> None:
        path = existing(path, "FID", INCEPTION, "--inception")
        self.name, self.source = "Inception-v3", f"{path.name}, sha256 {checksum(path)}"
        self.kind: Literal["frames", "clips"] = "frames"
        self.least = 1
        self._device = device
        if path.suffix == ".pth":
            fidelity = optional_module(
                "torch_fidelity.feature_extractor_inceptionv3", f"FID with {path.name}"
            )
            network = fidelity.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
            self._network = network.to(device).eval()
            self._options: dict[str, Any] = {}
        else:
            self._network = torchscript(path, device)
            self._options = {"return_features": True}

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol says."""
        pixels = (pictures.clamp(0, 1) * 255).round().to(self._device, torch.uint8)
        found = self._network(pixels, **self._options)
        return _rows(found[0] if isinstance(found, tuple) else found, len(pictures), self.source)


class I3D400:
    """I3D's 400 logits of clips, trained on Kinetics-400.

    Source: Carreira and Zisserman 2017; Unterthiner et al. 2018. Frames are resized bilinearly to
    224 x 224, values to [-1, 1].

    Args:
        path: TorchScript that takes ``(B, 3, F, H, W)``, ``rescale``, ``resize`` and
            ``return_features``.
        device: of the network.
        through_256: resize to 256 x 256 first, as SG-I2V does.

    Raises:
        ShotError: there is no such file, or it is another one.
    """

    def __init__(
        self, path: Path | None, device: str = "cpu", *, through_256: bool = False
    ) -> None:
        path = existing(path, "FVD", I3D, "--i3d")
        variant = "256, then 224" if through_256 else "224"
        self.name = f"I3D, frames resized to {variant}"
        self.source = f"{path.name}, sha256 {checksum(path)}"
        self.kind: Literal["frames", "clips"] = "clips"
        self.least = VIDEO_FRAMES
        self._device, self._sides = device, (256, 224) if through_256 else (224,)
        self._network = torchscript(path, device)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol says."""
        batch, frames = pictures.shape[:2]
        small = pictures.flatten(0, 1).to(self._device, torch.float32)
        for side in self._sides:
            small = F.interpolate(small, (side, side), mode="bilinear", align_corners=False)
        clips = small.reshape(batch, frames, *small.shape[1:]).movedim(2, 1) * 2 - 1
        found = self._network(clips, rescale=False, resize=False, return_features=True)
        return _rows(found, batch, self.source)


def _rows(found: Tensor, count: int, source: str) -> Tensor:
    """``(B, D)``, or a sentence about the file that gives something else."""
    rows = found.flatten(1) if isinstance(found, Tensor) and found.ndim > 1 else found
    if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != count:
        raise ShotError(
            "evaluation_weights",
            f"The network of {source} gives no features of {count} samples.",
            "Name the file as it was published.",
        )
    return rows
