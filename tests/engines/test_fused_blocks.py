"""The blocks with fewer passes over memory answer what diffusers' own do."""

from __future__ import annotations

import copy

import pytest
import torch

from backend.engines.svd.memory import chunk_feed_forward
from backend.engines.svd.tiny_weights import UNET
from backend.engines.svd.torch_compile import Compiled, set_channels_last
from backend.engines.svd.unet import ControlledUNet


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    network = ControlledUNet(**UNET).eval().requires_grad_(False)
    # As new, every block mixes space and time half and half, and norms are the identity
    for name, value in network.named_parameters():
        if "mix_factor" in name:
            value.uniform_(-2.0, 2.0)
        elif "norm" in name:
            value.add_(0.2 * torch.randn_like(value))
    return network


def told(clips, frames=3, height=6, width=5):
    generator = torch.Generator().manual_seed(clips)
    return (
        torch.randn(clips, frames, 8, height, width, generator=generator),
        torch.tensor(0.7),
        torch.randn(clips, 1, 1024, generator=generator),
        torch.tensor([[5.0, 100.0, 0.02]]).expand(clips, -1),
    )


def answers(unet, arguments, **options):
    """What it answers with the stock blocks, and with the fused ones."""
    found = []
    for unet.batch.one_token in (False, True):
        with torch.no_grad():
            found.append(unet(*arguments, **options))
    return found


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("clips", [1, 2])
def test_fused_blocks_answer_what_stock_ones_do(unet, clips, legacy):
    stock, fused = answers(unet, told(clips), legacy_cfg_context=legacy)
    assert float(stock.abs().mean()) > 0.1
    torch.testing.assert_close(fused, stock, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param({"height": 2, "width": 2}, id="one place below"),
        pytest.param({"frames": 1}, id="one frame"),
    ],
)
def test_fused_blocks_answer_it_for_a_single_place_or_frame(unet, size):
    """Where frames by places and places by frames are the same order in memory.

    In double precision: norms over two numbers magnify rounding.
    """
    arguments = [one.double() for one in told(1, **size)]
    stock, fused = answers(copy.deepcopy(unet).double(), arguments)
    torch.testing.assert_close(fused, stock)


def test_in_parts_and_in_another_order_in_memory_they_answer_the_same(unet):
    whole = answers(unet, told(2))[1]
    try:
        chunk_feed_forward(1, unet)
        torch.testing.assert_close(answers(unet, told(2))[1], whole, atol=1e-5, rtol=1e-5)
        set_channels_last(unet, channels_last=True)
        torch.testing.assert_close(answers(unet, told(2))[1], whole, atol=1e-5, rtol=1e-5)
    finally:
        chunk_feed_forward(0, unet)
        set_channels_last(unet, channels_last=False)


def test_what_went_in_is_not_changed(unet):
    arguments = told(2)
    before = [one.clone() for one in arguments]
    answers(unet, arguments)
    assert all(torch.equal(one, other) for one, other in zip(arguments, before, strict=True))


def test_where_a_gradient_is_asked_for_the_stock_blocks_run(unet):
    sample, *others = told(1)
    sample.requires_grad_(True)
    grads = []
    for unet.batch.one_token in (False, True):
        grads += torch.autograd.grad(unet(sample, *others).square().sum(), sample)
    assert float(grads[0].abs().max()) > 0
    torch.testing.assert_close(grads[1], grads[0], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_compiled_it_is_one_graph_for_every_step_and_answers_the_same(unet):
    """Captured and lowered as for a real compiler, but not turned into machine code: minutes."""
    counters = torch._dynamo.utils.counters
    sample, _, *others = told(2)
    unet.batch.one_token = True
    fused = Compiled(unet, "aot_eager")
    counters.clear()
    try:
        with torch.inference_mode():
            for time in (0.7, 0.1, -0.4):
                told_now = (sample, torch.tensor(time), *others)
                torch.testing.assert_close(fused(*told_now), unet(*told_now), atol=1e-4, rtol=1e-4)
        assert counters["stats"]["unique_graphs"] == 1
        assert not counters["graph_break"]
    finally:
        torch._dynamo.reset()  # or each garbage collection of later tests looks at its graphs
