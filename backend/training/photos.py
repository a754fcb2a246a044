"""Photos that come with installed libraries: to learn from, and others to be measured on.

They are scikit-image's and scikit-learn's examples, so nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from protocol.errors import ShotError

TO_LEARN_FROM = (
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/motorcycle_left.png",
    "skimage/data/retina.jpg",
    "sklearn/datasets/images/china.jpg",
)
HELD_OUT = (
    "skimage/data/astronaut.png",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/flower.jpg",
)
LONGEST_SIDE = 384
"""Pixels: scenes are cut out of them, and smaller photos are cut faster."""


def load_photos(names: Sequence[str]) -> tuple[Tensor, ...]:
    """``(3, H, W)`` float32 in [0, 1] each.

    Args:
        names: paths that start with the name of an installed package.

    Raises:
        ShotError: a file is missing.
    """
    return tuple(_photo(name) for name in names)


def _photo(name: str) -> Tensor:
    package, _, rest = name.partition("/")
    found = find_spec(package)
    place = Path(found.origin).parent / rest if found and found.origin else None
    if place is None or not place.is_file():
        raise ShotError(
            "photo", f"The photo {name} is not installed.", "Install the project's requirements."
        )
    with Image.open(place) as opened:
        photo = opened.convert("RGB")
        photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return torch.from_numpy(np.asarray(photo).copy()).movedim(-1, 0).float() / 255
