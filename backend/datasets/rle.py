"""COCO's compressed run lengths <-> masks.

Written here because pycocotools leaves the pixels that too short a string does not reach as they
were in memory: a damaged file would give random masks without a word.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_FIRST = 48  # '0', from which the characters count
_MORE = 0x20
_SIGN = 0x10


def decode(size: tuple[int, int], counts: str | bytes) -> npt.NDArray[np.bool_]:
    """A mask ``(H, W)`` of its run lengths.

    Runs go down the columns, the first one is of zeros. A number is five bits a character, lowest
    first, with a bit for "more follow"; from the fourth on it is the difference to the number two
    before it. (The COCO API, maskApi.c: rleToString.)

    Args:
        size: (height, width).
        counts: the compressed string.

    Raises:
        ValueError: the string is cut short, or its runs do not fill the mask exactly.
    """
    height, width = size
    text = counts.encode() if isinstance(counts, str) else counts
    runs = _numbers(np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST)
    # Differences to two before: sums along every second number
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if (runs < 0).any():
        raise ValueError("a run length is negative")
    if (total := int(runs.sum())) != height * width:
        raise ValueError(f"the run lengths fill {total} of {width} x {height} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def encode(mask: npt.NDArray[np.bool_]) -> str:
    """The run lengths of a mask ``(H, W)``, as :func:`decode` reads them."""
    flat = np.asarray(mask, bool).T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    # The first run is of zeros, and has no pixel where the mask begins with a one
    edges = np.concatenate([[0, 0] if flat[0] else [0], edges, [flat.size]])
    runs = np.diff(edges)
    runs[3:] -= runs[1:-2].copy()
    return "".join(map(_text, runs.tolist()))


def _text(value: int) -> str:
    """Five bits a character, lowest first, until only the sign is left."""
    text = ""
    while True:
        low, value = value & 0x1F, value >> 5
        more = value != (-1 if low & _SIGN else 0)
        text += chr(_FIRST + (low | _MORE if more else low))
        if not more:
            return text


def _numbers(chars: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if ((chars < 0) | (chars > 63)).any():
        raise ValueError("the run lengths hold a character that is none of theirs")
    if len(chars) == 0 or chars[-1] & _MORE:
        raise ValueError("the run lengths are cut short")
    ends = np.flatnonzero((chars & _MORE) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(chars)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 10:
        raise ValueError("a run length is longer than any picture")
    values = np.add.reduceat((chars & 0x1F) << (5 * place), starts)
    negative = (chars[ends] & _SIGN) != 0
    return values - np.where(negative, np.int64(1) << (5 * (place[ends] + 1)), 0)
