"""What all engines on Stable Video Diffusion share: one base, and the places where they differ."""

from __future__ import annotations

import gc
import shutil
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.contracts import Cancelled
from backend.engines import registry
from backend.engines.levitor.engine import LevitorEngine
from backend.engines.levitor.spec import SPEC as LEVITOR
from backend.engines.svd import shared_base
from backend.engines.svd.images import decode_frames, encode_frames
from backend.engines.svd.memory import plan_of
from backend.engines.svd.pipeline import SVDPipeline
from backend.engines.svd.take_spec import ControlMaps, LatentHook
from backend.geometry.fit import fit_photo
from backend.resources import Resources
from backend.session import Session
from protocol.errors import ShotError
from tests.engines.toy_svd import FRAMES, SIZE, STEPS, ToyEngine, a_photo, a_spec, take
from tests.engines.toy_svd import SPEC as TOY

LAST_SIGMA = 0.002


def resources_of(other):
    """New ones, whose preset, and so bits and steps of takes, is not what memory is free."""
    return Resources(weights=other.weights, memory="balanced")


@pytest.fixture
def resources(tiny_resources):
    """Of the test's own: nobody else holds the base."""
    return resources_of(tiny_resources)


@pytest.fixture(scope="module")
def toy(tiny_resources):
    return ToyEngine(resources_of(tiny_resources))


@pytest.fixture(scope="module")
def usual(toy):
    return take(toy)


@pytest.fixture
def loads(monkeypatch):
    """Folders of the bases that are read, in order."""
    read, real = [], shared_base.load_base

    def counted(folder, dtype):
        read.append(folder)
        return real(folder, dtype)

    monkeypatch.setattr(shared_base, "load_base", counted)
    return read


