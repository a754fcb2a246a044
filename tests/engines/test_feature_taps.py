"""Tapped features are those of diffusers' own UNet, with gradients and without leftovers."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

from backend.engines.svd.feature_taps import feature_taps
from tests.engines.networks import inputs, small_unet

ATTENTION = "up_blocks.1.attentions.0.transformer_blocks.0.attn1"
NAMES = [
    "down_blocks.0.resnets.0",
    "mid_block",
    "up_blocks.0",
    "up_blocks.1.attentions.1",
    ATTENTION,
    f"{ATTENTION}.to_q",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn2",
    "up_blocks.1.attentions.0.temporal_transformer_blocks.0.ff",
]


@pytest.fixture(scope="module")
def unet():
    network = small_unet()
    network.batch.one_token = True  # as an engine has it
    return network


@pytest.fixture(scope="module")
def stock():
    return small_unet(UNetSpatioTemporalConditionModel)


def hooked(stock, names, given):
    """What plain forward hooks on diffusers' UNet see."""
    seen, modules = {}, dict(stock.named_modules())
    handles = [
        modules[name].register_forward_hook(
            lambda _, told, answer, name=name: seen.update(
                {name: answer[0] if isinstance(answer, tuple) else answer}
            )
        )
        for name in names
    ]
    stock(given.sample, given.timestep, given.context, given.added_time_ids)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("stop", [False, True])
def test_what_is_tapped_is_what_a_hook_on_the_stock_unet_sees(unet, stock, stop):
    given = inputs(1, 8, 8, frames=3)
    with torch.no_grad():
        wanted = hooked(stock, NAMES, given)
        with feature_taps(unet, NAMES, stop=stop) as found:
            unet(*given)
    assert set(found) == set(NAMES)
    for name in NAMES:
        assert torch.equal(found[name], wanted[name]), name


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_gradient_through_a_tap_reaches_the_latents_as_through_the_stock_unet(
    unet, stock, checkpointing
):
    found = []
    for network in (stock, unet):
        given = inputs(1, 8, 8, frames=3)
        given.sample.requires_grad_(True)
        if network is stock:
            features = hooked(stock, [ATTENTION], given)
        else:
            if checkpointing:
                unet.enable_gradient_checkpointing()
            try:
                with feature_taps(unet, [ATTENTION], stop=True) as features:
                    unet(*given)
            finally:
                unet.disable_gradient_checkpointing()
        features[ATTENTION].square().mean().backward()
        found.append(given.sample.grad)
    assert float(found[0].abs().max()) > 0
    torch.testing.assert_close(found[1], found[0], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("names", "last"),
    [(["down_blocks.0"], 0), (["mid_block"], 2), (["up_blocks.0", "mid_block"], 3)],
)
def test_no_block_after_the_last_that_is_tapped_runs(unet, names, last):
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks, unet.conv_out]
    ran = []
    handles = [
        block.register_forward_pre_hook(lambda *_, index=index: ran.append(index))
        for index, block in enumerate(blocks)
    ]
    with torch.no_grad(), feature_taps(unet, names, stop=True) as found:
        unet(*inputs(1, 8, 8))
        pytest.fail("the call went on")
    for handle in handles:
        handle.remove()
    assert ran == list(range(last + 1))
    assert set(found) == set(names)


@pytest.mark.parametrize("stop", [False, True])
def test_nothing_is_left_on_the_network(unet, stop):
    given = inputs(1, 8, 8)
    with torch.no_grad():
        before = unet(*given)
        with feature_taps(unet, NAMES, stop=stop):
            unet(*given)
        with pytest.raises(KeyError), feature_taps(unet, NAMES, stop=stop):
            raise KeyError
        with pytest.raises(RuntimeError, match="was not called"), feature_taps(unet, NAMES):
            pass
        assert torch.equal(unet(*given), before)
    assert unet.batch.one_token
    assert not any(module._forward_hooks for module in unet.modules())


def test_a_module_that_is_not_there_is_named(unet):
    with (
        pytest.raises(ValueError, match=r"no module 'up_blocks\.9'"),
        feature_taps(unet, ["mid_block", "up_blocks.9"]),
    ):
        pass
