"""Memory presets: what each needs, which one fits, which one is next."""

from __future__ import annotations

import errno

import av
import cv2
import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from backend.engines.svd.memory import (
    PLANS,
    Stage,
    choose_plan,
    chunk_feed_forward,
    free_bytes,
    lower_preset,
    needed_bytes,
    plan_of,
    svd_stages,
)
from backend.networks import on_device, weight_bytes
from backend.resources import MEMORY, is_out_of_memory
from tests.engines.networks import inputs, small_unet

CODECS = {"image_encoder": 1_260_000_000, "vae": 195_000_000}
DENOISERS = {"unet": 3_050_000_000, "controlnet": 1_364_000_000}
"""SVD-XT's and LeviTor's, in half precision."""
CPU = torch.device("cpu")
SHOT = {"frames": 16, "height": 288, "width": 512, "guided": True, "element_size": 2}


def needed(preset, **changes):
    return needed_bytes(plan_of(preset), svd_stages(CODECS, DENOISERS, **SHOT | changes))


def chosen(memory, free, **more):
    return choose_plan(memory, free, svd_stages(CODECS, DENOISERS, **SHOT), **more).preset


def test_every_preset_can_be_asked_for_and_auto_besides():
    assert set(MEMORY) == {"auto", *(plan.preset for plan in PLANS)}


def test_the_next_lower_preset():
    assert [lower_preset(preset) for preset in ("high", "balanced", "low")] == [
        "balanced",
        "low",
        None,
    ]


@pytest.mark.parametrize(
    "changes",
    [{}, {"height": 576, "width": 1024}, {"frames": 64}, {"frames": 2}, {"element_size": 4}],
)
def test_each_preset_needs_less_than_the_one_above(changes):
    high, balanced, low = (needed(plan.preset, **changes) for plan in PLANS)
    assert high > balanced > low > sum(DENOISERS.values())


def test_a_preset_needs_more_for_more():
    for preset in ("high", "balanced", "low"):
        assert needed(preset, frames=32) > needed(preset)
        assert needed(preset, height=576) > needed(preset)
    # One pass after the other is as large as one
    assert needed("balanced", guided=False) == needed("balanced")


def test_the_trained_size_fits_the_cards_that_are_about():
    """8 GB cards are to run it."""
    assert needed("low") < 8e9
    assert needed("balanced") < 12e9
    assert needed("high") < 24e9


@pytest.mark.parametrize(
    ("share", "of", "preset"),
    [
        (1.01, "high", "high"),
        (0.99, "high", "balanced"),
        (1.01, "balanced", "balanced"),
        (0.99, "balanced", "low"),
        (1.01, "low", "low"),
        (0.5, "low", "low"),
    ],
)
def test_auto_takes_the_highest_preset_that_leaves_a_twelfth_free(share, of, preset):
    """The lowest is tried in any case; 92 of 100 bytes that are free are used."""
    assert chosen("auto", int(share * needed(of) / 0.92)) == preset


@pytest.mark.parametrize("preset", ["low", "balanced", "high"])
def test_a_preset_that_is_asked_for_is_taken(preset):
    assert chosen(preset, 0) == chosen(preset, None) == preset


def test_without_memory_of_its_own_a_device_is_balanced_and_passes_together_are_high():
    assert free_bytes(torch.device("cpu")) is None
    assert chosen("auto", None) == "balanced"
    assert chosen("auto", None, together=True) == chosen("auto", 10**9, together=True) == "high"


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (MemoryError(), True),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 100 bytes"), True),
        (cv2.error("(-215:Assertion failed) !empty()"), False),
        (ValueError("not enough memory of the past"), False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError("The paging file is too small for this operation to complete."), True),
        (SafetensorError("Error while mapping: Cannot allocate memory (os error 12)"), True),
        (av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"), True),
        (SafetensorError("Error while deserializing header: HeaderTooLarge"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
)
def test_a_lack_of_memory_is_known_by_its_class_or_by_its_words(error, lacks):
    assert is_out_of_memory(error) == lacks


def test_a_cpu_that_has_no_more_says_so_in_known_words():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_a_device_too_full_to_be_asked_has_nothing_free(monkeypatch):
    def full(device):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    assert free_bytes(torch.device("cuda")) == 0


def test_weights_are_counted_in_their_own_precision():
    assert weight_bytes(nn.Linear(10, 5)) == 4 * 55
    assert weight_bytes(nn.Linear(10, 5).half()) == 2 * 55


def test_feed_forward_layers_in_pieces_answer_the_same():
    given = inputs(2, 8, 8, frames=3)
    unet = small_unet()
    answers, sizes = [], []
    layer = unet.down_blocks[0].attentions[0].transformer_blocks[0].ff
    layer.register_forward_pre_hook(lambda _, told: sizes.append(len(told[0])))
    with torch.inference_mode():
        for size in (0, 1, 0):
            chunk_feed_forward(size, unet)
            answers.append(unet(*given))
    assert sizes == [6, 1, 1, 1, 1, 1, 1, 6]
    torch.testing.assert_close(answers[1], answers[0], atol=1e-5, rtol=0)
    assert torch.equal(answers[2], answers[0])


@pytest.mark.parametrize("offload", [False, True])
def test_networks_are_offloaded_after_work_even_if_it_fails(offload):
    """The meta device stands for one with a memory of its own: nothing comes back from it."""
    network, elsewhere = nn.Linear(2, 2), torch.device("meta")
    with pytest.raises(KeyError), on_device(CPU, network, offload=offload):
        raise KeyError
    assert network.weight.device.type == "cpu"
    if not offload:
        with on_device(elsewhere, network, offload=offload):
            assert network.weight.device == elsewhere
        assert network.weight.device == elsewhere


def test_an_engines_own_stage_is_planned_with_the_others():
    """Optimising the latents takes gradients: 7 bytes of activations whatever the plan."""
    stages = {
        "denoise": Stage(networks={"unet": 10, "controlnet": 4}, activations=lambda plan: 1),
        "optimise": Stage(networks={"unet": 10}, activations=lambda plan: 7),
        "decode": Stage(networks={"vae": 3}, activations=lambda plan: 2),
    }
    assert needed_bytes(plan_of("high"), stages) == 10 + 4 + 3 + 7
    assert needed_bytes(plan_of("balanced"), stages) == 10 + 7
    assert choose_plan("auto", 30, stages).preset == "high"
    assert choose_plan("auto", 20, stages).preset == "balanced"


@pytest.mark.parametrize("extra", [{}, {"controlnet": 5 * 10**8, "second": 10**8}])
def test_without_a_controlnet_or_with_two_the_unet_is_planned_with_what_is_there(extra):
    unet = {"unet": 3 * 10**9}
    for preset in ("high", "balanced", "low"):
        alone, more = (
            needed_bytes(plan_of(preset), svd_stages(CODECS, one, **SHOT))
            for one in (unet, unet | extra)
        )
        assert more == alone + sum(extra.values())
