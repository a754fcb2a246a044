"""Running averages of networks' weights (EMA)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

from torch import nn

from backend.autograd import without_gradients
from backend.training.config import AverageOptions


def decay(options: AverageOptions, step: int) -> float:
    """How much of the average step ``step`` (from 1) keeps; the first keeps nothing.

    Source: EDM2, "Analyzing and Improving the Training Dynamics of Diffusion Models" (Karras et al.
    2024), section 3.1, for ``power``; the ramp of ``constant``, (1 + t) / (10 + t), is that of
    TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.
    """
    if step <= 1:
        return 0.0
    if options.kind == "power":
        return (1 - 1 / step) ** (_exponent(options.width) + 1)
    return min(options.decay, (1 + step) / (10 + step))


def _exponent(width: float) -> float:
    """The power of t whose profile is ``width`` of the run wide: EDM2's equation for gamma.

    sigma^2 = (g + 1) / ((g + 2)^2 (g + 3)) has one root above 0 for widths below .288.
    """
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        wide = math.sqrt((middle + 1) / ((middle + 2) ** 2 * (middle + 3)))
        low, high = (middle, high) if wide > width else (low, middle)
    return low


class RunningAverages:
    """Copies of networks that hold the average of their weights.

    Args:
        networks: by name; copied as they are.
        options: see there; its kind is not ``none``.
    """

    def __init__(self, networks: Mapping[str, nn.Module], options: AverageOptions) -> None:
        self._options, self._networks = options, networks
        self.networks = {name: copy.deepcopy(one) for name, one in networks.items()}
        for one in self.networks.values():
            one.requires_grad_(False).eval()

    @without_gradients()
    def update(self, step: int) -> None:
        """Take in the weights after step ``step``."""
        share = 1 - decay(self._options, step)
        for name, average in self.networks.items():
            now = self._networks[name].state_dict()
            for key, value in average.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(now[key].to(value), share)
                else:
                    value.copy_(now[key])

    @without_gradients()
    def take(self) -> None:
        """Hold the networks' weights as they are now."""
        for name, average in self.networks.items():
            average.load_state_dict(self._networks[name].state_dict())
