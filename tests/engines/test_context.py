"""Which context each row of a layer sees, and that one token is a bias."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

from backend.engines.svd.context import Batch, TemporalContext
from tests.engines.networks import clip_of, control, inputs, small_controlnet, small_unet


def copying_attention(batch):
    """A layer whose answer to a context of one token is that token."""
    layer = Attention(query_dim=2, cross_attention_dim=2, heads=1, dim_head=2, bias=False)
    with torch.no_grad():
        for part in (layer.to_v, layer.to_out[0]):
            part.weight.copy_(torch.eye(2))
        layer.to_out[0].bias.zero_()
    layer.set_processor(TemporalContext(batch))
    return layer.requires_grad_(False)


@pytest.mark.parametrize("one_token", [False, True])
@pytest.mark.parametrize(
    ("places", "legacy", "seen"),
    [
        (4, False, "AAAABBBB"),
        (3, False, "AAABBB"),
        # Every second place sees the other clip's; with an odd number of them the clips differ
        (4, True, "ABABABAB"),
        (3, True, "ABABAB"),
    ],
)
def test_two_clips_contexts_are_told_row_by_row(places, legacy, seen, one_token):
    batch = Batch()
    batch.clips, batch.legacy, batch.one_token = 2, legacy, one_token
    tokens = {"A": torch.tensor([1.0, 0.0]), "B": torch.tensor([0.0, 1.0])}
    # As the stock block hands it on: clip A's for each of its places, then clip B's
    context = torch.stack([tokens["A"]] * places + [tokens["B"]] * places)[:, None]
    rows = torch.randn(2 * places, 5, 2, generator=torch.Generator().manual_seed(0))
    answer = copying_attention(batch)(rows, encoder_hidden_states=context)
    wanted = torch.stack([tokens[one] for one in seen])[:, None].expand(-1, 5, -1)
    torch.testing.assert_close(answer.expand(-1, 5, -1), wanted, atol=1e-6, rtol=0)


def test_three_clips_take_turns():
    batch = Batch()
    batch.clips, batch.legacy = 3, True
    context = torch.eye(3)[:, :2].repeat_interleave(2, 0)[:, None]
    answer = copying_attention(batch)(torch.zeros(6, 1, 2), encoder_hidden_states=context)
    assert torch.equal(answer[:, 0], torch.eye(3)[:, :2].repeat(2, 1))


def mixed_up(unet, clips):
    """The stock UNet, its temporal layers told row r the context r mod B by a hook."""

    def before(_, arguments, named):
        context = named["encoder_hidden_states"]
        of_clip = context[:: len(context) // clips]
        rows = [of_clip[row % clips] for row in range(len(context))]
        return arguments, named | {"encoder_hidden_states": torch.stack(rows)}

    layers = [
        m for name, m in unet.named_modules() if name.endswith("attn2") and "temporal" in name
    ]
    assert layers
    for layer in layers:
        layer.register_forward_pre_hook(before, with_kwargs=True)
    return unet


@pytest.mark.parametrize("size", [(8, 8), (9, 5)])
def test_legacy_is_the_stock_unet_with_its_contexts_mixed_up(size):
    given = inputs(2, *size)
    stock = mixed_up(small_unet(UNetSpatioTemporalConditionModel), 2)
    unet = small_unet()
    with torch.inference_mode():
        legacy = unet(*given, legacy_cfg_context=True)
        assert torch.equal(legacy, stock(*given, return_dict=False)[0])
        assert not torch.allclose(legacy, unet(*given), atol=1e-3)
        # The switch does not outlast its call
        again = small_unet()(*given)
        assert torch.equal(unet(*given), again)


def test_legacy_changes_nothing_for_one_clip():
    unet = small_unet()
    controlnet = small_controlnet(unet)
    given = clip_of(inputs(2, 9, 5), 1)
    seen = control(given)
    with torch.inference_mode():
        for network, more in ((unet, []), (controlnet, [seen])):
            told, plain = (network(*given, *more, legacy_cfg_context=v) for v in (True, False))
            torch.testing.assert_close(told, plain, atol=0, rtol=0)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (9, 5)])
def test_adding_one_tokens_bias_is_attending_to_it(legacy, size):
    given = inputs(2, *size)
    seen = control(given)
    unet = small_unet()
    controlnet = small_controlnet(unet)
    answers = []
    for fast in (False, True):
        unet.batch.one_token = controlnet.batch.one_token = fast
        with torch.inference_mode():
            down, mid = controlnet(*given, seen, legacy_cfg_context=legacy)
            answers.append([*down, mid, unet(*given, down, mid, legacy)])
    torch.testing.assert_close(answers[1], answers[0], atol=2e-6, rtol=1e-5)
