"""What looks on while a run goes: videos, TensorBoard, Weights & Biases. None changes the run."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from backend.files.atomic import write_atomically
from backend.files.video import encode_video
from protocol.errors import ShotError

log = logging.getLogger(__name__)

FPS = 6.0
"""Of sample videos: LeviTor's clips have 16 frames in 2.7 seconds."""


class Watcher(Protocol):
    """Is told of a run in its writing process."""

    def on_step(self, entry: Mapping[str, Any]) -> None:
        """A step is done; its line of ``metrics.jsonl`` (``report.line``)."""
        ...

    def on_samples(self, step: int, frames: Tensor) -> None:
        """The model has made clips: ``(B, F, 3, H, W)`` in [0, 1], see ``samples.beside``."""
        ...

    def close(self) -> None:
        """The run has ended, in whatever way."""
        ...


class Watchers:
    """Several as one, none of which can end the run: what one raises is logged, once a kind.

    Args:
        watchers: in the order in which they are told.
    """

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers
        self._said: set[tuple[str, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def on_step(self, entry: Mapping[str, Any]) -> None:
        """Tell all."""
        for one in self._watchers:
            self._tell(one, one.on_step, entry)

    def on_samples(self, step: int, frames: Tensor) -> None:
        """Show all."""
        for one in self._watchers:
            self._tell(one, one.on_samples, step, frames)

    def close(self) -> None:
        """Close all."""
        for one in self._watchers:
            self._tell(one, one.close)

    def _tell(self, watcher: Watcher, call: Callable[..., None], *values: Any) -> None:
        try:
            call(*values)
        except Exception as error:  # noqa: BLE001 - a full disk, no network, a library's own fault
            kind = type(watcher).__name__, type(error).__name__
            if kind not in self._said:
                self._said.add(kind)
                log.warning("%s: %s (%s). Training goes on; this is said once.", *kind, error)


class SampleVideos:
    """Writes ``samples/step-N.mp4``, the clips below one another.

    Args:
        out: the run's folder.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / "samples"

    def on_step(self, entry: Mapping[str, Any]) -> None:
        """Nothing to write."""

    def on_samples(self, step: int, frames: Tensor) -> None:
        """Write the video; the same step's of an earlier try is replaced."""
        wall = torch.cat(list(frames), 2)
        write_atomically(self._folder / f"step-{step}.mp4", encode_video(wall, FPS), sync=False)

    def close(self) -> None:
        """Nothing is open."""


class TensorBoard:
    """Writes curves and samples to ``tensorboard/``, for ``tensorboard --logdir OUT``.

    Args:
        out: the run's folder.

    Raises:
        ShotError: tensorboardX is not installed.
    """

    def __init__(self, out: Path) -> None:
        _require("tensorboardX", "--tensorboard", "pip install 'levitor[train]'")
        self._folder = str(out / "tensorboard")
        self._writer: Any = None

    def on_step(self, entry: Mapping[str, Any]) -> None:
        """Add a point to every curve."""
        if self._writer is None:
            from tensorboardX import SummaryWriter

            # What a killed run wrote after its checkpoint is hidden
            self._writer = SummaryWriter(self._folder, purge_step=entry["step"])
        for name, value in curves(entry).items():
            self._writer.add_scalar(name, value, entry["step"])

    def on_samples(self, step: int, frames: Tensor) -> None:
        """Add a picture: a row a clip, a column a frame."""
        rows = torch.cat([torch.cat(list(clip), 2) for clip in frames], 1)
        self._writer.add_image("samples", rows.clamp(0, 1).cpu().numpy(), step)

    def close(self) -> None:
        """Write what is left, and close the file."""
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases:
    """Sends curves and samples to Weights & Biases, a run that goes on with a resume.

    Args:
        out: the run's folder, by whose place the run is known.
        config: of the run, flat.

    Raises:
        ShotError: wandb is not installed.
    """

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        _require("wandb", "--wandb", "pip install wandb")
        import wandb  # pyright: ignore[reportMissingImports] - optional

        out.mkdir(parents=True, exist_ok=True)
        known = out / "wandb.json"
        run = json.loads(known.read_bytes())["id"] if known.exists() else None
        self._wandb: Any = wandb
        self._run: Any = wandb.init(
            project="levitor", name=out.name, dir=out, id=run, resume="allow", config=dict(config)
        )
        known.write_text(json.dumps({"id": self._run.id}))

    def on_step(self, entry: Mapping[str, Any]) -> None:
        """Send a point of every curve."""
        self._run.log(curves(entry), step=entry["step"])

    def on_samples(self, step: int, frames: Tensor) -> None:
        """Send the clips as a video."""
        wall = (torch.cat(list(frames), 2).clamp(0, 1) * 255).round().byte().cpu().numpy()
        self._run.log({"samples": self._wandb.Video(wall, fps=int(FPS))}, step=step)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


def curves(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a step by name, those by noise level as ``loss_by_noise_level/0.3-1``."""
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{one}": float(number) for one, number in value.items()}
        elif isinstance(value, int | float) and name != "step":
            found[name] = float(value)
    return found


def _require(package: str, option: str, install: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ShotError(
            "option", f"{option} needs {package}, which is not installed.", f"Run `{install}`."
        )
