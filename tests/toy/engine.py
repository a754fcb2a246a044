"""The toy engine: the photo, with red put over the boxes of the chosen instances."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backend.autograd import without_gradients
from backend.contracts import OnStep
from backend.engines.base import Scalar
from backend.resources import Resources
from tests.toy.signal import ToySignal
from tests.toy.spec import SPEC


class ToyEngine:
    """Holds nothing."""

    spec = SPEC

    def __init__(self, resources: Resources) -> None:
        del resources

    @without_gradients()
    def sample(
        self,
        image: Tensor,
        signal: ToySignal,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """Frames ``(F, 3, H, W)`` float32 in [0, 1]."""
        del seed
        boxes = signal.boxes
        total = boxes.xyxy.shape[1]
        frames = image.repeat(total, 1, 1, 1)
        for row, item in enumerate(boxes.instance.tolist()):
            if signal.chosen and item not in signal.chosen:
                continue
            for index in range(total):
                left, top, right, bottom = boxes.xyxy[row, index].round().int().tolist()
                frames[index, 0, top:bottom, left:right] += float(options["tint"])
        for index in range(total):
            on_step(index + 1, total)
        return (frames.flip(-1) if options["mirror"] else frames).clamp(0, 1)

    def release(self) -> None:
        """Nothing to give back."""
