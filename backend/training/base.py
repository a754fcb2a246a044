"""What the training loop asks of a model and of its data.

The loop (``trainer``) knows batches, optimisers and checkpoints; it knows no network. A model knows
its networks and its loss; it knows no files of a run. Examples come out of the same ``Control`` and
the same ``encode`` as a shot's signal (``examples``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from backend.seeds import seeded_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One clip as a network learns from it.

    Attributes:
        number: of the example in the run's order; it decides all randomness that concerns it.
        frames: ``(F, 3, H, W)`` float32 in [0, 1], sRGB.
        maps: ``(F, C, H, W)`` float32, the engine's control signal, raw values.
    """

    number: int
    frames: Tensor
    maps: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Examples side by side.

    Attributes:
        numbers: of the examples.
        frames: ``(B, F, 3, H, W)`` float32 in [0, 1], sRGB.
        maps: ``(B, F, C, H, W)`` float32.
    """

    numbers: tuple[int, ...]
    frames: Tensor
    maps: Tensor

    @staticmethod
    def of(examples: Sequence[Example]) -> Batch:
        """Stack examples of one size."""
        return Batch(
            numbers=tuple(one.number for one in examples),
            frames=torch.stack([one.frames for one in examples]),
            maps=torch.stack([one.maps for one in examples]),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""
        return Batch(
            numbers=self.numbers,
            frames=self.frames.to(device, non_blocking=True),
            maps=self.maps.to(device, non_blocking=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLoss:
    """The loss of a batch.

    Attributes:
        mean: scalar with gradients: the mean of ``each``.
        each: ``(B,)`` loss of every example, without gradients.
        sigmas: ``(B,)`` noise level of every example, for curves by noise level.
    """

    mean: Tensor
    each: Tensor
    sigmas: Tensor


class Examples(Protocol):
    """Examples by number; may be read in worker processes, so it must pickle."""

    def __getitem__(self, number: int) -> Example:
        """The same number gives the same example, whoever asks and when.

        Raises:
            ShotError: its files are missing or broken; the loop leaves it out and counts it.
        """
        ...


class TrainableModel(Protocol):
    """Networks with a loss."""

    def networks(self) -> Mapping[str, nn.Module]:
        """What is trained, by the name of its folder in a checkpoint.

        Parameters with ``requires_grad`` false in them stay as they are.
        """
        ...

    def loss(self, batch: Batch, generators: Sequence[Generator]) -> StepLoss:
        """The loss of a batch.

        Args:
            batch: on the networks' device.
            generators: one an example, on the CPU, seeded by the run and the example's number; all
                randomness comes from them, so the loss of an example is the same in any batch and
                any process.
        """
        ...

    def save(self, folder: Path, networks: Mapping[str, nn.Module]) -> None:
        """Write networks as the engine loads them: safetensors and JSON only.

        In the weights' own precision, since a run goes on from these files.

        ``networks`` are those of :meth:`networks`, or running averages of their weights.
        """
        ...

    def load(self, folder: Path) -> None:
        """Read back what :meth:`save` wrote into the networks, in place.

        Raises:
            ShotError: files are missing, or keys or shapes differ.
        """
        ...


@runtime_checkable
class Sampler(Protocol):
    """A model that can show what it has learned; a run then makes a video of it now and then."""

    def sample(self, batch: Batch, generators: Sequence[Generator], steps: int) -> Tensor:
        """Make the clips of a batch anew.

        Args:
            batch: on the networks' device; first frames and maps are looked at.
            generators: one an example, on the CPU.
            steps: of the sampler.

        Returns:
            ``(B, F, 3, H, W)`` in [0, 1].
        """
        ...


def example_generator(seed: int, number: int) -> Generator:
    """The randomness of one example: the same for the same run and number, in any process."""
    return seeded_generator(seed, number)
