"""How long a click and the automatic segments take, with a network and without its share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

Row = tuple[str, float, str, str]
Seconds = Callable[..., float]
SIDE = 1024


class NoNetwork(nn.Module):
    """Answers at once with masks that were made before: what is left is the bookkeeping.

    A prompt's three masks are a disc around its place, a larger one, and one nobody is sure of, so
    that the filters and the suppression have as much to do as with a real network. A click may
    mean three ``discs`` of 62, 125 and 187 of the 640 pixels of a photo's longer side.
    """

    class config:  # noqa: N801
        class prompt_encoder_config:  # noqa: N801
            image_size, patch_size = SIDE, 16

    def __init__(self, *, discs: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        centre = (torch.arange(256) + 0.5) * 4
        places = torch.rand(64, 2, generator=generator) * SIDE
        y, x = centre[None, :, None] - places[:, 1, None, None], centre - places[:, :1, None]
        away = torch.hypot(x.expand(64, 256, 256), y.expand(64, 256, 256))
        radii = 20 + 100 * torch.rand(64, generator=generator)[:, None, None]
        self._masks = torch.stack([radii - away, 1.5 * radii - away, 0.02 * (radii - away)], 1)
        if discs:
            away = torch.hypot(centre[None] - 0.5 * SIDE, centre[:, None] - 0.33 * SIDE)
            self._masks = torch.stack([radius - away for radius in (100, 200, 300)])[None]
        self._scores = 0.85 + 0.15 * torch.rand(64, 3, generator=generator)

    def get_image_embeddings(self, square: Any) -> Any:
        return square

    def forward(self, input_points: Any, **_: Any) -> Any:
        prompts = input_points.shape[1]
        return type(
            "Found",
            (),
            {"pred_masks": self._masks[None, :prompts], "iou_scores": self._scores[None, :prompts]},
        )


def rows(seconds: Seconds) -> list[Row]:
    import numpy as np

    from backend import pipeline
    from backend.images.photo import decode_photo
    from backend.perception import (
        depth_anything,
        flying_pixels,
        mask_refinement,
        segment_anything,
        tiny,
    )
    from backend.perception.perceive import Perception
    from backend.perception.segment_anything import SegmentAnything
    from tests.perception import photos

    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    click, on = np.array([[500.0, 400.0]]), np.ones(1, np.uint8)
    photo = decode_photo(photos.files()["landscape"], 640).pixels
    down, across = np.mgrid[: photo.shape[0], : photo.shape[1]]
    behind = (2 + np.hypot(down - 200, across - 300) / 100).astype(np.float32)
    middle = np.array([[320.0, 210.0]])
    bare = SegmentAnything("bookkeeping", NoNetwork())

    def clicked(model: SegmentAnything, key: str = "") -> Callable[[], Any]:
        model.encode(pixels, key)
        return lambda: model.segment(model.encode(pixels, key), click, on, None)

    def whole(model: SegmentAnything) -> Callable[[], Any]:
        model.encode(photo, "photo")
        looked = Perception(segments=model)
        return lambda: pipeline.segment(
            photo, behind, middle, on, None, None, None, looked, "photo"
        )

    with tempfile.TemporaryDirectory() as folder:
        depth = depth_anything.load("tiny", tiny.make_tiny_depth_anything(Path(folder, "depth")))
        found = [
            ("click to mask, 1024 x 1024, tiny SAM", tiny.make_tiny_sam, "sam-vit-base"),
            ("click to mask, 1024 x 1024, tiny SAM 2.1", tiny.make_tiny_sam2, "sam2.1-hiera-tiny"),
        ]
        clicks: list[Row] = []
        for label, make, name in found:
            model = segment_anything.load(name, make(Path(folder, name)))
            clicks.append((label, 1000 * seconds(clicked(model, "known")), "ms", "60 ms"))
            small = label.replace("mask, 1024 x 1024", "masks and depths, 640 x 426")
            clicks.append((small, 1000 * seconds(whole(model)), "ms", "60 ms"))
    embedding = bare.encode(pixels)
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = np.hypot(x - 500, y - 400) < 200
    relief = np.where(disc, 4.0, 9.0).astype(np.float32)
    disparity = depth.disparity(pixels, 126)
    return [
        *clicks,
        ("  its bookkeeping", 1000 * seconds(clicked(bare, "known")), "ms", "10 ms"),
        (
            "  and of three discs' masks and depths, 640 x 426",
            1000 * seconds(whole(SegmentAnything("bookkeeping", NoNetwork(discs=True))), 20),
            "ms",
            "10 ms",
        ),
        ("  with the photo's hash", 1000 * seconds(clicked(bare)), "ms", ""),
        (
            "automatic segments' bookkeeping, 1024 prompts, 1024 x 1024",
            seconds(lambda: bare.segments(embedding), 3),
            "s",
            "1.5 s",
        ),
        (
            "outline by colour, a disc of 400 pixels across",
            1000 * seconds(lambda: mask_refinement.refine_mask(pixels, disc, 4)),
            "ms",
            "",
        ),
        (
            "  and its depth",
            1000 * seconds(lambda: mask_refinement.clean_instance_depth(relief, disc, 10)),
            "ms",
            "",
        ),
        (
            "clean edges, 1024 x 1024",
            1000 * seconds(lambda: flying_pixels.remove_flying_pixels(disparity)),
            "ms",
            "",
        ),
    ]
