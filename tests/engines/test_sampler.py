"""Sampling: the stock pipeline's numbers, what is computed how often, and what a step may do."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
    AutoencoderKLTemporalDecoder,
)
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    StableVideoDiffusionPipeline,
)
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from PIL import Image
from transformers import CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from backend.contracts import Cancelled, MaskSequence
from backend.engines.levitor.engine import LevitorEngine, LevitorSignal
from backend.engines.levitor.spec import SPEC
from backend.engines.svd.edm import karras_sigmas
from backend.engines.svd.load import load_base, load_controlnet
from backend.engines.svd.memory import plan_of
from backend.engines.svd.sampler import ControlInput, Denoiser, SamplerSettings, sample_latents
from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER
from backend.engines.svd.torch_compile import Compiled
from backend.geometry.fit import fit_photo
from backend.resources import Resources

FRAMES, STEPS = 2, 3
SEQUENTIAL, TOGETHER = plan_of("balanced"), plan_of("high")


@pytest.fixture(scope="module")
def stock(tiny_weights):
    """diffusers' own pipeline on the tiny folder."""
    base = tiny_weights / BASE_FOLDER
    half = {"variant": "fp16", "local_files_only": True}
    pipeline = StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder.from_pretrained(base / "vae", **half),
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(base / "image_encoder", **half),
        unet=UNetSpatioTemporalConditionModel.from_pretrained(base / "unet", **half),
        scheduler=EulerDiscreteScheduler.from_pretrained(base / "scheduler"),
        feature_extractor=CLIPImageProcessorPil.from_pretrained(base / "feature_extractor"),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def networks(tiny_weights):
    unet = load_base(tiny_weights / BASE_FOLDER, torch.float32).unet
    controlnet = load_controlnet(tiny_weights / CONTROL_FOLDER, unet, torch.float32)
    unet.batch.one_token = controlnet.batch.one_token = True
    return unet, controlnet


@pytest.fixture(scope="module")
def engine(tiny_resources):
    return LevitorEngine(tiny_resources)


@pytest.fixture(scope="module")
def usual_take(engine):
    return take(engine, a_photo())


@pytest.fixture(scope="module")
def usual_latents(networks):
    return sample(networks, TOGETHER)


def a_photo(height=64, width=72):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def take(engine, pixels, frames=FRAMES, seed=5, on_step=lambda *told, **more: None, **options):
    """A take of the engine at the photo's size, its control a bright square that goes right."""
    size = pixels.shape[:2]
    maps = torch.zeros(frames, 3, *size)
    for index in range(frames):
        maps[index, :, 24:40, 16 * index : 16 * index + 16] = 200.0
    nothing = MaskSequence(instance=maps[:, 1].int(), depth=maps[:, 2])
    signal = LevitorSignal(
        maps=maps, points=[[]] * len(maps), masks=nothing, fit=fit_photo(size, size, "squash")
    )
    image = torch.from_numpy(pixels).movedim(-1, 0).float() / 255
    told = SPEC.completed({"steps": STEPS, **options})
    return engine.sample(image, signal, told, seed, on_step)


def draws(frames=FRAMES, size=8):
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 1, 1024, generator=generator)
    image_latents = torch.randn(4, size, size, generator=generator)
    control = 255 * torch.rand(frames, 3, 8 * size, 8 * size, generator=generator)
    noise = torch.randn(frames, 4, size, size, generator=generator)
    return embedding, image_latents, control, noise


def prepared(networks, plan, control_scale=1.0, **settings):
    """A denoiser with the ControlNet, and noise."""
    (unet, controlnet), (embedding, image_latents, control, noise) = networks, draws()
    told = [ControlInput(network=controlnet, maps=control, scale=control_scale)]
    with torch.inference_mode():
        settings = SamplerSettings(**settings)
        return Denoiser(unet, embedding, image_latents, FRAMES, settings, plan, told), noise


