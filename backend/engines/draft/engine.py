"""The draft engine: returns the frames of a draft; no weights, no noise."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backend.autograd import without_gradients
from backend.contracts import Draft, OnStep
from backend.engines.base import Scalar
from backend.engines.draft.spec import SPEC
from backend.resources import Resources


class DraftEngine:
    """Lays out frames that the signal composes of the photo's own pixels."""

    spec = SPEC

    def __init__(self, resources: Resources | None = None) -> None:
        del resources  # every engine is handed them; this one needs no weights and no device

    @without_gradients()
    def sample(
        self,
        image: Tensor,
        signal: Draft,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """Frames ``(F, 3, H, W)``. ``seed`` changes nothing: there is no noise in a draft."""
        del options, seed
        frames = image.new_empty(len(signal), *image.shape)
        for index in range(len(signal)):
            frames[index] = signal[index].rgb
            on_step(index + 1, len(signal))
        return frames

    def release(self) -> None:
        """Nothing is held between two shots."""
