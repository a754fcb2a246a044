"""Point trackers: where the points of a video's first frame go.

Pixels are the project's: the centre of the first one is (0.5, 0.5). OpenCV and CoTracker put it at
(0, 0); each tracker converts.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backend.evaluation.tables import PROXY as PROXY
from backend.evaluation.weights_file import checksum, existing, state_dict, torchscript
from protocol.errors import ShotError

COTRACKER = "a checkpoint of CoTracker (facebookresearch/co-tracker, CC-BY-NC)"
COTRACKER_MODELS = ("cotracker2", "cotracker3_offline")
"""Entries of the checkout's hubconf.py that look at a whole video at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedPoints:
    """What a tracker found.

    Attributes:
        xy: ``(F, N, 2)`` float32 pixels; where a point is lost, its last position.
        visible: ``(F, N)`` bool, whether the tracker sees the point.
    """

    xy: Tensor
    visible: Tensor


class Tracker(Protocol):
    """A way to follow points.

    Attributes:
        name: for reports; of a proxy it says so.
        source: which weights, with their checksum; empty for none.
        comparable: whether papers' numbers come from it.
    """

    name: str
    source: str
    comparable: bool

    def __call__(self, frames: Tensor, points: Tensor) -> TrackedPoints:
        """Follow points.

        Args:
            frames: ``(F, 3, H, W)`` in [0, 1].
            points: ``(N, 2)`` pixels in the first frame.
        """
        ...


