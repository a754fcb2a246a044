"""The still engine: repeats the photo; one step per frame, no state between shots."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backend.autograd import without_gradients
from backend.contracts import OnStep
from backend.engines.base import Scalar
from backend.engines.still.spec import SPEC
from backend.resources import Resources


class StillEngine:
    """Repeats the photo."""

    spec = SPEC

    def __init__(self, resources: Resources) -> None:
        """Others find their weights and their device in ``resources``, and fail where they lack."""
        del resources

    @without_gradients()
    def sample(
        self,
        image: Tensor,
        signal: int,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """Frames ``(F, 3, H, W)`` float32 in [0, 1]."""
        del (
            seed
        )  # others draw their noise from it, on the CPU, so that it means the same everywhere
        frames = image.new_empty(signal, *image.shape)
        for index in range(signal):
            frames[index] = image * float(options["brightness"])
            on_step(index + 1, signal)  # progress; it raises Cancelled, which is let pass
        return frames

    def release(self) -> None:
        """Nothing to give back."""
