"""What ``levitor train paper --tiny`` runs on: everything of the real recipe, tiny or narrow.

A tiny SA-V in its real layout, prepared with a tiny depth network; Stable Video Diffusion with
XT's layers at a twentieth of their width (32 channels at least: its norms have 32 groups), VAE and
CLIP included, in the real layout. All of it is random: what is learned is of no use.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.datasets.tiny_sa_v import make_tiny_sa_v
from backend.engines.svd.tiny_weights import BASE_FOLDER, make_tiny_base
from backend.perception.tiny import make_tiny_depth_anything
from backend.resources import Resources, no_weights
from backend.training.prepare import PrepareOptions, prepare

XT_LAYERS: dict[str, Any] = {
    "down_block_types": (
        "CrossAttnDownBlockSpatioTemporal",
        "CrossAttnDownBlockSpatioTemporal",
        "CrossAttnDownBlockSpatioTemporal",
        "DownBlockSpatioTemporal",
    ),
    "up_block_types": (
        "UpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
    ),
    "block_out_channels": (32, 32, 64, 64),
    "num_attention_heads": (1, 1, 2, 2),
    "layers_per_block": 2,
}
EMBEDDING_CHANNELS = (16, 16, 16, 32)
"""Of the convolutions that read the control: they see every pixel."""
DEPTH = "depth-anything-v2-small"
DEPTH_SIDE = 140
"""Pixels the tiny depth network looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyPaper:
    """Where it lies.

    Attributes:
        resources: those given, with the tiny SVD-XT and depth network as weights.
        dataset: the tiny SA-V.
        prepared: its clips.
        latents: a folder for what the codec's encoder gives.
        embedding_channels: for ``SvdTrainOptions``.
    """

    resources: Resources
    dataset: Path
    prepared: Path
    latents: Path
    embedding_channels: tuple[int, ...] = EMBEDDING_CHANNELS


def tiny_paper_parts(
    folder: Path,
    resources: Resources | None = None,
    *,
    videos: int = 2,
    frames: int = 16,
    size: tuple[int, int] = (288, 512),
    seed: int = 0,
) -> TinyPaper:
    """Write what is not there yet; the same folder again gives the same parts.

    Args:
        folder: gets ``weights/``, ``sa-v/``, ``prepared/`` and, by the run, ``latents/``.
        resources: the device; their weights are replaced.
        videos: of the tiny SA-V, a clip each.
        frames: of a clip.
        size: (height, width) of a clip; the videos are a little larger, so that they are cut.
        seed: of weights and scenes.
    """
    weights, dataset, prepared = (folder / name for name in ("weights", "sa-v", "prepared"))
    film = (size[0] // 2 * 2 + 16, size[1] // 2 * 2)
    _once(weights / BASE_FOLDER, lambda place: make_tiny_base(place, seed, **XT_LAYERS))
    _once(weights / DEPTH, lambda place: make_tiny_depth_anything(place, seed))
    _once(
        dataset,
        lambda place: make_tiny_sa_v(place, videos, frames, film, seed),
    )
    found = replace(
        resources or Resources(), weights=functools.partial(_weights, weights), cache=None
    )
    options = PrepareOptions(
        length=frames,
        step=frames,
        height=size[0],
        width=size[1],
        depth_model=DEPTH,
        depth_size=DEPTH_SIDE,
        maps=True,
        frames=True,
    )
    prepare(dataset, prepared, options, found)
    return TinyPaper(
        resources=found, dataset=dataset, prepared=prepared, latents=folder / "latents"
    )


def _weights(folder: Path, name: str) -> Path:
    known = {"svd-xt": BASE_FOLDER, DEPTH: DEPTH}
    return folder / known[name] if name in known else no_weights(name)


def _once(place: Path, make: Callable[[Path], Any]) -> None:
    """Made whole or not at all."""
    if place.exists():
        return
    half = place.with_name(f"{place.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    half.parent.mkdir(parents=True, exist_ok=True)
    make(half)
    half.rename(place)
