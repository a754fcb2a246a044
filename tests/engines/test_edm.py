"""The arithmetic around the network: identities, published numbers, the usual scheduler's steps."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_utils import AysSchedules

from backend.engines.svd.edm import (
    denoised,
    euler_step,
    karras_sigmas,
    preconditioning,
    tuned_sigmas,
    velocity_target,
)
from backend.engines.svd.tiny_weights import BASE_FOLDER

LEVELS = [0.002, 0.5, 1.0, 30.0, 700.0]


def draws(count, shape=(2, 4, 3, 3)):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.fixture
def scheduler(tiny_weights):
    return EulerDiscreteScheduler.from_pretrained(tiny_weights / BASE_FOLDER / "scheduler")


def set_steps(scheduler, steps):
    with warnings.catch_warnings():
        # It makes an array of a tensor in a way that numpy 2 is to give up
        warnings.filterwarnings("ignore", "__array__ implementation doesn't", DeprecationWarning)
        scheduler.set_timesteps(steps)
    return scheduler


@pytest.mark.parametrize("sigma", LEVELS)
def test_a_perfect_velocity_gives_the_clean_latents(sigma):
    clean, noise = draws(2)
    noisy = clean + sigma * noise
    found = denoised(noisy, velocity_target(clean, noise, sigma), sigma)
    torch.testing.assert_close(found, clean, atol=1e-9, rtol=0)


def test_the_factors_at_a_level_of_three_quarters():
    """sqrt(0.75^2 + 1) is 1.25."""
    factors = preconditioning(0.75)
    assert factors.c_in == pytest.approx(0.8)
    assert factors.c_skip == pytest.approx(0.64)
    assert factors.c_out == pytest.approx(-0.6)
    assert factors.c_noise == pytest.approx(-0.0719205)


def test_a_level_for_each_clip_is_each_clips_level():
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    together = preconditioning(levels)
    for index, level in enumerate(LEVELS):
        alone = preconditioning(level)
        for name in ("c_in", "c_skip", "c_out", "c_noise"):
            assert float(getattr(together, name)[index]) == pytest.approx(getattr(alone, name))
    clean, noise, answer = draws(3, (5, 2, 4, 3, 3))
    sigma = levels[:, None, None, None, None]
    whole = denoised(clean + sigma * noise, answer, sigma)
    for index, level in enumerate(LEVELS):
        one = denoised(clean[index] + level * noise[index], answer[index], level)
        torch.testing.assert_close(whole[index], one)


@pytest.mark.parametrize("sigma", LEVELS)
def test_the_weighted_loss_of_clean_latents_is_the_plain_loss_of_velocities(sigma):
    """(1 + s^2) / s^2 * mean((x0' - x0)^2) = mean((v - v*)^2), for any v."""
    clean, noise, answer = draws(3)
    found = denoised(clean + sigma * noise, answer, sigma)
    weighted = (1 + sigma**2) / sigma**2 * (found - clean).square().mean()
    plain = (answer - velocity_target(clean, noise, sigma)).square().mean()
    torch.testing.assert_close(weighted, plain, rtol=1e-6, atol=0)


def test_the_target_is_between_noise_and_clean_latents():
    """At 0.75: (n - 0.75 x0) / 1.25."""
    clean, noise = torch.tensor([2.0]), torch.tensor([4.0])
    assert float(velocity_target(clean, noise, 0.75)) == pytest.approx(2.0)


def test_twenty_five_usual_steps_have_the_known_levels():
    levels = karras_sigmas(25, 0.002, 700.0)
    assert len(levels) == 26
    first = [700, 545.729, 421.569, 322.454, 244.023, 182.547, 134.854, 98.267]
    assert levels[:8] == pytest.approx(first, rel=1e-5)
    assert levels[-4:] == pytest.approx([0.0248, 0.00788, 0.002, 0.0], rel=2e-3)
    assert preconditioning(levels[0]).c_noise == pytest.approx(1.6378, abs=5e-5)
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("steps", [2, 10, 25])
def test_the_usual_levels_are_the_schedulers(scheduler, steps):
    set_steps(scheduler, steps)
    levels = karras_sigmas(steps, 0.002, 700.0)
    assert levels == pytest.approx(scheduler.sigmas.tolist(), rel=1e-4)
    times = [preconditioning(level).c_noise for level in levels[:-1]]
    assert times == pytest.approx(scheduler.timesteps.tolist(), abs=1e-4)


def test_one_step_starts_from_the_highest_level():
    assert karras_sigmas(1, 0.002, 700.0) == pytest.approx([700.0, 0.0])
    assert tuned_sigmas(1) == pytest.approx([700.0, 0.0])


def test_steps_are_the_schedulers_steps(scheduler):
    """The same random answers to both; latents start at a spread of 700."""
    set_steps(scheduler, 6)
    levels = karras_sigmas(6, 0.002, 700.0)
    start, *answers = (one.float() for one in draws(7))
    usual = start * scheduler.init_noise_sigma
    ours = start * (levels[0] ** 2 + 1) ** 0.5
    torch.testing.assert_close(ours, usual, rtol=1e-6, atol=0)
    for index, answer in enumerate(answers):
        time = scheduler.timesteps[index]
        scaled = scheduler.scale_model_input(usual, time)
        torch.testing.assert_close(ours * preconditioning(levels[index]).c_in, scaled)
        usual = scheduler.step(answer, time, usual).prev_sample
        clean = denoised(ours, answer, levels[index])
        ours = euler_step(ours, clean, levels[index], levels[index + 1])
        torch.testing.assert_close(ours, usual, rtol=1e-4, atol=1e-4)
    assert torch.equal(ours, clean)  # the last level is 0, where nothing is left to take off


def test_ten_tuned_steps_are_the_published_ones():
    published = AysSchedules["StableDiffusionVideoSigmas"]
    assert tuned_sigmas(10) == pytest.approx(published)


@pytest.mark.parametrize("steps", [1, 4, 7, 23])
def test_any_number_of_tuned_steps_falls_from_700_to_0(steps):
    levels = tuned_sigmas(steps)
    assert len(levels) == steps + 1
    assert levels[0] == pytest.approx(700.0)
    assert levels[-1] == 0.0
    assert all(high > low for high, low in pairwise(levels))


def test_twice_the_tuned_steps_go_through_the_same_levels_and_their_geometric_means():
    few, many = tuned_sigmas(10), tuned_sigmas(20)
    assert many[:-1:2] == pytest.approx(few[:-1])
    assert many[1] == pytest.approx(math.sqrt(700.0 * 54.5))


@pytest.mark.parametrize("schedule", [tuned_sigmas, lambda steps: karras_sigmas(steps, 0.002, 700)])
def test_no_step_is_refused(schedule):
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        schedule(0)
