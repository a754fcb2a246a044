"""UNet with residuals and ControlNet: the published keys, the stock numbers, gradients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.unet import ControlledUNet
from tests.engines.networks import (
    Inputs,
    clip_of,
    control,
    inputs,
    small_controlnet,
    small_unet,
)

KEYS = Path(__file__).parents[1] / "golden" / "levitor" / "controlnet_keys.json"
XT = {"num_attention_heads": (5, 10, 20, 20), "num_frames": 25}
SIZES = [(9, 5), (8, 8), (16, 9)]


@pytest.fixture(scope="module")
def stock():
    return small_unet(UNetSpatioTemporalConditionModel)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


@pytest.fixture(scope="module")
def controlnet(unet):
    return small_controlnet(unet).requires_grad_(False)


def stock_answer(network, given: Inputs):
    # The stock forward takes one noise level for all clips, or one for each
    return network(*given, return_dict=False)[0]


def test_the_keys_and_shapes_are_those_of_the_published_checkpoint():
    with torch.device("meta"):
        unet = ControlledUNet(**XT)
        network = SVDControlNet.from_unet(unet, load_weights=False)
    expected = {key: tuple(shape) for key, shape in json.loads(KEYS.read_text()).items()}
    assert len(expected) == 671
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == expected
    assert sum(value.numel() for value in network.parameters()) == 682_021_537
    own = ("controlnet_", "add_embedding")
    shared = [key for key in expected if not key.startswith(own)]
    assert set(shared) <= set(unet.state_dict())


def test_residuals_of_the_real_network_have_the_sizes_of_its_skips():
    """64 x 36 latents: 36 -> 18 -> 9 -> 5 is no exact halving."""
    with torch.device("meta"):
        network = SVDControlNet(**XT).to("meta")  # a few scalars are made on the CPU all the same
        given = [torch.empty(1, 2, 8, 64, 36), torch.tensor(1.0), torch.empty(1, 1, 1024)]
        down, mid = network(*given, torch.empty(1, 3), torch.empty(1, 2, 3, 512, 288))
    sizes = [(320, 64, 36)] * 3 + [(320, 32, 18)] + [(640, 32, 18)] * 2 + [(640, 16, 9)]
    sizes += [(1280, 16, 9)] * 2 + [(1280, 8, 5)] * 3
    assert [tuple(one.shape) for one in down] == [(2, *size) for size in sizes]
    assert tuple(mid.shape) == (2, 1280, 8, 5)


@pytest.mark.parametrize("clips", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_without_residuals_it_is_the_stock_unet_to_the_bit(stock, unet, size, clips):
    given = inputs(clips, *size)
    with torch.inference_mode():
        assert torch.equal(unet(*given), stock_answer(stock, given))


@pytest.mark.parametrize("clips", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_a_fresh_controlnet_adds_nothing(stock, unet, size, clips):
    given = inputs(clips, *size)
    fresh = small_controlnet(unet, zero=True)
    with torch.inference_mode():
        down, mid = fresh(*given, control(given))
        assert not any(one.any() for one in [*down, mid])
        assert torch.equal(unet(*given, down, mid), stock_answer(stock, given))


def test_a_trained_controlnet_reaches_the_answer_through_skips_and_mid(unet, controlnet):
    given = inputs()
    with torch.inference_mode():
        down, mid = controlnet(*given, control(given))
        plain = unet(*given)
        for residuals in ((down, None), (None, mid)):
            assert not torch.allclose(unet(*given, *residuals), plain, atol=1e-3)
        # Each residual by itself, so that none is added in another's place
        for index in range(len(down)):
            one = [r if i == index else torch.zeros_like(r) for i, r in enumerate(down)]
            assert not torch.allclose(unet(*given, one), plain, atol=1e-4), index


def test_the_scale_multiplies_every_residual(controlnet):
    given = inputs()
    with torch.inference_mode():
        whole, half = (controlnet(*given, control(given), scale) for scale in (1.0, 0.5))
    for one, other in zip([*whole[0], whole[1]], [*half[0], half[1]], strict=True):
        assert torch.equal(one * 0.5, other)


def test_embedding_the_control_before_gives_the_same_residuals(controlnet):
    given = inputs(2)
    with torch.inference_mode():
        seen = control(given)
        whole = controlnet(*given, seen, 0.7)
        parted = controlnet.residuals(*given, controlnet.embed(seen), 0.7)
        # One control for both clips is repeated
        same = controlnet.residuals(*given, controlnet.embed(seen[:1]))
        twice = controlnet(*given, seen[:1].repeat(2, 1, 1, 1, 1))
    for one, other in ((whole, parted), (same, twice)):
        for a, b in zip([*one[0], one[1]], [*other[0], other[1]], strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_shallow_with_the_same_steps_deep_features_is_the_whole_forward(unet, controlnet):
    given = inputs(2, 9, 5)
    with torch.inference_mode():
        down, mid = controlnet(*given, control(given))
        for residuals in ((down, mid), (None, None)):
            whole, deep = unet.with_deep(*given, *residuals)
            assert torch.equal(unet.shallow(*given, deep, residuals[0]), whole)
            assert torch.equal(unet(*given, *residuals), whole)


def test_batched_clips_are_the_clips_one_by_one(unet, controlnet):
    given = inputs(2, 9, 5)
    seen = control(given)
    with torch.inference_mode():
        batched = unet(*given, *controlnet(*given, seen))
        for index in range(2):
            alone = clip_of(given, index)
            answer = unet(*alone, *controlnet(*alone, seen[index : index + 1]))
            torch.testing.assert_close(batched[index : index + 1], answer, atol=1e-5, rtol=0)


def test_from_unet_copies_the_encoder_but_not_the_embedding_of_ids(unet):
    network = small_controlnet(unet)
    known = unet.state_dict()
    equal = {key for key, value in network.state_dict().items() if key in known
             and torch.equal(value, known[key])}  # fmt: skip
    trunk = ("conv_in.", "time_embedding.", "down_blocks.", "mid_block.")
    assert equal >= {key for key in network.state_dict() if key.startswith(trunk)}
    assert not any(key.startswith("add_embedding.") and key.endswith("weight") for key in equal)
    # Its own weights, not the UNet's: training one leaves the other
    with torch.no_grad():
        network.conv_in.bias.add_(1.0)
    assert not torch.equal(network.conv_in.bias, unet.conv_in.bias)


def test_saved_and_read_again_it_answers_the_same(controlnet, tmp_path):
    controlnet.save_pretrained(tmp_path)
    again = SVDControlNet.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(
        dict(again.state_dict()), dict(controlnet.state_dict()), atol=0, rtol=0
    )
    given = inputs()
    with torch.inference_mode():
        one, other = (n(*given, control(given)) for n in (controlnet, again))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("saved", [False, True])
def test_gradients_reach_the_controlnet_and_nothing_else(saved):
    """Through the residuals alone; computing activations again changes no gradient."""
    unet = small_unet()
    network = small_controlnet(unet)
    given = inputs(2, 8, 8)
    seen = control(given)

    def gradients(legacy=True):
        network.zero_grad()
        down, mid = network(*given, seen, legacy_cfg_context=legacy)
        unet(*given, down, mid, legacy).square().mean().backward()
        return {key: value.grad for key, value in network.named_parameters()}

    plain = gradients()
    assert all(value.grad is None for value in unet.parameters())
    assert all(value is not None for value in plain.values())
    # What asks has no effect where one token answers
    idle = (".norm2.", ".attn2.to_q.", ".attn2.to_k.")
    assert all(value.any() or any(i in key for i in idle) for key, value in plain.items())
    if saved:
        network.enable_gradient_checkpointing()
        unet.enable_gradient_checkpointing()
        torch.testing.assert_close(gradients(), plain, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sample": torch.zeros(2, 8, 8, 8)}, "sample must be"),
        ({"context": torch.zeros(1, 2, 16)}, r"must be \(1, 1, D\), got \(1, 2, 16\)"),
        ({"added_time_ids": torch.zeros(2, 3)}, r"must be \(1, ids\), got \(2, 3\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(unet, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        unet(*inputs()._replace(**change))


def test_a_control_that_does_not_fit_is_named(unet, controlnet):
    given = inputs()
    seen = control(given)
    with pytest.raises(ValueError, match=r"multiples of 8, got \(1, 2, 3, 60, 64\)"):
        controlnet(*given, seen[..., :60, :])
    with pytest.raises(ValueError, match=r"for 1 frames of \(8, 8\), the latents have 2 of"):
        controlnet(*given, seen[:, :1])
    with pytest.raises(ValueError, match="1 residuals for 4 skips"):
        unet(*given, [torch.zeros(1)])
