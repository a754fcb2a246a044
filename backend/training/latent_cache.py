"""Latents of clips on disk: the codec's encoder is half of a step that need not be made again.

What is kept is what latents are drawn from, so that every epoch draws others. The numbers are
rounded to half precision before they are used for the first time too: a run that goes on finds
what it had.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from backend.files.atomic import write_atomically

log = logging.getLogger(__name__)

Posterior = tuple[Tensor, Tensor]
"""Mean and standard deviation, ``(F, 4, h, w)`` float32 each."""


class LatentCache:
    """A folder of posteriors, by what the frames show: a clip that changes is another clip.

    Any number of processes may share it.

    Args:
        folder: made where it is not there.
        codec: fingerprint of the codec's weights; those of another are kept apart.
    """

    def __init__(self, folder: Path, codec: str) -> None:
        self._folder = folder / codec[:16]
        self._told = self._failed = False

    def posterior(self, frames: Tensor, encode: Callable[[], Posterior]) -> Posterior:
        """That of a clip, encoded where it is not there or cannot be read.

        Args:
            frames: ``(F, 3, H, W)`` float32 in [0, 1].
            encode: the encoder.

        Returns:
            Both on the device of ``frames``, also where the folder cannot be written.
        """
        path = self._path(frames)
        found = _read(path)
        if found is None:
            found = tuple(part.half().cpu().contiguous() for part in encode())
            self._keep(path, save({"mean": found[0], "deviation": found[1]}))
        mean, deviation = (part.to(frames.device).float() for part in found)
        return mean, deviation

    def _keep(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data)
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning(
                    "Latents cannot be kept in %s (%s); these clips are encoded in every epoch.",
                    self._folder,
                    error.strerror or error,
                )
            return
        if not self._told:
            self._told = True
            log.info("latents are kept in %s, %.2f MB a clip", self._folder, len(data) / 1e6)

    def size(self) -> tuple[int, int]:
        """Clips that are there, and their bytes."""
        files = [path.stat().st_size for path in self._folder.rglob("*.safetensors")]
        return len(files), sum(files)

    def _path(self, frames: Tensor) -> Path:
        pixels = (frames * 255).round().to("cpu", torch.uint8).contiguous().numpy()
        name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:32]
        return self._folder / name[:2] / f"{name}.safetensors"


def _read(path: Path) -> tuple[Tensor, ...] | None:
    try:
        tensors = load(path.read_bytes())
        return tensors["mean"], tensors["deviation"]
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError) as error:
        log.warning("%s cannot be read (%s); the clip is encoded again", path, error)
        return None
