"""What a denoiser learns from: noise levels, what is left out, and how errors are weighted."""

from __future__ import annotations

import math

import pytest
import torch

from backend.engines.svd import edm
from backend.training.base import example_generator
from backend.training.edm_loss import EdmOptions, added_ids, draw, dropped, edm_loss, weighting


def seeded(number=0):
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def many():
    options = EdmOptions()
    return [draw(options, example_generator(1, number)) for number in range(4000)]


def test_the_weighted_denoising_loss_is_the_error_of_the_velocity():
    clean, noise, velocity = torch.randn(3, 5, 4, 4, 6, 6, generator=seeded(), dtype=torch.float64)
    sigma = torch.tensor([0.02, 0.5, 1.0, 7.0, 300.0], dtype=torch.float64)
    level = sigma[:, None, None, None, None]
    denoised = edm.denoised(edm.noised(clean, noise, level), velocity, level)
    loss = weighting(sigma) * (denoised - clean).square().flatten(1).mean(1)
    wanted = (velocity - edm.velocity_target(clean, noise, level)).square().flatten(1).mean(1)
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(edm_loss(denoised, clean, sigma), wanted.float(), rtol=1e-4, atol=0)


def test_shapes_that_do_not_go_together_are_refused():
    clip = torch.zeros(2, 3, 4, 8, 8)
    with pytest.raises(ValueError, match="do not go together"):
        edm_loss(clip, clip, torch.ones(3))


def test_noise_levels_are_log_normal_with_the_mean_and_spread_asked_for(many):
    for values, mean, spread in (
        ([one.sigma for one in many], 0.7, 1.6),
        ([one.condition_sigma for one in many], -3.0, 0.5),
    ):
        logs = torch.tensor(values).log()
        assert float(logs.mean()) == pytest.approx(mean, abs=4 * spread / math.sqrt(len(many)))
        assert float(logs.std()) == pytest.approx(spread, rel=0.05)


def test_embedding_latents_and_both_are_left_out_a_tenth_of_the_time_each(many):
    cases = [(one.drop_embedding, one.drop_latents) for one in many]
    for case in ((True, False), (True, True), (False, True)):
        assert cases.count(case) / len(many) == pytest.approx(0.1, abs=0.02)
    assert cases.count((False, False)) / len(many) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(
    ("u", "embedding", "latents"),
    [
        (0.0, True, False),
        (0.0999, True, False),
        (0.1, True, True),
        (0.1999, True, True),
        (0.2, False, True),
        (0.2999, False, True),
        (0.3001, False, False),
        (0.9999, False, False),
    ],
)
def test_one_number_decides_what_is_left_out(u, embedding, latents):
    assert dropped(u, 0.1) == (embedding, latents)


def test_without_dropout_nothing_is_left_out_and_the_rest_is_drawn_as_before():
    for number in range(20):
        without = draw(EdmOptions(dropout=0.0), seeded(number))
        usual = draw(EdmOptions(), seeded(number))
        assert not without.drop_embedding
        assert not without.drop_latents
        assert (without.sigma, without.condition_sigma) == (usual.sigma, usual.condition_sigma)


def test_the_network_is_told_rate_motion_and_the_noise_over_the_first_frame():
    draws = [draw(EdmOptions(), seeded(number)) for number in range(2)]
    told = added_ids(EdmOptions(fps_id=6, motion_bucket=100), draws)
    assert told[:, :2].tolist() == [[6.0, 100.0]] * 2
    assert told[:, 2].tolist() == pytest.approx([one.condition_sigma for one in draws])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sigma_std": -1.0}, "0 or more"),
        ({"condition_std": float("nan")}, "0 or more"),
        ({"dropout": 0.4}, "a third"),
    ],
)
def test_options_no_run_can_be_made_with_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        EdmOptions(**wrong)
