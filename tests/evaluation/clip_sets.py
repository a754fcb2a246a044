"""A tiny set of clips of which all is known: textured squares that slide over a textured ground."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.evaluation.pictures import texture

FRAMES, HEIGHT, WIDTH = 8, 48, 64
SIDE = 18
STEP = 2.0
"""Pixels a frame that a square goes to the right."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    name: str
    frames: Any
    ids: Any
    tracks: Any
    visible: Any
    instances: Any


@dataclass(frozen=True, kw_only=True)
class Manifest:
    dataset: str = "drawn"
    frames: int = FRAMES
    height: int = HEIGHT
    width: int = WIDTH
    fps: float = 8.0
    points: str = ""


@dataclass(frozen=True, kw_only=True)
class DrawnClips:
    names: tuple[str, ...] = ("a/0", "a/1", "b/0")
    manifest: Manifest = field(default_factory=Manifest)

    version: str = ""

    def fingerprint(self, name: str) -> str:
        return f"{name} {self.version}"

    def clip(self, name: str) -> Clip:
        seed, count = self.names.index(name), self.manifest.frames
        ground = (texture(HEIGHT, WIDTH, seed) * 120).byte().movedim(0, -1).numpy()
        square = (texture(SIDE, SIDE, seed + 50) * 120 + 130).byte().movedim(0, -1).numpy()
        top, left = 14 + seed, 6 + seed
        frames = np.repeat(ground[None], count, 0)
        ids = np.zeros((count, HEIGHT, WIDTH), np.uint8)
        points = np.array([[5.0, 5.0], [9.0, 5.0], [5.0, 12.0], [12.0, 12.0], [13.0, 6.0], [9, 9]])
        tracks = np.empty((count, len(points) + 1, 2), np.float32)
        for frame in range(count):
            x = left + round(STEP * frame)
            frames[frame, top : top + SIDE, x : x + SIDE] = square
            ids[frame, top : top + SIDE, x : x + SIDE] = 1
            tracks[frame, :-1] = points + np.array([x, top])
            tracks[frame, -1] = [56.5, 6.5]
        return Clip(
            name=name,
            frames=frames,
            ids=ids,
            tracks=tracks,
            visible=np.ones(tracks.shape[:2], bool),
            instances=np.array([1] * len(points) + [0]),
        )


def conductor(root: Path) -> Path:
    """Image Conductor's folders with one thing's and one camera's trajectories."""
    drawn = {
        ("object", "car"): [[[104, 120], [191, 124]]],
        ("camera", "hill"): [[[92, 78], [42, 53]], [[292, 178], [342, 203]]],
    }
    for (kind, name), tracks in drawn.items():
        (root / "images" / kind).mkdir(parents=True)
        (root / "trajs" / kind).mkdir(parents=True)
        picture = (texture(64, 96, 3) * 255).byte().movedim(0, -1).numpy()
        Image.fromarray(picture).save(root / "images" / kind / f"{name}.jpg")
        (root / "trajs" / kind / f"{name}.json").write_text(json.dumps(tracks))
    return root
