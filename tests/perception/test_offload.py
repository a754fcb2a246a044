"""Networks go to their device when they are asked and leave it again.

That memory comes free is for the test on a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backend.networks import on_device
from backend.perception import depth_anything, registry, segment_anything
from backend.perception.registry import LoadedModels
from backend.resources import Resources, no_weights

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


META = torch.device("meta")
"""Stands for a device with a memory of its own."""


class Returning(nn.Linear):
    """Comes back from the meta device too, which keeps no numbers: with new ones."""

    def _apply(self, fn, recurse=True):
        if not self.weight.is_meta:
            return super()._apply(fn, recurse)
        for name, value in list(self.named_parameters()):
            setattr(self, name, nn.Parameter(fn(torch.zeros(value.shape))))
        return self


@pytest.mark.parametrize(("offload", "left_on"), [(True, "cpu"), (False, "meta")])
def test_a_network_that_is_offloaded_comes_back_also_from_an_error(offload, left_on):
    network = Returning(2, 2)

    def work():
        with on_device(META, network, offload=offload):
            assert network.weight.device == network.bias.device == META
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert network.weight.device.type == network.bias.device.type == left_on


def test_on_a_cpu_nothing_moves():
    network = nn.Linear(2, 2)
    before = network.weight.data_ptr()
    with on_device(torch.device("cpu"), network, offload=True):
        assert network.weight.data_ptr() == before
    assert network.weight.data_ptr() == before


@pytest.mark.parametrize(
    ("memory", "rests"), [("auto", True), ("low", True), ("balanced", True), ("high", False)]
)
def test_all_but_high_memory_sends_networks_to_rest(weights, memory, rests, monkeypatch):
    paths = {"depth-anything-v2-small": weights / "depth", "sam-vit-base": weights / "sam"}
    here = Resources(memory=memory, weights=lambda name: paths.get(name) or no_weights(name))
    loaded = LoadedModels()
    depth = registry.depth_model("auto", here, loaded).model
    segments = registry.segment_model("auto", here, loaded).model
    asked = []

    def watch(device, network, *, offload):
        asked.append((type(network).__name__, str(device), offload))
        return on_device(device, network, offload=offload)

    monkeypatch.setattr(depth_anything, "on_device", watch)
    monkeypatch.setattr(segment_anything, "on_device", watch)
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