def sample(networks, plan=SEQUENTIAL, steps=STEPS, on_step=lambda step, clean: None, **settings):
    denoiser, noise = prepared(networks, plan, **settings)
    with torch.inference_mode():
        return sample_latents(denoiser, noise, karras_sigmas(steps, 0.002, 700.0), on_step)


def velocity(networks, plan=SEQUENTIAL, **settings):
    denoiser, noise = prepared(networks, plan, **settings)
    with torch.inference_mode():
        return denoiser.velocity(noise, 1.0, 0)


@contextmanager
def counted(networks):
    """How often parts of the networks are called, and the first axis of what they are given."""
    unet, controlnet = networks
    parts = {
        "unet": unet.conv_in,
        "deep": unet.mid_block,
        "controlnet": controlnet.conv_in,
        "embedding": controlnet.controlnet_cond_embedding,
    }
    calls, rows = Counter(), {}

    def hook(name):
        def called(_, given):
            calls[name] += 1
            rows[name] = len(given[0])

        return called

    hooks = [part.register_forward_pre_hook(hook(name)) for name, part in parts.items()]
    yield calls, rows
    for one in hooks:
        one.remove()


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")
@pytest.mark.parametrize(
    ("memory", "chunk", "first", "last"),
    [("high", 5, 1.0, 3.0), ("balanced", 4, 1.0, 3.0), ("low", 1, 1.0, 3.0), ("low", 1, 1.0, 1.0)],
)
def test_without_control_a_take_is_the_stock_pipelines(
    stock, tiny_resources, memory, chunk, first, last
):
    """One generator for both: noise over the photo first, then the latents. 9 latents are odd."""
    pixels = a_photo()
    wanted = stock(
        Image.fromarray(pixels),
        height=64,
        width=72,
        num_frames=5,
        num_inference_steps=STEPS,
        min_guidance_scale=first,
        max_guidance_scale=last,
        fps=6,
        motion_bucket_id=100,
        noise_aug_strength=0.02,
        decode_chunk_size=chunk,
        generator=torch.Generator().manual_seed(5),
        output_type="pt",
    ).frames[0]
    engine = LevitorEngine(Resources(memory=memory, weights=tiny_resources.weights))
    guidance = {"guidance_min": first, "guidance_max": last}
    frames = take(engine, pixels, 5, control_scale=0.0, **guidance)
    assert float(wanted.std()) > 0.05
    torch.testing.assert_close(frames, wanted, atol=5e-5, rtol=0)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")
def test_each_setting_reaches_the_networks_as_it_does_in_the_stock_pipeline(stock, engine):
    pixels = a_photo(72, 64)
    wanted = stock(
        Image.fromarray(pixels),
        height=72,
        width=64,
        num_frames=2,
        num_inference_steps=2,
        min_guidance_scale=1.5,
        max_guidance_scale=4.0,
        fps=11,
        motion_bucket_id=31,
        noise_aug_strength=0.3,
        generator=torch.Generator().manual_seed(9),
        output_type="pt",
    ).frames[0]
    options = {"guidance_min": 1.5, "guidance_max": 4.0, "fps": 11, "motion_bucket": 31.0}
    options |= {"noise_augmentation": 0.3, "steps": 2, "control_scale": 0.0}
    frames = take(engine, pixels, 2, seed=9, **options)
    # In one step from 700 to 0.002 single precision loses more than in several
    torch.testing.assert_close(frames, wanted, atol=3e-4, rtol=0)


@pytest.mark.parametrize(
    ("last", "plan", "calls", "rows"),
    [
        (1.0, SEQUENTIAL, STEPS, FRAMES),
        (1.0, TOGETHER, STEPS, FRAMES),
        (3.0, SEQUENTIAL, 2 * STEPS, FRAMES),
        (3.0, TOGETHER, STEPS, 2 * FRAMES),
    ],
)
def test_only_guidance_above_one_has_a_second_pass(networks, last, plan, calls, rows):
    with counted(networks) as (called, given):
        sample(networks, plan, guidance_max=last)
    assert called == {"unet": calls, "deep": calls, "controlnet": calls, "embedding": 1}
    assert given == {"unet": rows, "deep": rows, "controlnet": rows, "embedding": FRAMES}


