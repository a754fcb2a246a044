"""Segment Anything 1 and 2.1: masks from clicks and boxes, and automatic segments.

The image encoder runs once per photo, the small mask decoder once per click. The versions differ in
their square input: SAM scales the longer side and pads, SAM 2 stretches the photo.

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
STD = (58.395, 57.12, 57.375)
MAX_EMBEDDINGS = 4
"""Embeddings cached in memory; 16 MB each with SAM 2.1."""


class SegmentAnything:
    """A loaded network; fits :class:`backend.perception.base.SegmentModel`.

    Args:
        name: shown in replies.
        network: a ``SamModel`` or a ``Sam2Model``.
        device: torch device.
        stretched: whether the photo is stretched to the square input (SAM 2) rather than padded.
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
        with without_gradients(), _wrap_out_of_memory(name, device):
            for part in network.children():
                if part is not self._encoder:
                    part.to(device)
            for own in network.parameters(recurse=False):
                own.data = own.data.to(device)
        self._stretched = stretched
        prompts = network.config.prompt_encoder_config
        self._side = int(prompts.image_size)
        self._cells = 4 * self._side // int(prompts.patch_size)
        self._embeddings: OrderedDict[str, Embedding] = OrderedDict()

    def encode(self, pixels: Array, key: str = "") -> Embedding:
        """See :meth:`backend.perception.base.SegmentModel.encode`."""
        key = key or content_key(pixels)
        if key in self._embeddings:
            self._embeddings.move_to_end(key)
            return self._embeddings[key]
        height, width = pixels.shape[:2]
        with (
            without_gradients(),
            _wrap_out_of_memory(self.name, self._device),
            on_device(torch.device(self._device), self._encoder, offload=self._rests),
        ):
            square = self._preprocessed(pixels).to(self._device)
            features = self._network.get_image_embeddings(square)
        self.encoded += 1
        embedding = Embedding(
            model=self.name, key=key, height=height, width=width, features=features
        )
        self._embeddings[key] = embedding
        while len(self._embeddings) > MAX_EMBEDDINGS:
            self._embeddings.popitem(last=False)
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
            clicks = self._to_input_pixels(np.asarray(points, float), embedding)[None, None]
            on = torch.from_numpy(np.array(positive).astype(np.int64))
            labels = on.to(self._device)[None, None]
        if box is not None:
            corners = self._to_input_pixels(np.asarray(box, float).reshape(2, 2), embedding)
            corners = corners.reshape(1, 1, 4)
        if previous is not None:
            before = self._mask_prompt(previous)
        with without_gradients(), _wrap_out_of_memory(self.name, self._device):
            found = self._network(
                image_embeddings=embedding.features,
                input_points=clicks,
                input_labels=labels,
                input_boxes=corners,
                input_masks=before,
                # Several masks resolve an ambiguous click; a mask prompt is not ambiguous
                multimask_output=before is None,
            )
            scores = found.iou_scores[0, 0].float()
            order = scores.argsort(descending=True, stable=True)
            logits = found.pred_masks[0, 0].float()[order].cpu().numpy()
            return Candidates(
                masks=self._upsampled(logits, embedding.height, embedding.width),
                scores=scores[order].cpu().numpy(),
                logits=logits,
            )

    def _mask_prompt(self, logits: Array) -> Tensor:
        """``(1, 1, h, w)`` mask prompt of a candidate's logits."""
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
        """Automatic masks (H, W), best first."""
        options = options or automatic.Options()
        grid = automatic.point_grid(options.points_per_side, embedding.height, embedding.width)

        def decode(points: Array) -> tuple[Tensor, Tensor]:
            found = self._network(
                image_embeddings=embedding.features,
                input_points=self._to_input_pixels(points, embedding)[None, :, None],
                input_labels=torch.ones(1, len(points), 1, dtype=torch.int64, device=self._device),
                multimask_output=True,
            )
            return found.pred_masks[0].float(), found.iou_scores[0].float()

        with without_gradients(), _wrap_out_of_memory(self.name, self._device):
            low = automatic.generate_masks(
                decode, grid, options, self._valid_cells(embedding.height, embedding.width)
            )
            return list(self._upsampled(low.cpu().numpy(), embedding.height, embedding.width))

    def segments(self, embedding: Embedding) -> npt.NDArray[np.int32]:
        """See :meth:`backend.perception.base.SegmentModel.segments`."""
        return automatic.segment_map(self.automatic(embedding), (embedding.height, embedding.width))

    def _preprocessed(self, pixels: Array) -> Tensor:
        """``(1, 3, S, S)`` float32, normalised; padding is 0 after normalisation."""
        image = torch.from_numpy(np.array(pixels)).movedim(-1, 0)[None].float()
        size = self._photo_size(*pixels.shape[:2])
        image = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
        image = (image - mean) / deviation
        return F.pad(image, (0, self._side - size[1], 0, self._side - size[0]))

    def _photo_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the photo in the network's square input."""
        if self._stretched:
            return self._side, self._side
        scale = self._side / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def _to_input_pixels(self, points: Array, embedding: Embedding) -> Tensor:
        """``(..., 2)`` pixels of the photo -> pixels of the network's square input.

        The centre of the first pixel is 0 for the network, 0.5 here.
        """
        height, width = self._photo_size(embedding.height, embedding.width)
        scale = np.array([width / embedding.width, height / embedding.height])
        return torch.from_numpy((points * scale - 0.5).astype(np.float32)).to(self._device)

    def _valid_cells(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the low-resolution masks that cover the photo, without padding."""
        rows, columns = self._photo_size(height, width)
        per_cell = self._side / self._cells
        return math.ceil(rows / per_cell), math.ceil(columns / per_cell)

    def _upsampled(self, logits: Array, height: int, width: int) -> npt.NDArray[np.bool_]:
        """``(C, h, w)`` low-resolution masks -> bool ``(C, height, width)``.

        One bilinear resize from the mask grid to the photo's pixels, sampled at pixel centres.
        """
        inside = self._photo_size(height, width)
        low = logits.shape[-2:]
        down = height * self._side / (inside[0] * low[0])
        right = width * self._side / (inside[1] * low[1])
        # One row and column beyond the photo, so that its border is interpolated
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
    """Load a transformers folder (1 or 2.1) or the authors' ``.pth`` (1 only).

    Args:
        name: shown in replies; a name that begins with ``sam2`` selects version 2.1 for a folder.
        path: of the folder or file.
        device: torch device.
        rests: see :class:`SegmentAnything`.
        decoder_heads: of a ``.pth``; see :func:`backend.perception.convert_segment_anything.load`.

    Raises:
        ShotError: it is damaged, or another model.
    """
    version_2 = path.is_dir() and name.startswith("sam2")
    network, mark = read_unchanged(lambda: _network(path, version_2, decoder_heads), path)
    return SegmentAnything(
        name, network, device, stretched=version_2, rests=rests, fingerprint=mark
    )


def _network(path: Path, version_2: bool, decoder_heads: int | None) -> Any:
    from transformers import Sam2Model, SamModel

    if not path.is_dir():
        return convert_segment_anything.load(path, decoder_heads)
    if version_2:
        # The hub's folders are of the video model, which includes the image model
        return loading.from_folder(Sam2Model, path, ("sam2", "sam2_video"))
    return loading.from_folder(SamModel, path, ("sam",))


@contextmanager
def _wrap_out_of_memory(name: str, device: str) -> Iterator[None]:
    """Turns out of memory into a ShotError."""
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