def some_maps(seed=0):
    return 255 * torch.rand(FRAMES, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def levitors_take(engine):
    signal = SimpleNamespace(maps=some_maps(), fit=fit_photo(SIZE, SIZE, "squash"))
    options = LEVITOR.completed({"steps": STEPS, "guidance_max": 1.5})
    return engine.sample(a_photo(), signal, options, 0, lambda *told, **more: None)


def base_of(engine):
    return (
        engine._pipeline.networks().base
        if isinstance(engine, LevitorEngine)
        else (engine.pipeline.networks().base)
    )


def hooked(before_step):
    return LatentHook(before_step=before_step)


def test_two_engines_read_the_base_once_and_sample_as_each_does_alone(
    resources, tiny_resources, loads, usual
):
    toy, levitor = ToyEngine(resources), LevitorEngine(resources)
    alone = levitors_take(LevitorEngine(resources_of(tiny_resources)))
    loads.clear()
    assert torch.equal(take(toy), usual)
    assert torch.equal(levitors_take(levitor), alone)
    assert torch.equal(take(toy), usual)
    assert len(loads) == 1
    assert base_of(toy) is base_of(levitor)


def test_a_release_takes_no_base_from_another_engine_and_the_last_one_lets_it_go(resources, loads):
    toy, levitor = ToyEngine(resources), LevitorEngine(resources)
    networks = levitor._pipeline.networks()
    held = weakref.ref(networks.base.unet)
    own = weakref.ref(networks.controlnets["levitor"])
    take(toy)
    del networks
    levitor.release()
    gc.collect()
    assert own() is None
    assert held() is not None
    take(toy)
    assert len(loads) == 1
    toy.release()
    gc.collect()
    assert held() is None


def test_an_engine_that_is_forgotten_holds_nothing(resources):
    toy = ToyEngine(resources)
    held = weakref.ref(base_of(toy).vae)
    del toy
    gc.collect()
    assert held() is None


def test_switching_engines_reads_no_base_twice_and_gives_back_what_is_the_others_alone(
    resources, loads, monkeypatch
):
    row = (TOY, "tests.engines.toy_svd", "tests.engines.toy_svd:ToyEngine")
    monkeypatch.setitem(registry._ENGINES, "toy", row)
    session, told = Session(resources), []
    levitor = session.engine("levitor", on_step=lambda *step: told.append("levitor"))
    first = levitors_take(levitor)
    controlnet = weakref.ref(levitor._pipeline.networks().controlnets["levitor"])
    session.engine("draft", on_step=lambda *step: told.append("draft"))
    assert session.engine("levitor") is levitor  # one without weights takes nothing from it
    del levitor
    toy = session.engine("toy", on_step=lambda *step: told.append("toy"))
    gc.collect()
    assert controlnet() is None
    take(toy)
    assert torch.equal(levitors_take(session.engine("levitor")), first)
    assert session.engine("draft") is session.engine("draft")
    assert told == ["levitor", "draft", "toy"]
    assert len(loads) == 1


def test_two_sessions_share_the_base_of_one_resources_and_no_more(resources, tiny_resources):
    one, other = (Session(resources).engine("levitor") for _ in range(2))
    apart = Session(Resources(weights=tiny_resources.weights)).engine("levitor")
    assert one is not other
    assert base_of(one) is base_of(other) is not base_of(apart)
    ours, theirs = (engine._pipeline.networks().controlnets["levitor"] for engine in (one, other))
    assert ours is not theirs


def test_an_engine_whose_weights_are_missing_leaves_the_one_before_as_it_was(
    tiny_resources, monkeypatch
):
    def svd_alone(name):
        if name == "levitor":
            raise ShotError("weights", "Not here.", "Fetch them.")
        return tiny_resources.weights(name)

    row = (TOY, "tests.engines.toy_svd", "tests.engines.toy_svd:ToyEngine")
    monkeypatch.setitem(registry._ENGINES, "toy", row)
    session = Session(Resources(weights=svd_alone))
    toy = session.engine("toy")
    base = base_of(toy)
    with pytest.raises(ShotError):
        session.engine("levitor")
    assert session.engine("toy") is toy
    assert base_of(toy) is base


def test_what_a_hook_gives_back_is_what_the_step_is_made_from(toy, usual):
    seen = []

    def watched(latents, step):
        seen.append((step.index, step.sigma, step.sigma_next, latents.clone()))
        return latents

    assert torch.equal(take(toy, latent_hook=hooked(watched)), usual)
    assert [index for index, *_ in seen] == list(range(STEPS))
    assert seen[0][1] == pytest.approx(700.0)
    assert [step[2] for step in seen[:-1]] == [step[1] for step in seen[1:]]
    assert seen[-1][2] == 0.0

    def zeros(latents, step):
        return torch.zeros_like(latents)

    # Whatever was before, the last step goes on from zeros
    other = take(toy, latent_hook=hooked(zeros))
    assert float((other - usual).abs().max()) > 1e-3

    def zeros_at_last(latents, step):
        return zeros(latents, step) if step.index == STEPS - 1 else latents

    assert torch.equal(take(toy, latent_hook=hooked(zeros_at_last)), other)


def test_a_hook_optimises_latents_through_features_by_gradients_and_leaves_nothing_on(toy, usual):
    name = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    losses = []

    def before_step(latents, step):
        if step.index != 1:
            return latents
        assert not torch.is_grad_enabled()
        with torch.enable_grad():
            wanted = latents.detach().requires_grad_(True)
            for _ in range(3):
                loss = step.denoiser.features(wanted, step.sigma, [name])[name].square().mean()
                (gradient,) = torch.autograd.grad(loss, wanted)
                losses.append(float(loss.detach()))
                moved = wanted - 0.5 * step.sigma * gradient / gradient.norm()
                wanted = moved.detach().requires_grad_(True)
                step.pulse()
        torch.set_grad_enabled(True)  # a hook that forgets to turn them off
        return wanted

    moved = take(toy, latent_hook=hooked(before_step))
    assert losses == sorted(losses, reverse=True)
    assert not moved.requires_grad
    assert float((moved - usual).abs().max()) > 1e-4
    assert not any(value.requires_grad for value in base_of(toy).unet.parameters())
    assert torch.equal(take(toy), usual)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_features_are_of_the_pass_that_sees_the_photo_and_the_control(resources, scale):
    pipeline = SVDPipeline(resources, ("levitor",))
    unet = pipeline.networks().base.unet
    seen, found = {}, {}
    # The first conditional answer of a step: guidance runs the unconditional pass before it
    hook = unet.up_blocks[0].register_forward_hook(
        lambda _, told, given: seen.setdefault(len(seen), given)
    )

    def before_step(latents, step):
        if step.index == 0:
            found.update(step.denoiser.features(latents, step.sigma, ["up_blocks.0"]))
        return latents

    controls = {"levitor": ControlMaps(maps=some_maps(), scale=scale)}
    spec = replace(a_spec(a_photo()), controls=controls, latent_hook=hooked(before_step))
    pipeline.sample(spec, lambda *told, **more: None)
    hook.remove()
    torch.testing.assert_close(found["up_blocks.0"], seen[2], atol=1e-4, rtol=1e-4)
    assert float((seen[1] - seen[2]).abs().max()) > 1e-3


def test_a_take_is_cancelled_in_the_middle_of_a_hook_and_the_next_one_is_whole(toy, usual):
    told = []

    def on_step(done, total, preview=None, phase=""):
        told.append((done, phase))
        if phase == "steering" and done == 1:
            raise Cancelled

    def before_step(latents, step):
        step.pulse()
        return latents * 2

    with pytest.raises(Cancelled):
        take(toy, on_step, latent_hook=hooked(before_step))
    assert told[-3:] == [(0, "steering"), (1, ""), (1, "steering")]
    assert torch.equal(take(toy), usual)


def test_a_hook_that_gives_latents_of_another_shape_is_told_so(toy):
    with pytest.raises(ValueError, match="before step 0 the latents became"):
        take(toy, latent_hook=hooked(lambda latents, step: latents[:1]))


def test_what_a_hook_takes_is_planned_before_the_take(tiny_resources, monkeypatch):
    """Of 40 GB free, one that needs 45 in 'high' and 1 in 'balanced' is made in 'balanced'."""
    engine = ToyEngine(Resources(weights=tiny_resources.weights))
    monkeypatch.setattr("backend.engines.svd.memory.free_bytes", lambda *_: 40 * 10**9)
    seen = []

    def activations(plan):
        seen.append(plan.preset)
        return 45 * 10**9 if plan == plan_of("high") else 10**9

    networks = engine.pipeline.networks()
    spec = a_spec(a_photo())
    assert engine.pipeline._plan(networks, spec).preset == "high"
    heavy = LatentHook(before_step=lambda latents, step: latents, activations=activations)
    spec = replace(spec, latent_hook=heavy)
    assert engine.pipeline._plan(networks, spec).preset == "balanced"
    assert set(seen) == {"high", "balanced"}


def test_a_take_that_starts_late_makes_the_steps_that_are_left_from_the_clip_it_is_given(toy):
    clip = a_photo().expand(FRAMES, -1, -1, -1)
    seen, told = [], []

    def before_step(latents, step):
        seen.append((step.index, latents, step))
        return latents

    def on_step(done, total, preview=None, phase=""):
        if not phase:
            told.append((done, total))

    for start in (0, STEPS - 1):
        seen.clear()
        told.clear()
        changes = {"start_clip": clip, "start_step": start, "latent_hook": hooked(before_step)}
        frames = take(toy, on_step, **changes)
        assert [index for index, *_ in seen] == list(range(start, STEPS))
        assert told == [(done, STEPS - start + 1) for done in range(1, STEPS - start + 2)]
        _, latents, step = seen[0]
        assert torch.equal(latents, step.start_latents + step.sigma * step.noise)
        assert all(one.noise is step.noise for _, _, one in seen)
        assert frames.shape == (FRAMES, 3, *SIZE)
    # At its lowest noise level a take is the clip, as far as the codec keeps it
    assert step.sigma == pytest.approx(LAST_SIGMA)
    vae = base_of(toy).vae
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, *SIZE), step.noise.shape):  # the photo's noise and the take's come first
        torch.randn(shape, generator=generator)
    with torch.no_grad():
        decoded = decode_frames(vae, encode_frames(vae, clip, generator))
    assert float(decoded.std()) > 0.01
    torch.testing.assert_close(frames, decoded, atol=0.02, rtol=0)