def test_passes_apart_are_the_passes_together(networks, usual_latents):
    torch.testing.assert_close(sample(networks, SEQUENTIAL), usual_latents, atol=1e-5, rtol=1e-5)


def test_guidance_rises_from_the_first_frame_to_the_last(networks):
    """To 5 it goes twice as far beyond the conditional answer as to 3."""
    plain = velocity(networks, guidance_max=1.0)
    three, five = (velocity(networks, guidance_max=last) for last in (3.0, 5.0))
    torch.testing.assert_close(three[0], plain[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(five - plain, 2 * (three - plain), atol=1e-5, rtol=0)
    assert float((three - plain)[1].abs().max()) > 1e-3


def test_the_unconditional_pass_sees_no_photo_but_the_noise_and_the_control(networks):
    unet, controlnet = networks
    seen = {}
    hooks = [
        network.conv_in.register_forward_pre_hook(
            lambda _, given, name=name: seen.update({name: given[0].unflatten(0, (2, FRAMES))})
        )
        for name, network in (("unet", unet), ("controlnet", controlnet))
    ]
    velocity(networks, TOGETHER)
    for one in hooks:
        one.remove()
    assert torch.equal(seen["unet"], seen["controlnet"])
    without, with_photo = seen["unet"]
    assert torch.equal(without[:, :4], with_photo[:, :4])
    assert not without[:, 4:].any()
    photo = draws()[1]
    assert torch.equal(with_photo[:, 4:], photo.expand(FRAMES, -1, -1, -1))


def test_no_control_is_no_controlnet_and_a_little_is_a_little(networks):
    with counted(networks) as (called, _):
        none = velocity(networks, control_scale=0.0)
    assert called == {"unet": 2, "deep": 2}
    little, much = (velocity(networks, control_scale=scale) for scale in (1e-4, 1.0))
    assert float((little - none).abs().max()) < 1e-2 < float((much - none).abs().max())


@pytest.mark.parametrize(("reuse", "whole"), [(1, 5), (2, 3), (3, 2), (5, 1)])
def test_reusing_deep_features_calls_the_deep_parts_at_every_nth_step(networks, reuse, whole):
    """Of 5 steps with reuse 2, steps 0, 2 and 4 are whole."""
    with counted(networks) as (called, _):
        sample(networks, TOGETHER, steps=5, reuse=reuse)
    assert called == {"unet": 5, "deep": whole, "controlnet": whole, "embedding": 1}


def test_a_take_that_starts_late_reuses_deep_features_by_the_same_count(networks):
    """Of steps 1 to 5 with reuse 3, steps 1 (the first) and 3 are whole."""
    (denoiser, noise), sigmas = prepared(networks, TOGETHER, reuse=3), karras_sigmas(6, 0.002, 700)
    whole, told = [], []

    def before_step(latents, step):
        whole.append((step.index, called["deep"]))
        return latents

    with counted(networks) as (called, _), torch.inference_mode():
        sample_latents(
            denoiser,
            noise,
            sigmas,
            lambda step, clean: told.append(step),
            start_latents=torch.zeros_like(noise),
            start_step=1,
            before_step=before_step,
        )
    assert whole == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert called["deep"] == 2
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_features_with_gradients_treat_a_controlnet_as_the_unet(networks, checkpointing):
    """Neither is asked in its compiled form, and the activations of both are computed again."""
    (unet, controlnet), (embedding, image_latents, control, noise) = networks, draws()
    name, gradients, runs = "up_blocks.1.attentions.0", [], Counter()
    blocks = {"unet": unet.down_blocks[0], "controlnet": controlnet.down_blocks[0]}
    hooks = [
        block.resnets[0].register_forward_pre_hook(lambda *_, key=key: runs.update([key]))
        for key, block in blocks.items()
    ]

    def refused(*told):
        raise AssertionError("compiled")

    for compiled in (False, True):
        forms = list(networks)
        if compiled:
            forms = [Compiled(network, "eager") for network in networks]
            forms[0]._forward = forms[1].residuals = refused
        told = [ControlInput(network=forms[1], maps=control)]
        with torch.no_grad():
            more = (FRAMES, SamplerSettings(), TOGETHER, told)
            denoiser = Denoiser(forms[0], embedding, image_latents, *more)
        latents = noise.clone().requires_grad_(True)
        found = denoiser.features(latents, 1.0, [name], gradient_checkpointing=checkpointing)
        found[name].square().mean().backward()
        gradients.append(latents.grad)
    for hook in hooks:
        hook.remove()
    assert runs == dict.fromkeys(blocks, 4 if checkpointing else 2)
    assert float(gradients[0].abs().max()) > 0
    assert torch.equal(*gradients)
    assert not any(network.is_gradient_checkpointing for network in networks)


def test_reusing_changes_the_take_a_little(networks, usual_latents):
    one_by_one, together = (sample(networks, plan, reuse=2) for plan in (SEQUENTIAL, TOGETHER))
    difference = float((usual_latents - together).abs().mean())
    assert 0 < difference < 0.5 * float(usual_latents.std())
    # Each pass keeps features of its own
    torch.testing.assert_close(one_by_one, together, atol=1e-5, rtol=1e-5)


def test_the_releases_mixture_of_contexts_is_another_take(networks, usual_latents):
    legacy = sample(networks, TOGETHER, legacy_cfg_context=True)
    assert float((usual_latents - legacy).abs().max()) > 1e-3


def test_every_step_is_told_with_what_it_denoised(networks):
    told = []
    latents = sample(networks, on_step=lambda step, clean: told.append((step, clean)))
    assert [step for step, _ in told] == [1, 2, 3]
    assert {clean.shape for _, clean in told} == {(FRAMES, 4, 8, 8)}
    assert torch.equal(told[-1][1], latents)


def test_progress_counts_steps_and_chunks_and_shows_previews(engine):
    """3 steps, then 5 frames decoded by four: 2 chunks."""
    told = []

    def on_step(done, total, preview=None, phase=""):
        if not phase:
            told.append((done, total, None if preview is None else preview()))

    frames = take(engine, a_photo(), 5, on_step=on_step)
    assert frames.shape == (5, 3, 64, 72)
    assert [step[:2] for step in told] == [(done, 5) for done in range(1, 6)]
    for _, _, preview in told[:STEPS]:
        assert preview.shape == (5, 3, 8, 9)
        assert 0.0 <= float(preview.min()) <= float(preview.max()) <= 1.0
    assert [step[2] for step in told[STEPS:]] == [None, None]


@pytest.mark.parametrize("at", [2, STEPS + 1])
def test_a_take_cancelled_at_any_step_leaves_the_next_one_as_it_would_be(engine, usual_take, at):
    def stop(done, total, preview=None, phase=""):
        if done == at:
            raise Cancelled

    with pytest.raises(Cancelled):
        take(engine, a_photo(), on_step=stop, seed=6, reuse=2)
    assert torch.equal(take(engine, a_photo()), usual_take)


def test_equal_seeds_are_equal_to_the_bit_and_others_are_not(engine, usual_take, tiny_resources):
    assert torch.equal(take(LevitorEngine(tiny_resources), a_photo(), seed=5), usual_take)
    assert float((take(engine, a_photo(), seed=6) - usual_take).abs().max()) > 1e-3


def test_the_control_changes_the_take(engine, usual_take):
    without = take(engine, a_photo(), control_scale=0.0)
    assert float((without - usual_take).abs().max()) > 1e-2


def test_another_order_in_memory_is_the_same_take_up_to_rounding(engine, usual_take):
    last = take(engine, a_photo(), channels_last=True)
    torch.testing.assert_close(last, usual_take, atol=1e-4, rtol=0)
    assert torch.equal(take(engine, a_photo()), usual_take)


def test_tuned_levels_are_another_take(engine, usual_take):
    tuned = take(engine, a_photo(), schedule="tuned")
    assert float((usual_take - tuned).abs().max()) > 1e-3
