"""Segment Anything, 1 and 2.1: what a click means.

A photo is looked at once; every click after that is one pass of the small decoder. The two
generations differ in how a photo becomes the network's square: the first scales its longer side
and pads, the second stretches it.

Sources: Kirillov et al., "Segment Anything" (2023); Ravi et al., "SAM 2" (2024).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.autograd import without_gradients
from backend.networks import on_device, read_unchanged
from backend.perception import automatic, convert_segment_anything, loading
from backend.perception.base import Array, Candidates, Embedding, check_prompts, content_key
from backend.resources import is_out_of_memory
from protocol.errors import ShotError

MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
REMEMBERED = 4
"""Photos whose embedding is kept in memory; with SAM 2.1 one takes 16 MB."""


class SegmentAnything:
    """A loaded network; fits :class:`backend.perception.base.SegmentModel`.

    Args:
        name: what replies call it.
        network: a ``SamModel`` or a ``Sam2Model``.
        device: torch's name of what to compute on.
        stretched: the photo fills the network's square (SAM 2), instead of keeping its aspect.
        rests: whether the part that looks at photos, which is nearly all of it, lies in the CPU's
            memory while none is looked at. What answers clicks takes a few megabytes and stays.
        fingerprint: of the files that it was read from.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        device: str = "cpu",
        *,
        stretched: bool = False,
        rests: bool = False,
        fingerprint: str = "",
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.automatic_name = name
        self.encoded = 0
        self._network = network
        self._device = device
        self._rests = rests
        self._encoder = getattr(network, "vision_encoder", nn.Identity())
        with without_gradients(), _memory_told(name, device):
            for part in network.children():
                if part is not self._encoder:
                    part.to(device)
            for own in network.parameters(recurse=False):
                own.data = own.data.to(device)
        self._stretched = stretched
        prompts = network.config.prompt_encoder_config
        self._side = int(prompts.image_size)
        self._cells = 4 * self._side // int(prompts.patch_size)
        self._remembered: OrderedDict[str, Embedding] = OrderedDict()

    def encode(self, pixels: Array, key: str = "") -> Embedding:
        """See :meth:`backend.perception.base.SegmentModel.encode`."""
        key = key or content_key(pixels)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        height, width = pixels.shape[:2]
        with (
            without_gradients(),
            _memory_told(self.name, self._device),
            on_device(torch.device(self._device), self._encoder, offload=self._rests),
        ):
            square = self._square(pixels).to(self._device)
            features = self._network.get_image_embeddings(square)
        self.encoded += 1
        embedding = Embedding(
            model=self.name, key=key, height=height, width=width, features=features
        )
        self._remembered[key] = embedding
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return embedding

    def segment(
        self,
        embedding: Embedding,
        points: Array,
        positive: Array,
        box: Sequence[float] | None,
        previous: Array | None = None,
    ) -> Candidates:
        """See :meth:`backend.perception.base.SegmentModel.segment`."""
        check_prompts(points, positive, box, embedding.height, embedding.width)
        clicks = labels = corners = before = None
        if len(points):
            clicks = self._placed(np.asarray(points, float), embedding)[None, None]
            on = torch.from_numpy(np.array(positive).astype(np.int64))
            labels = on.to(self._device)[None, None]
        if box is not None:
            corners = self._placed(np.asarray(box, float).reshape(2, 2), embedding)
            corners = corners.reshape(1, 1, 4)
        if previous is not None:
            before = self._refinable(previous)
        with without_gradients(), _memory_told(self.name, self._device):
            found = self._network(
                image_embeddings=embedding.features,
                input_points=clicks,
                input_labels=labels,
                input_boxes=corners,
                input_masks=before,
                # Three masks are for doubt; one that is given back leaves none over which is meant
                multimask_output=before is None,
            )
            scores = found.iou_scores[0, 0].float()
            order = scores.argsort(descending=True, stable=True)
            logits = found.pred_masks[0, 0].float()[order].cpu().numpy()
            return Candidates(
                masks=self._in_photo(logits, embedding.height, embedding.width),
                scores=scores[order].cpu().numpy(),
                logits=logits,
            )

    def _refinable(self, logits: Array) -> Tensor:
        """``(1, 1, h, w)`` of logits that were given back."""
        side = self._cells
        if logits.shape != (side, side):
            rows, columns = logits.shape
            raise ShotError(
                "previous",
                f"The mask to refine has {columns} x {rows} cells, those of {self.name} have "
                f"{side} x {side}.",
                "Pick anew instead of extending: another model made that mask.",
            )
        if not np.isfinite(logits).all():
            raise ShotError(
                "previous",
                f"{int((~np.isfinite(logits)).sum())} of {logits.size} cells of the mask to refine "
                "are no numbers.",
                "Pick anew instead of extending.",
            )
        return torch.from_numpy(np.array(logits, np.float32))[None, None].to(self._device)

    def automatic(
        self, embedding: Embedding, options: automatic.Options | None = None
    ) -> list[npt.NDArray[np.bool_]]:
        """Masks (H, W) without any click, best first."""
        options = options or automatic.Options()
        grid = automatic.point_grid(options.per_side, embedding.height, embedding.width)

        def decode(points: Array) -> tuple[Tensor, Tensor]:
            found = self._network(
                image_embeddings=embedding.features,
                input_points=self._placed(points, embedding)[None, :, None],
                input_labels=torch.ones(1, len(points), 1, dtype=torch.int64, device=self._device),
                multimask_output=True,
            )
            return found.pred_masks[0].float(), found.iou_scores[0].float()

        with without_gradients(), _memory_told(self.name, self._device):
            low = automatic.good_masks(
                decode, grid, options, self._seen(embedding.height, embedding.width)
            )
            return list(self._in_photo(low.cpu().numpy(), embedding.height, embedding.width))

    def segments(self, embedding: Embedding) -> npt.NDArray[np.int32]:
        """See :meth:`backend.perception.base.SegmentModel.segments`."""
        return automatic.segment_map(self.automatic(embedding), (embedding.height, embedding.width))

    def _square(self, pixels: Array) -> Tensor:
        """``(1, 3, S, S)`` float32, normalised; padding is 0 after normalisation."""
        image = torch.from_numpy(np.array(pixels)).movedim(-1, 0)[None].float()
        size = self._photo_size(*pixels.shape[:2])
        image = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
        image = (image - mean) / deviation
        return F.pad(image, (0, self._side - size[1], 0, self._side - size[0]))

    def _photo_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the photo has in the network's square, in its pixels."""
        if self._stretched:
            return self._side, self._side
        scale = self._side / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def _placed(self, points: Array, embedding: Embedding) -> Tensor:
        """``(..., 2)`` places in the photo -> in the network's square.

        The network counts from the centre of its first pixel, we from its corner.
        """
        height, width = self._photo_size(embedding.height, embedding.width)
        scale = np.array([width / embedding.width, height / embedding.height])
        return torch.from_numpy((points * scale - 0.5).astype(np.float32)).to(self._device)

    def _seen(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the low-resolution masks that show the photo and not the padding."""
        rows, columns = self._photo_size(height, width)
        per_cell = self._side / self._cells
        return math.ceil(rows / per_cell), math.ceil(columns / per_cell)

    def _in_photo(self, logits: Array, height: int, width: int) -> npt.NDArray[np.bool_]:
        """``(C, h, w)`` low-resolution masks -> bool ``(C, height, width)``.

        One linear step from the network's grid to the photo's, so that the centre of a photo's
        pixel is looked up exactly where it lies.
        """
        inside = self._photo_size(height, width)
        low = logits.shape[-2:]
        down = height * self._side / (inside[0] * low[0])
        right = width * self._side / (inside[1] * low[1])
        # One row and column more than the photo has, so that its border is not a guess
        rows = min(low[0], math.ceil(height / down) + 1)
        columns = min(low[1], math.ceil(width / right) + 1)
        masks = np.empty((len(logits), height, width), bool)
        for mask, values in zip(masks, logits, strict=True):
            grown = cv2.resize(
                values[:rows, :columns], None, fx=right, fy=down, interpolation=cv2.INTER_LINEAR
            )
            np.greater(grown[:height, :width], 0, out=mask)
        return masks


def load(
    name: str,
    path: Path,
    device: str = "cpu",
    *,
    rests: bool = False,
    decoder_heads: int | None = None,
) -> SegmentAnything:
    """The model of a transformers folder (1 or 2.1) or of the authors' ``.pth`` (1 only).

    Args:
        name: what replies call it; of a folder, one that begins with ``sam2`` wants version 2.1.
        path: the folder, or the file of any name.
        device: torch's name of what to compute on.
        rests: see :class:`SegmentAnything`.
        decoder_heads: of a ``.pth``; see :func:`backend.perception.convert_segment_anything.load`.

    Raises:
        ShotError: it is damaged, or another kind of model.
    """
    second = path.is_dir() and name.startswith("sam2")
    network, mark = read_unchanged(lambda: _network(path, second, decoder_heads), path)
    return SegmentAnything(name, network, device, stretched=second, rests=rests, fingerprint=mark)


def _network(path: Path, second: bool, decoder_heads: int | None) -> Any:
    from transformers import Sam2Model, SamModel

    if not path.is_dir():
        return convert_segment_anything.load(path, decoder_heads)
    if second:
        # The folders on the hub call themselves video models; the image part is the same
        return loading.from_folder(Sam2Model, path, ("sam2", "sam2_video"))
    return loading.from_folder(SamModel, path, ("sam",))


@contextmanager
def _memory_told(name: str, device: str) -> Iterator[None]:
    """Turns a lack of memory into one sentence."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ShotError(
            "memory",
            f"The memory of '{device}' does not suffice for {name}.",
            "Choose a smaller segment model, or close other programs.",
        ) from error