@pytest.mark.parametrize("start", [1, STEPS])
def test_a_take_that_starts_late_from_nothing_or_after_its_end_is_refused(toy, start):
    with pytest.raises(ValueError, match=f"step {start} of {STEPS} starts from"):
        take(toy, start_step=start)


def test_two_controlnets_add_up_and_none_is_the_base_alone(tiny_resources):
    folders = {name: tiny_resources.weights(name) for name in ("svd-xt", "levitor")}
    folders["second"] = folders["levitor"]
    shared = Resources(weights=folders.__getitem__, memory="balanced")
    pipeline = SVDPipeline(shared, ("levitor", "second"))

    def made(**scales):
        controls = {name: ControlMaps(maps=some_maps(), scale=s) for name, s in scales.items()}
        spec = replace(a_spec(a_photo()), controls=controls)
        return pipeline.sample(spec, lambda *told, **more: None)

    whole, none = made(levitor=1.0), made()
    torch.testing.assert_close(made(levitor=0.5, second=0.5), whole, atol=1e-4, rtol=0)
    assert torch.equal(made(levitor=0.0, second=0.0), none)
    assert float((whole - none).abs().max()) > 1e-3
    assert torch.equal(take(ToyEngine(shared)), none)


def test_a_replaced_controlnet_is_read_anew_and_the_others_are_kept(
    tiny_resources, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "backend.engines.svd.pipeline.Compiled", lambda network: SimpleNamespace(network=network)
    )
    folders = {name: tiny_resources.weights(name) for name in ("svd-xt", "levitor")}
    for name in ("second", "third"):
        folders[name] = tmp_path / name
        shutil.copytree(folders["levitor"], folders[name])
    own = ("levitor", "second", "third")
    pipeline = SVDPipeline(Resources(weights=folders.__getitem__), own)
    before, compiling = pipeline.networks(), replace(a_spec(a_photo()), compile=True)
    compiled = pipeline._form(before.controlnets["levitor"], "levitor", compiling)
    pipeline._form(before.controlnets["second"], "second", compiling)
    (weights,) = folders["second"].rglob("*.safetensors")
    state = load_file(weights)
    save_file({key: value * 0 for key, value in state.items()}, weights)
    loads = []
    after = pipeline.networks(lambda: loads.append("load"))
    assert loads == ["load"]
    assert after.base is before.base
    for name in ("levitor", "third"):
        assert after.controlnets[name] is before.controlnets[name]
    assert not any(bool(value.any()) for value in after.controlnets["second"].parameters())
    again = pipeline._form(after.controlnets["second"], "second", compiling)
    assert again.network is after.controlnets["second"]
    assert pipeline._compiled["levitor"] is compiled


def test_the_room_of_a_controlnet_that_a_take_does_not_use_is_not_free_to_it(
    tiny_resources, monkeypatch
):
    folders = {name: tiny_resources.weights(name) for name in ("svd-xt", "levitor")}
    folders["second"] = folders["levitor"]
    pipeline = SVDPipeline(Resources(weights=folders.__getitem__), ("levitor", "second"))
    networks, counted = pipeline.networks(), []
    monkeypatch.setattr(
        "backend.engines.svd.memory.free_bytes", lambda device, *own: counted.extend(own)
    )
    controls = {"second": ControlMaps(maps=some_maps())}
    pipeline._plan(networks, replace(a_spec(a_photo()), controls=controls))
    base, second = networks.base, networks.controlnets["second"]
    assert counted == [base.image_encoder, base.vae, base.unet, second]
