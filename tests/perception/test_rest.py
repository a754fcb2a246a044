"""Networks go to their device when they are asked and leave it again.

A machine without a GPU has one place for a network. What moves where is watched at the call that
moves it; that memory comes free is for the test on a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backend.perception import depth_anything, registry, segment_anything
from backend.perception.registry import Loaded
from backend.perception.rest import at_work
from backend.resources import Resources, no_weights

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


class Watched(nn.Linear):
    """Notes where it is sent, and stays where it is."""

    def __init__(self):
        super().__init__(2, 2)
        self.sent = []

    def to(self, device):
        self.sent.append(device)
        return self


@pytest.mark.parametrize(("rests", "sent"), [(True, ["meta", "cpu"]), (False, ["meta"])])
def test_a_network_that_rests_comes_back_also_from_an_error(rests, sent):
    network = Watched()

    def work():
        with at_work(network, "meta", rests=rests):
            assert network.sent == ["meta"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert network.sent == sent


def test_on_a_cpu_nothing_moves():
    network = Watched()
    with at_work(network, "cpu", rests=True):
        pass
    assert network.sent == []


def test_parameters_are_where_the_block_wants_them():
    network = nn.Linear(2, 2)
    with at_work(network, "meta", rests=False):
        assert network.weight.is_meta
    assert network.weight.is_meta


@pytest.mark.parametrize(
    ("memory", "rests"), [("auto", True), ("low", True), ("balanced", True), ("high", False)]
)
def test_all_but_high_memory_sends_networks_to_rest(weights, memory, rests, monkeypatch):
    paths = {"depth-anything-v2-small": weights / "depth", "sam-vit-base": weights / "sam"}
    here = Resources(memory=memory, weights=lambda name: paths.get(name) or no_weights(name))
    loaded = Loaded()
    depth = registry.depth_model("auto", here, loaded).model
    segments = registry.segment_model("auto", here, loaded).model
    asked = []

    def watch(network, device, *, rests):
        asked.append((type(network).__name__, device, rests))
        return at_work(network, device, rests=rests)

    monkeypatch.setattr(depth_anything, "at_work", watch)
    monkeypatch.setattr(segment_anything, "at_work", watch)
    depth.disparity(PIXELS, 28)
    embedding = segments.encode(PIXELS)
    # A click asks the small decoder, which stays
    segments.segment(embedding, np.array([[9.0, 9.0]]), np.array([1]), None)
    assert asked == [
        ("DepthAnythingForDepthEstimation", "cpu", rests),
        ("SamVisionEncoder", "cpu", rests),
    ]


@pytest.mark.parametrize("ours", [True, False], ids=["gradients on", "a caller's inference mode"])
@pytest.mark.parametrize("rests", [True, False])
@pytest.mark.parametrize("kind", ["depth", "segments"])
def test_a_network_that_was_at_work_can_be_trained_afterwards(weights, kind, rests, ours):
    """To torch "cpu:1" is another device: going there copies, as going to a GPU does."""
    with torch.inference_mode(not ours):
        if kind == "depth":
            model = depth_anything.load("any", weights / "depth", "cpu:1", rests=rests)
            model.disparity(PIXELS, 28)
        else:
            model = segment_anything.load("any", weights / "sam", "cpu:1", rests=rests)
            embedding = model.encode(PIXELS)
            model.segment(embedding, np.array([[9.0, 9.0]]), np.array([1]), None)
            assert not embedding.features[0].is_inference()
    values = list(model._network.parameters())
    for value in values:
        value.requires_grad_(True)
    torch.stack([(value * value).sum() for value in values]).sum().backward()
    assert all(torch.equal(value.grad, 2 * value) for value in values)


@pytest.mark.gpu
@pytest.mark.parametrize("layout", ["sam", "sam.pth", "sam2"])
def test_on_a_gpu_nearly_all_memory_comes_free_and_answers_are_the_same(weights, layout):
    name = "sam2.1-hiera-tiny" if layout == "sam2" else "sam-vit-base"
    stays, rests = (
        segment_anything.load(name, weights / layout, "cuda", rests=rests)
        for rests in (False, True)
    )
    click = np.array([[30.0, 20.0]]), np.array([1]), None
    for _ in range(2):
        found = [model.segment(model.encode(PIXELS), *click) for model in (stays, rests)]
        assert (found[0].masks == found[1].masks).all()
    assert next(rests._network.vision_encoder.parameters()).device.type == "cpu"
    assert next(rests._network.mask_decoder.parameters()).device.type == "cuda"
    assert next(stays._network.vision_encoder.parameters()).device.type == "cuda"


@pytest.mark.gpu
def test_on_a_gpu_depth_is_the_same_and_its_network_leaves(weights):
    before = torch.cuda.memory_allocated()
    model = depth_anything.load("any", weights / "depth.pth", "cuda", rests=True)
    on_cpu = depth_anything.load("any", weights / "depth.pth")
    np.testing.assert_allclose(model.disparity(PIXELS, 56), on_cpu.disparity(PIXELS, 56), atol=2e-3)
    assert torch.cuda.memory_allocated() == before
