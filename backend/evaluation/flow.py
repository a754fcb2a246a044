"""Optical flow between two frames, for EPE and Motion-Diff."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Protocol

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.evaluation.trackers import PROXY, bytes_of
from backend.evaluation.weights_file import checksum, existing, optional_module, state_dict
from protocol.errors import ShotError

RAFT_WEIGHTS = "raft_large_C_T_SKHT_V2-ff5fadd5.pth (of torchvision)"


class Flow(Protocol):
    """A way to measure flow; attributes as of ``trackers.Tracker``."""

    name: str
    source: str
    comparable: bool

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """``(2, H, W)``, by how many pixels (x, y) each pixel of ``before`` moves to ``after``.

        Args:
            before: ``(3, H, W)`` in [0, 1].
            after: likewise.
        """
        ...


class DIS:
    """OpenCV's dense inverse search.

    Source: Kroeger et al. 2016, "Fast optical flow using dense inverse search".
    """

    def __init__(self) -> None:
        self.name, self.source, self.comparable = f"DIS ({PROXY})", "", False
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """As the protocol says."""
        grey = [cv2.cvtColor(bytes_of(frame), cv2.COLOR_RGB2GRAY) for frame in (before, after)]
        found = self._flow.calc(grey[0], grey[1], None)
        return torch.from_numpy(found).movedim(-1, 0).contiguous()


class RAFT:
    """RAFT (large) of torchvision, which is no dependency of this project.

    Source: Teed and Deng 2020, "RAFT: recurrent all-pairs field transforms for optical flow".

    Args:
        path: its state dictionary.
        device: of the network.

    Raises:
        ShotError: torchvision or the file is missing, or the file is another one.
    """

    def __init__(self, path: Path | None, device: str = "cpu") -> None:
        path = existing(path, "RAFT", RAFT_WEIGHTS, "--raft")
        models = optional_module("torchvision.models.optical_flow", "RAFT")
        self.name, self.source, self.comparable = "RAFT", "", True
        self.source = f"{path.name}, sha256 {checksum(path)}"
        network = models.raft_large(weights=None)
        try:
            network.load_state_dict(state_dict(path))
        except RuntimeError as error:
            raise ShotError(
                "evaluation_weights", f"{path} is not RAFT (large).", f"Name {RAFT_WEIGHTS}."
            ) from error
        self._network, self._device = network.to(device).eval(), device

    @torch.no_grad()
    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """As the protocol says; frames are padded to what the network takes."""
        height, width = before.shape[1:]
        rest = (0, -width % 8, 0, -height % 8)
        pair = [
            F.pad(frame[None].to(self._device) * 2 - 1, rest, mode="replicate")
            for frame in (before, after)
        ]
        return self._network(*pair)[-1][0, :, :height, :width].cpu()


def video_flow(flow: Flow, frames: Tensor) -> Tensor:
    """``(F - 1, 2, H, W)`` from every frame to the next."""
    pairs = itertools.pairwise(frames)
    found = [flow(before, after) for before, after in pairs]
    return torch.stack(found) if found else frames.new_zeros(0, 2, *frames.shape[-2:])
