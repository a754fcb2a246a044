"""The real recipe's every part in a small size: SA-V, preparing, SVD-XT's layers, the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.control_sources import ShotControl
from backend.datasets.recognise import open_dataset
from backend.engines.levitor.engine import LevitorEngine
from backend.engines.levitor.signal import encode
from backend.engines.levitor.spec import SPEC
from backend.engines.svd.load import read_config
from backend.resources import Resources
from backend.training.base import Batch, example_generator
from backend.training.examples import ControlOptions
from backend.training.prepared_examples import PreparedExamples
from backend.training.shards import read_manifest
from backend.training.svd_model import SVDControlModel, SvdTrainOptions
from backend.training.tiny_paper import tiny_paper_parts
from tests.training.test_examples import a_shot

SIZE = (64, 96)


def made(folder):
    return tiny_paper_parts(folder, videos=2, frames=3, size=SIZE)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return made(tmp_path_factory.mktemp("tiny"))


def test_the_tiny_sa_v_is_read_as_the_real_one_is(parts):
    dataset = open_dataset(parts.dataset)
    assert dataset.format == "SA-V (training)"
    assert (list(dataset.videos), dataset.problems) == (["sav_000001", "sav_000002"], [])
    clip = dataset.read("sav_000001")
    assert clip.frames.shape == (3, 80, 96, 3)
    assert clip.names[0] == "manual 0"
    assert clip.names[1].startswith("auto")
    assert set(np.unique(clip.ids)) >= {0, 1, 2}
    assert (clip.frames[0] != clip.frames[2]).any()


def test_the_same_folder_again_is_left_as_it_is(parts):
    root = parts.prepared.parent
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.tar")}
    before |= {path: path.stat().st_mtime_ns for path in root.rglob("*.safetensors")}
    again = made(root)
    assert (again.prepared, again.dataset) == (parts.prepared, parts.dataset)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    manifest = read_manifest(parts.prepared)
    assert sum(shard.clips for shard in manifest.shards.values()) == 2


def test_the_networks_are_xts_layer_by_layer(parts):
    config = read_config(parts.resources.weights("svd-xt") / "unet")
    assert len(config["down_block_types"]) == len(config["up_block_types"]) == 4
    assert config["layers_per_block"] == 2
    assert config["cross_attention_dim"] == 1024


def test_what_it_trains_moves_a_shot_in_the_engine(parts, tmp_path):
    examples = PreparedExamples(parts.prepared, ControlOptions(), SIZE)
    options = SvdTrainOptions(embedding_channels=parts.embedding_channels, latents=parts.latents)
    model = SVDControlModel(parts.resources, options)
    optimiser = torch.optim.AdamW(model.networks()["controlnet"].parameters(), lr=1e-2)
    for number in range(2):
        optimiser.zero_grad()
        loss = model.loss(Batch.of([examples[number]]), [example_generator(0, number)])
        loss.mean.backward()
        optimiser.step()
    model.save(tmp_path, model.networks())
    places = {"svd-xt": parts.resources.weights("svd-xt"), "levitor": tmp_path}
    engine = LevitorEngine(Resources(weights=places.__getitem__))
    told = SPEC.completed({"width": 64, "height": 64, "steps": 1, "guidance_max": 1.0})
    signal = encode(ShotControl(a_shot()), told)
    still = replace(signal, maps=torch.zeros_like(signal.maps))
    frames, others = (
        engine.sample(a_shot().lift.image, one, told, 0, lambda *step, **more: None)
        for one in (signal, still)
    )
    assert not torch.equal(frames, others)
