"""Training: how fast clips are prepared and read, and what a step takes beside a naive one.

The step is ``SVDControlModel``'s own on a random model with SVD-XT's layers at a fifth of its
width, 8 frames of 256 x 144, latents kept on disk, without the optimiser. Naively, the UNet
records gradients on its way down too, for weights that nobody told to stay as they are, and its
blocks are diffusers' own. One thread.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets
import torch
from torch import Tensor

from backend.datasets.base import LabelledClip
from backend.engines.svd.tiny_weights import make_tiny_base
from backend.images.photo import decode_photo
from backend.resources import Resources
from backend.training.base import Batch, Example, StepLoss, example_generator
from backend.training.examples import ControlOptions
from backend.training.prepare import PrepareOptions, prepared_sample
from backend.training.prepared_examples import PreparedExamples
from backend.training.shards import Manifest, Shard, write_shard
from backend.training.svd_model import CONTROLNET, SVDControlModel, SvdTrainOptions
from backend.training.tiny_paper import XT_LAYERS
from tests.benchmarks.denoising import WIDTHS, seconds

CLIPS, OBJECTS = 12, 6
EMBEDDING = (4, 8, 20, 52)
"""A fifth too: these convolutions see every pixel, and are 1 % of a step's work at full width."""
FRAMES, HEIGHT, WIDTH = 8, 144, 256
ROUNDS = 3
Row = tuple[str, float, str, str]


def rows(rounds: int = ROUNDS) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return [*clip_rows(Path(folder)), *step_rows(Path(folder), rounds)]
        finally:
            torch.set_num_threads(threads)


def clip_rows(folder: Path) -> list[Row]:
    """Processor time."""
    options = PrepareOptions(frames=True)
    clips = [_clip(number, options) for number in range(CLIPS)]
    samples: list[tuple[str, dict[str, Any]]] = []

    def make() -> None:
        for number, clip in enumerate(clips):
            sample = prepared_sample(clip, options, None)
            sample["json"] |= {"video": str(number), "start": 0}
            samples.append((f"{number:04}", sample))

    made = seconds(make) / CLIPS
    digest = write_shard(folder / "000000.tar", samples)
    Manifest(
        source=str(folder),
        format="",
        options=asdict(options),
        depth_model="",
        clips_per_shard=CLIPS,
        total=CLIPS,
        shards={"000000.tar": Shard(name="000000.tar", clips=CLIPS, sha256=digest)},
    ).write(folder)
    examples = PreparedExamples(folder, ControlOptions())

    def read() -> None:
        for number in range(CLIPS):
            examples[number]

    read()
    taken = min(seconds(read) for _ in range(3)) / CLIPS
    return [
        ("clips prepared, 16 x 288 x 512, 6 objects, depth known, a core", 1 / made, "/s", ""),
        ("clips read from their shards, frames copied (wanted: 40), a core", 1 / taken, "/s", ""),
    ]


def _clip(number: int, options: PrepareOptions) -> LabelledClip:
    """A photo that passes by, with discs that go their ways."""
    path = Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg"
    photo = decode_photo(path.read_bytes(), 1280).pixels
    height, width, length = options.height, options.width, options.length
    rows_, columns = np.mgrid[:height, :width]
    frames, ids = [], np.zeros((length, height, width), np.int32)
    for frame in range(length):
        left = 2 * frame + number
        frames.append(photo[number : number + height, left : left + width])
        for item in range(OBJECTS):
            row, column = 40 + 35 * item, 60 + 60 * item + 5 * frame
            ids[frame][(rows_ - row) ** 2 + (columns - column % width) ** 2 < 38**2] = item + 1
    return LabelledClip(
        frames=np.stack(frames),
        ids=ids,
        names=tuple(map(str, range(OBJECTS))),
        depth=np.full(ids.shape, 5.0, np.float32) - 0.2 * ids.astype(np.float32),
        near=2.0,
        far=20.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to make a step.

    Attributes:
        forward: up to the loss.
        weights: addresses of all weights.
    """

    forward: Callable[[], StepLoss]
    weights: frozenset[int]

    def step(self) -> float:
        """A whole step's loss."""
        loss = self.forward()
        loss.mean.backward()
        return float(loss.each)

    def kept_bytes(self) -> int:
        """What autograd keeps at the loss for the way back, weights left out.

        Counted, not measured: every storage that is saved, once.
        """
        found: dict[int, Any] = {}

        def keep(tensor: Tensor) -> None:  # not the tensor: what holds itself is freed late
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.weights:
                found[storage.data_ptr()] = storage  # held, so that its address stays taken

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda nothing: nothing):
            self.forward()
        return sum(storage.nbytes() for storage in found.values())


def step_rows(folder: Path, rounds: int) -> list[Row]:
    """The ways take turns, so that a busy machine is busy for all."""
    make_tiny_base(folder / "base", 0, **{**XT_LAYERS, **WIDTHS})
    resources = Resources(weights=lambda name: folder / "base")
    generator = torch.Generator().manual_seed(0)
    example = Example(
        number=0,
        frames=torch.rand(FRAMES, 3, HEIGHT, WIDTH, generator=generator),
        maps=255 * torch.rand(FRAMES, 3, HEIGHT, WIDTH, generator=generator),
    )
    batch = Batch.of([example])

    def way(trained: bool, **options: Any) -> Way:
        told = SvdTrainOptions(latents=folder / "latents", embedding_channels=EMBEDDING, **options)
        model = SVDControlModel(resources, told)
        unet, controlnet = model.frozen["unet"], model.networks()[CONTROLNET]
        unet.requires_grad_(trained)
        if not told.frozen_encoder:
            unet.batch.one_token = False

        def forward() -> StepLoss:
            unet.zero_grad()
            controlnet.zero_grad()
            return model.loss(batch, [example_generator(0, 0)])

        weights = {
            value.untyped_storage().data_ptr()
            for network in (*model.frozen.values(), controlnet)
            for value in network.parameters()
        }
        return Way(forward=forward, weights=frozenset(weights))

    ways = {
        "ours": way(trained=False),
        "recording": way(trained=False, frozen_encoder=False),
        "naive": way(trained=True, frozen_encoder=False),
        "checkpointed": way(trained=False, checkpointing=True),
    }
    answers = {name: one.step() for name, one in ways.items()}  # warms up, fills the cache
    apart = max(abs(value / answers["ours"] - 1) for value in answers.values())
    kept = {name: one.kept_bytes() for name, one in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, one in ways.items():
            taken[name].append(seconds(one.step))
    times = {name: statistics.median(all_) for name, all_ in taken.items()}
    ours, bytes_ = times["ours"], kept["ours"]
    return [
        ("a training step, processor time", ours, "s", ""),
        (f"the same naively (losses apart by {apart:.0e})", times["naive"], "s", ""),
        ("- ratio (wanted: at least 1.4)", times["naive"] / ours, "x", ""),
        ("- with frozen weights, ratio", times["recording"] / ours, "x", ""),
        ("- ours with checkpointing, times as long", times["checkpointed"] / ours, "x", ""),
        ("what a step keeps for its way back", bytes_ / 1e6, "MB", ""),
        ("- share of the naive step's (wanted: at most 0.7)", bytes_ / kept["naive"], "", ""),
        ("- share of it with frozen weights", bytes_ / kept["recording"], "", ""),
        ("- with checkpointing, share of ours", kept["checkpointed"] / bytes_, "", ""),
    ]


def print_rows() -> None:
    start = time.perf_counter()
    for name, value, unit, _ in rows():
        print(f"{name:<66} {value:.3g} {unit}")
    print(f"{time.perf_counter() - start:.0f} s")
