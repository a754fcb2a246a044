"""The LeviTor engine: its signal, its frame, what it refuses, and a device that is too small."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import weakref
from dataclasses import replace

import pytest
import torch

from backend import pipeline
from backend.contracts import Lift
from backend.control.levitor import points_from_masks, stamp_points
from backend.control_sources import ShotControl, shot_masks
from backend.engines.levitor.engine import LevitorEngine
from backend.engines.levitor.signal import encode, frame_size, notes
from backend.engines.levitor.spec import SPEC
from backend.engines.svd.images import decode_frames
from backend.engines.svd.pipeline import SVDPipeline
from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER, make_tiny_weights
from backend.geometry.fit import fit_photo
from backend.resources import Resources, no_weights
from protocol.errors import ShotError
from tests.engines.networks import control, inputs
from tests.geometry.scenes import motion, shot_of, translation, two_instances

QUICK = {"width": 64, "height": 64, "steps": 1, "guidance_max": 1.0}


@pytest.fixture(scope="module")
def engine(tiny_resources):
    return LevitorEngine(tiny_resources)


def a_shot(photo=(40, 60), frames=2, anchors=True, **options):
    """The red square (1) goes half a unit to the right, the blue one (2) stays."""
    lift, ids = two_instances(*photo)
    path = [[translation()]] * (frames - 1) + [[translation(x=0.5)]]
    shot = shot_of(lift, ids, motion(lift.camera, path), static=(2,), **options)
    return replace(shot, engine="levitor", anchors=anchors)


def control_of(shot):
    return ShotControl(shot)


def encoded(shot):
    return encode(control_of(shot), SPEC.completed(shot.options))


def networks_of(engine):
    """Its base and its ControlNet."""
    networks = engine._pipeline.networks()
    return networks.base, networks.controlnets["levitor"]


def rendered(engine, shot):
    return pipeline.render(shot, engine, lambda *step: None)


def refusal(work, *told):
    with pytest.raises(ShotError) as caught:
        work(*told)
    return caught.value


@pytest.mark.parametrize(
    ("photo", "frame"), [((40, 60), (288, 512)), ((60, 40), (512, 288)), ((48, 48), (512, 288))]
)
def test_the_signal_is_stamped_from_the_masks_of_the_trained_size(photo, frame):
    shot = a_shot(photo)
    signal = encoded(shot)
    assert signal.maps.shape == (2, 3, *frame)
    fit = fit_photo(photo, frame, "crop")
    assert signal.fit == fit
    masks = shot_masks(shot, fit)
    points = points_from_masks(masks, 1, shot.lift.near, shot.lift.far)
    assert torch.equal(signal.maps, stamp_points(points, *frame))
    assert {item for frame in points for _, _, item, _ in frame} == {1, 2}


@pytest.mark.parametrize("kind", ["pad", "squash"])
def test_options_choose_the_fit_the_points_and_what_stays(kind):
    shot = a_shot(fit=kind, point_ratio=2.0, width=128, height=64, anchors=False)
    signal = encoded(shot)
    fit = fit_photo((40, 60), (64, 128), kind)
    masks = shot_masks(shot, fit)
    points = points_from_masks(masks, 1, shot.lift.near, shot.lift.far, ratio=2.0, anchors=False)
    assert torch.equal(signal.maps, stamp_points(points, 64, 128))
    assert set(signal.maps[:, 1].unique().tolist()) == {0.0, 1.0}


def test_without_anchors_only_what_moves_has_points():
    with_them, without = (
        encoded(a_shot(width=64, height=64, anchors=anchors)).maps for anchors in (True, False)
    )
    assert set(with_them[:, 1].unique().tolist()) == {0.0, 1.0, 2.0}
    assert set(without[:, 1].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        pytest.param("crop", (64, 64), id="what the engine made"),
        pytest.param("pad", (42, 64), id="3 : 2 without the padding"),
        pytest.param("squash", (64, 96), id="stretched back to 3 : 2"),
    ],
)
def test_a_take_has_the_photos_proportions(engine, kind, size):
    frames = rendered(engine, a_shot(fit=kind, **QUICK)).frames
    assert frames.shape == (2, 3, *size)
    assert 0.0 <= float(frames.min()) < float(frames.max()) <= 1.0


@pytest.mark.parametrize(
    ("photo", "asked", "size"),
    [
        ((40, 60), (0, 0), (288, 512)),
        ((60, 40), (0, 0), (512, 288)),
        ((40, 60), (256, 0), (288, 256)),
        ((60, 40), (0, 640), (640, 288)),
        ((40, 60), (64, 72), (72, 64)),
    ],
)
def test_a_side_of_0_is_the_trained_one_as_the_photo_lies(photo, asked, size):
    assert frame_size(photo, *asked) == size


@pytest.mark.parametrize(
    ("asked", "told", "fix"),
    [
        ((100, 64), "100 x 64", "96 x 64"),
        ((64, 150), "64 x 150", "64 x 144"),
        ((32, 64), "32 x 64", "64 x 64"),
        ((7, 9), "7 x 9", "64 x 64"),
    ],
)
def test_a_frame_of_another_size_is_refused(asked, told, fix):
    error = refusal(encoded, a_shot(width=asked[0], height=asked[1]))
    assert error.code == "option"
    assert error.sentence == (
        f"A frame of {told} pixels has a side that is below 64 or not a multiple of 8."
    )
    assert error.fix == f"Use {fix}, or 0 for the trained size."


def test_guidance_that_falls_is_refused():
    error = refusal(encoded, a_shot(guidance_min=2.5, guidance_max=1.5))
    assert (error.code, error.sentence) == (
        "option",
        "The guidance of the last frame, 1.5, is below the first frame's, 2.5.",
    )


def test_a_shot_of_one_frame_is_refused():
    error = refusal(encoded, a_shot(frames=1))
    assert (error.code, error.sentence) == (
        "frames",
        "The shot has 1 frame, LeviTor needs 2 or more.",
    )


def test_an_instance_that_is_never_seen_is_refused():
    """The red square ends and begins outside of the middle that a crop to 64 x 64 shows."""
    lift, ids = two_instances(40, 200)
    shot = shot_of(lift, ids, motion(lift.camera, [[translation(x=-9.0)]] * 2), **QUICK)
    error = refusal(encoded, shot)
    assert (error.code, error.sentence) == ("instances", "Instance 1 is in none of the 2 frames.")
    assert "'pad'" in error.fix


def test_a_take_off_what_the_network_was_trained_on_is_warned_of(engine):
    def warned(frames=16, photo=(40, 60), **options):
        shot = a_shot(photo, frames, **options)
        return notes(control_of(shot), SPEC.completed(shot.options))

    assert warned() == warned(photo=(60, 40)) == warned(width=512, height=288) == ()
    size = "LeviTor was trained on 512 x 288 and 288 x 512; 448 x 288 may look worse."
    length = "LeviTor was trained on 16 frames; 24 may look worse."
    assert warned(width=448) == (size,)
    assert warned(frames=24) == (length,)
    assert warned(frames=24, width=448) == (size, length)
    take = rendered(engine, a_shot(**QUICK))
    assert [note.split("; ")[1] for note in take.notes] == [
        "64 x 64 may look worse.",
        "2 may look worse.",
    ]


def test_what_moves_out_of_sight_is_warned_of():
    """The red square is far to the right in the last two of 16 frames."""
    lift, ids = two_instances()
    here, gone = [translation()], [translation(x=50.0)]
    shot = shot_of(lift, ids, motion(lift.camera, [here] * 14 + [gone] * 2), static=(2,))
    assert notes(control_of(shot), SPEC.completed({})) == (
        "Instance 1 is out of sight in 2 of 16 frames; nothing tells the network where it is "
        "there.",
    )


@pytest.mark.parametrize("preset", ["low", "balanced"])
def test_the_releases_mixture_needs_both_passes_at_once(tiny_resources, preset):
    engine = LevitorEngine(Resources(memory=preset, weights=tiny_resources.weights))
    guided = QUICK | {"guidance_max": 2.0, "legacy_cfg_context": True}
    error = refusal(rendered, engine, a_shot(**guided))
    assert error.code == "option"
    assert f"which memory preset '{preset}' runs one after the other." in error.sentence
    assert "--memory high" in error.fix
    # Without guidance there is one pass and nothing to mix
    assert len(rendered(engine, a_shot(**guided | {"guidance_max": 1.0})).frames) == 2


def test_with_auto_the_releases_mixture_takes_what_it_needs(engine):
    guided = QUICK | {"guidance_max": 2.0}
    usual, legacy = (
        rendered(engine, a_shot(**guided, legacy_cfg_context=value)).frames
        for value in (False, True)
    )
    assert float((usual - legacy).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("preset", "fix"),
    [
        ("high", "Start the server with --memory balanced, or close other programs."),
        ("balanced", "Start the server with --memory low, or close other programs."),
        ("low", "Use fewer frames or a smaller width and height, or close other programs."),
    ],
)
def test_out_of_memory_frees_the_networks_and_the_next_shot_runs(
    tiny_resources, preset, fix, caplog
):
    """The decoder asks for more than there is, once: a fresh one is read for the next shot."""
    engine = LevitorEngine(Resources(memory=preset, weights=tiny_resources.weights))
    first = rendered(engine, a_shot(**QUICK)).frames
    base, controlnet = networks_of(engine)

    def too_much(*_):
        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")

    base.vae.decoder.register_forward_pre_hook(too_much)
    held = [weakref.ref(one) for one in (base.unet, base.vae, base.image_encoder, controlnet)]
    del base, controlnet
    with caplog.at_level(logging.WARNING), pytest.raises(ShotError) as caught:
        rendered(engine, a_shot(**QUICK))
    assert caught.value.code == "out_of_memory"
    assert (
        caught.value.sentence
        == f"The memory of 'cpu' was not enough for the memory preset '{preset}'."
    )
    assert caught.value.fix == fix
    assert "20.00 GiB" in caplog.text
    gc.collect()  # while the error is still held, as a server holds it to report it
    assert [one() for one in held] == [None] * 4
    assert torch.equal(rendered(engine, a_shot(**QUICK)).frames, first)


def test_out_of_memory_as_the_release_names_no_preset_that_would_refuse_it(tiny_resources):
    engine = LevitorEngine(Resources(weights=tiny_resources.weights))
    base = engine._pipeline.networks().base

    def too_much(*_):
        raise torch.OutOfMemoryError

    base.unet.mid_block.register_forward_pre_hook(too_much)
    shot = a_shot(**QUICK | {"guidance_max": 2.0, "legacy_cfg_context": True})
    error = refusal(rendered, engine, shot)
    assert error.code == "out_of_memory"
    assert error.fix.startswith("Turn 'As the Release' off, which needs both passes at once. Use ")


def test_without_weights_it_is_not_made():
    error = refusal(LevitorEngine, Resources())
    assert error.sentence == "The weights 'svd-xt' are not here."


def test_a_photo_with_noise_in_it_is_taken_as_it_is(engine):
    """Nothing is drawn but from the shot's seed: the program's own generator is left alone."""
    lift, ids = two_instances()
    noise = torch.rand(lift.image.shape, generator=torch.Generator().manual_seed(0))
    noisy = Lift(image=noise, depth=lift.depth, camera=lift.camera, near=2.0, far=12.0)
    shot = shot_of(noisy, ids, motion(lift.camera, [[translation()]] * 2), **QUICK)
    before = torch.random.get_rng_state()
    first, second = (rendered(engine, shot).frames for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("half", [False, True], ids=["single precision", "half, cast on the way"])
def test_gradients_flow_through_the_networks_of_a_take(tiny_resources, half):
    """To latents through the frozen decoder and UNet, as an engine guided by gradients asks, and to
    the ControlNet's weights, as training does."""
    second_cpu = Resources(
        weights=tiny_resources.weights, device="cpu:1"
    )  # going there copies, as to a GPU
    engine = LevitorEngine(second_cpu)
    if half:
        engine._pipeline = SVDPipeline(second_cpu, ("levitor",), torch.float16)
    rendered(engine, a_shot(**QUICK | {"channels_last": True}))
    base, controlnet = networks_of(engine)
    for network in (base.unet, base.vae, controlnet):
        network.float()
    controlnet.requires_grad_(True)
    width = base.unet.config["cross_attention_dim"]
    given = inputs(1, 8, 8)._replace(context=torch.ones(1, 1, width))
    given.sample.requires_grad_(True)
    down, mid = controlnet(*given, control(given))
    latents = base.unet(*given, down, mid)[0]
    decode_frames(base.vae, latents).square().mean().backward()
    assert given.sample.grad.any()
    assert controlnet.controlnet_mid_block.weight.grad.any()


