"""LPIPS with AlexNet: how different two pictures look to a network's features.

Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric",
eq. 1, version 0.1 of its weights.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from backend.evaluation.weights_file import checksum, existing, state_dict
from backend.networks import fill
from protocol.errors import ShotError

ALEXNET = "alexnet-owt-7be5be79.pth (of torchvision)"
LINEAR = "alex.pth (of richzhang/PerceptualSimilarity, lpips/weights/v0.1)"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What pictures in [-1, 1] are moved and divided by before the network."""
CHANNELS = (64, 192, 384, 256, 256)


class AlexNetFeatures(nn.Module):
    """The five activations of AlexNet's convolutions; keys as in torchvision."""

    def __init__(self) -> None:
        super().__init__()
        kernels = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1))
        kernels += ((384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
        layers: list[nn.Module] = []
        for number, (inputs, outputs, size, stride, padding) in enumerate(kernels):
            if number in (1, 2):
                layers.append(nn.MaxPool2d(3, 2))
            layers += [nn.Conv2d(inputs, outputs, size, stride, padding), nn.ReLU()]
        self.features = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Activations of ``(B, 3, H, W)``."""
        found = []
        for layer in self.features:
            pictures = layer(pictures)
            if isinstance(layer, nn.ReLU):
                found.append(pictures)
        return found


class LPIPS:
    """The distance of pictures and videos, by weights that lie here.

    Attributes ``name`` and ``source`` are as of an ``Extractor``.

    Args:
        alexnet: AlexNet's state dictionary, of which only the convolutions are used.
        linear: the state dictionary of LPIPS' five linear layers.
        device: of the network.

    Raises:
        ShotError: a file is missing, or does not fit.
    """

    def __init__(self, alexnet: Path | None, linear: Path | None, device: str = "cpu") -> None:
        alexnet = existing(alexnet, "LPIPS", ALEXNET, "--alexnet")
        linear = existing(linear, "LPIPS", LINEAR, "--lpips")
        self.name = "LPIPS with AlexNet"
        self.source = f"{alexnet.name}, sha256 {checksum(alexnet)}"
        self.source += f"; {linear.name}, sha256 {checksum(linear)}"
        state = state_dict(alexnet)
        self._network = AlexNetFeatures()
        convolutions = {key: part for key, part in state.items() if key.startswith("features.")}
        fill(self._network, convolutions, lambda *said: _refused(alexnet, *said))
        self._network.to(device)
        weights = state_dict(linear)
        try:
            found = [weights[f"lin{number}.model.1.weight"] for number in range(len(CHANNELS))]
        except KeyError as error:
            raise _refused(linear, f"key {error}", "is missing") from error
        if [part.numel() for part in found] != list(CHANNELS):
            raise _refused(linear, "its layers", f"are not of {CHANNELS} channels")
        self._linear = [part.float().reshape(1, -1, 1, 1).to(device) for part in found]
        self._device = device

    @torch.no_grad()
    def __call__(self, a: Tensor, b: Tensor) -> float:
        """The mean over frames.

        Args:
            a: ``(F, 3, H, W)`` in [0, 1].
            b: likewise.

        Raises:
            ValueError: sizes that differ.
        """
        if a.shape != b.shape or a.ndim != 4:
            raise ValueError(f"videos must both be (F, 3, H, W), got {a.shape} and {b.shape}")
        if len(a) == 0:
            return float("nan")
        return float(torch.stack([self._frame(x, y) for x, y in zip(a, b, strict=True)]).mean())

    def _frame(self, a: Tensor, b: Tensor) -> Tensor:
        pair = torch.stack([a, b]).to(self._device, torch.float32) * 2 - 1
        shift = pair.new_tensor(SHIFT)[:, None, None]
        scale = pair.new_tensor(SCALE)[:, None, None]
        total = pair.new_zeros(())
        for found, weight in zip(self._network((pair - shift) / scale), self._linear, strict=True):
            unit = found / (found.square().sum(1, keepdim=True).sqrt() + 1e-10)
            total = total + ((unit[:1] - unit[1:]).square() * weight).sum(1).mean()
        return total


def _refused(path: Path, keys: str, what: str) -> ShotError:
    return ShotError(
        "evaluation_weights",
        f"{path} is not what LPIPS needs: {keys} {what}.",
        "Name the file as it was published.",
    )
