"""Photos that scenes are cut out of: a folder's, or those that come with installed libraries.

Some of the latter are learned from, others measured on. They are scikit-image's and scikit-learn's
examples, so nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from backend.pixels import image_from_pixels
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
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
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


def photos_in(folder: Path) -> tuple[Tensor, ...]:
    """A folder's photos, as of :func:`load_photos`.

    Raises:
        ShotError: there is none, or one is damaged.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise ShotError(
            "data", f"{folder} has no photos.", f"Name a folder of {', '.join(ENDINGS)} files."
        )
    return tuple(_read(path) for path in files)


def _photo(name: str) -> Tensor:
    package, _, rest = name.partition("/")
    found = find_spec(package)
    place = Path(found.origin).parent / rest if found and found.origin else None
    if place is None or not place.is_file():
        raise ShotError(
            "photo", f"The photo {name} is not installed.", "Install the project's requirements."
        )
    return _read(place)


def _read(path: Path) -> Tensor:
    try:
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise ShotError(
            "photo",
            f"The photo {path} cannot be read ({error!s:.200}).",
            "Take it out of the folder.",
        ) from error
    photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return image_from_pixels(np.asarray(photo).copy())