class LucasKanade:
    """OpenCV's pyramidal Lucas-Kanade from frame to frame, checked by tracking back.

    Source: Bouguet 2001, "Pyramidal implementation of the affine Lucas Kanade feature tracker";
    Kalal et al. 2010, "Forward-backward error".

    Args:
        window: side of what is compared, pixels.
        levels: of the pyramid above the picture itself.
        tolerance: pixels that a point may be off after going back, before it is lost.
    """

    def __init__(self, window: int = 21, levels: int = 4, tolerance: float = 1.0) -> None:
        self.name, self.source, self.comparable = f"Lucas-Kanade ({PROXY})", "", False
        self._options: dict[str, Any] = {
            "winSize": (window, window),
            "maxLevel": levels,
            "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 0.001),
        }
        self._tolerance = tolerance

    def __call__(self, frames: Tensor, points: Tensor) -> TrackedPoints:
        """As the protocol says; a point that is lost stays so."""
        _check(frames, points)
        pictures = [bytes_of(frame) for frame in frames]
        at = points.detach().cpu().numpy().astype(np.float32)
        alive = np.ones(len(at), bool)
        xy, visible = [at], [alive]
        for before, after in itertools.pairwise(pictures):
            at, ok = self.step(before, after, at)
            alive = alive & ok
            at = np.where(alive[:, None], at, xy[-1])
            xy.append(at)
            visible.append(alive)
        return TrackedPoints(
            xy=torch.from_numpy(np.stack(xy)), visible=torch.from_numpy(np.stack(visible))
        )

    def step(
        self,
        before: npt.NDArray[np.uint8],
        after: npt.NDArray[np.uint8],
        points: npt.NDArray[np.float32],
        guess: npt.NDArray[np.float32] | None = None,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """From one picture to another.

        Args:
            before: uint8 ``(H, W, 3)``.
            after: likewise.
            points: ``(N, 2)`` pixels in ``before``.
            guess: ``(N, 2)``, where they may be in ``after``.

        Returns:
            ``(N, 2)`` and ``(N,)``, whether each was found.
        """
        if len(points) == 0:
            return points, np.zeros(0, bool)
        begin = (points - 0.5).astype(np.float32)[:, None]
        start, flags = None, 0
        if guess is not None:
            start, flags = (guess - 0.5).astype(np.float32)[:, None].copy(), 4  # use it
        track: Any = cv2.calcOpticalFlowPyrLK  # its stubs know no None
        found, ok, _ = track(before, after, begin, start, flags=flags, **self._options)
        back, ok_back, _ = track(after, before, found, begin.copy(), flags=4, **self._options)
        height, width = after.shape[:2]
        off = np.linalg.norm((back - begin)[:, 0], axis=-1)
        found = found[:, 0] + 0.5
        inside = ((found >= 0) & (found < [width, height])).all(-1)
        good = (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & (off <= self._tolerance) & inside
        return found.astype(np.float32), good


class CoTracker:
    """CoTracker by the user's checkout, or as one TorchScript file.

    Source: Karaev et al. 2024, "CoTracker: it is better to track together", and "CoTracker3".

    Args:
        checkpoint: its weights, or a TorchScript of ``(video, queries) -> (tracks, visible)``.
        checkout: folder of co-tracker's repository with its hubconf.py; None for a TorchScript.
        model: entry of hubconf.py.
        device: of the network.

    Raises:
        ShotError: a file or folder is missing, or is another one.
    """

    def __init__(
        self,
        checkpoint: Path | None,
        checkout: Path | None = None,
        model: str = "cotracker2",
        device: str = "cpu",
    ) -> None:
        checkpoint = existing(checkpoint, "CoTracker", COTRACKER, "--cotracker")
        self.comparable, self._device = True, device
        self.source = f"{checkpoint.name}, sha256 {checksum(checkpoint)}"
        if checkout is None:
            self.name = "CoTracker (TorchScript)"
            self._network: Any = torchscript(checkpoint, device)
            return
        self.name = f"CoTracker ({model})"
        if model not in COTRACKER_MODELS or not (checkout / "hubconf.py").is_file():
            raise ShotError(
                "evaluation_weights",
                f"{checkout} is no checkout of co-tracker with a model '{model:.40}'.",
                f"Name the folder that holds hubconf.py; models are {', '.join(COTRACKER_MODELS)}.",
            )
        # From a folder, without weights: nothing is downloaded
        predictor: Any = torch.hub.load(str(checkout), model, source="local", pretrained=False)
        weights = state_dict(checkpoint)
        weights = {key.removeprefix("model."): part for key, part in weights.items()}
        try:
            predictor.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ShotError(
                "evaluation_weights",
                f"{checkpoint} does not fit {model}: {str(error).splitlines()[0][:120]}",
                "Name the checkpoint of that model.",
            ) from error
        self._network = predictor.to(device).eval()

    @torch.no_grad()
    def __call__(self, frames: Tensor, points: Tensor) -> TrackedPoints:
        """As the protocol says."""
        _check(frames, points)
        if len(points) == 0:
            empty = torch.zeros(len(frames), 0, 2)
            return TrackedPoints(xy=empty, visible=torch.zeros(len(frames), 0, dtype=torch.bool))
        video = (frames.clamp(0, 1) * 255).to(self._device, torch.float32)[None]
        begin = points.to(self._device, torch.float32) - 0.5
        queries = torch.cat([torch.zeros_like(begin[:, :1]), begin], 1)[None]
        tracks, visible = self._network(video, queries)
        seen = visible[0] if visible.dtype == torch.bool else visible[0] > 0.5
        return TrackedPoints(xy=tracks[0].float().cpu() + 0.5, visible=seen.cpu())


def bytes_of(frame: Tensor) -> npt.NDArray[np.uint8]:
    """``(3, H, W)`` in [0, 1] as OpenCV takes it, uint8 ``(H, W, 3)``."""
    pixels = (frame.detach().clamp(0, 1) * 255).round().byte()
    return np.ascontiguousarray(pixels.movedim(0, -1).cpu().numpy())


def _check(frames: Tensor, points: Tensor) -> None:
    if frames.ndim != 4 or frames.shape[1] != 3 or points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"frames must be (F, 3, H, W), points (N, 2), got {tuple(frames.shape)} and "
            f"{tuple(points.shape)}"
        )
