"""Real photos in every shape, as an artist's files would hold them."""

import io
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

PHOTOS = Path(sklearn.datasets.__file__).parent / "images"


def _png(array, mode=None):
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, "PNG")
    return buffer.getvalue()


def flower():
    return (PHOTOS / "flower.jpg").read_bytes()


def files():
    """Name -> bytes of an image file."""
    china = np.asarray(Image.open(PHOTOS / "china.jpg"))
    coins = skimage.data.coins()
    return {
        "landscape": (PHOTOS / "china.jpg").read_bytes(),
        "portrait": _png(np.ascontiguousarray(np.rot90(china))),
        "square": _png(skimage.data.astronaut()),
        "odd": _png(np.ascontiguousarray(china[:301, :403])),
        "grayscale": _png(coins),
        "alpha": _png(skimage.data.logo()),
        "16-bit": _png(coins.astype(np.uint16) * 257),
    }
