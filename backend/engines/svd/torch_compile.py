"""A network under ``torch.compile``, or in channels-last order: the same up to rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def set_channels_last(network: nn.Module, channels_last: bool) -> None:
    """Let the weights of convolutions, and with them what flows, have channels innermost or not.

    Convolutions along time have five axes and keep theirs.
    """
    order = torch.channels_last if channels_last else torch.contiguous_format
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=order)


class Compiled:
    """A network whose calls go through ``torch.compile``, under the same names.

    What a take does once is left as it is.

    Attributes:
        network: itself.
    """

    def __init__(self, network: Any, compiler: str = "inductor") -> None:
        """Compile each call when it is first made, with ``compiler``, torch's name of a backend."""
        self.network = network
        self.embed = getattr(network, "embed", None)
        for call in ("residuals", "with_deep", "shallow"):
            if hasattr(network, call):
                setattr(self, call, torch.compile(getattr(network, call), backend=compiler))
        self._forward = torch.compile(network.forward, backend=compiler)

    def __call__(self, *told: Any) -> Any:
        """The network's forward."""
        return self._forward(*told)
