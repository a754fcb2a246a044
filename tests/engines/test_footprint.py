"""What is reckoned for a memory preset is what the real networks hold, counted without memory."""

from __future__ import annotations

import pytest
import torch

from backend.benchmark.random_networks import make_networks
from backend.engines.svd import memory
from tests.benchmarks.footprint import META, LiveMemory, Subject, peak_bytes


@pytest.fixture(scope="module")
def networks():
    return make_networks(META, torch.float16)


@pytest.mark.parametrize(
    ("preset", "frames", "height", "width"),
    [("high", 3, 288, 512), ("balanced", 5, 288, 512), ("low", 2, 576, 320)],
)
def test_a_preset_takes_what_it_is_reckoned_to_and_at_most_a_fifth_less(
    networks, preset, frames, height, width
):
    base, controlnet = networks
    plan = memory.plan_of(preset)
    subject = Subject(base=base, controlnet=controlnet, frames=frames, height=height, width=width)
    reckoned, counted = subject.reckoned(plan), subject.counted(plan)
    own = sum(subject.denoisers.values())  # the same on both sides, and would hide the rest
    if not plan.offload:
        own += sum(subject.codecs.values())
    assert 1.0 <= reckoned / counted <= 1.2
    assert 1.0 <= (reckoned - own) / (counted - own) <= 1.2


def test_the_real_sizes_are_made_without_memory(networks):
    base, controlnet = networks
    assert sum(value.numel() for value in base.unet.parameters()) == 1_524_623_082
    assert sum(value.numel() for value in controlnet.parameters()) == 682_021_537
    assert {value.device.type for value in base.unet.parameters()} == {"meta"}


def test_what_is_let_go_is_no_longer_counted():
    def call():
        first = torch.empty(1000, dtype=torch.float16)
        del first
        second = torch.empty(400, dtype=torch.float32)
        return second.view(20, 20) + second.view(20, 20)

    assert peak_bytes(call) == 3200  # 2000 are gone when twice 1600 are there
    with LiveMemory() as found:
        kept = torch.zeros(10)
        torch.zeros(100)
    assert (found.live, found.peak) == (40, 440)
    del kept
    assert found.live == 0