@pytest.mark.parametrize("part", ["base", "ControlNet"])
def test_other_weights_under_the_same_name_render_without_a_new_engine(tmp_path, part):
    """Of the same kind, so with the same names and sizes, and here with the same times too."""

    def lay(seed):
        make_tiny_weights(tmp_path / str(seed), seed)
        swapped = BASE_FOLDER if part == "base" else CONTROL_FOLDER
        for name in (BASE_FOLDER, CONTROL_FOLDER):
            if name == swapped or not seed:
                copied = tmp_path / str(seed) / name
                shutil.copytree(copied, tmp_path / name, dirs_exist_ok=True)
        for file in [file for file in tmp_path.rglob("*") if file.is_file()]:
            os.utime(file, (1e9, 1e9))

    lay(0)
    folders = {"svd-xt": tmp_path / BASE_FOLDER, "levitor": tmp_path / CONTROL_FOLDER}
    here = Resources(weights=folders.__getitem__)
    engine = LevitorEngine(here)
    first = rendered(engine, a_shot(**QUICK)).frames
    before, after = networks_of(engine), networks_of(engine)
    assert all(one is other for one, other in zip(before, after, strict=True))  # nothing is read
    lay(1)
    second = rendered(engine, a_shot(**QUICK)).frames
    assert not torch.equal(first, second)
    assert torch.equal(second, rendered(LevitorEngine(here), a_shot(**QUICK)).frames)


def test_weights_that_are_taken_away_are_missed_before_the_next_take(tiny_resources):
    folders = {name: tiny_resources.weights(name) for name in SPEC.needs({})}
    engine = LevitorEngine(Resources(weights=lambda name: folders.get(name) or no_weights(name)))
    rendered(engine, a_shot(**QUICK))
    del folders["levitor"]
    assert "'levitor' are not here" in refusal(rendered, engine, a_shot(**QUICK)).sentence
