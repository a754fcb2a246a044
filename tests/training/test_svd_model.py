"""A step of LeviTor's training with tiny networks in the real layout: what learns, what not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator
from torch.nn import functional as F

from backend.control_sources import ShotControl
from backend.engines.levitor.engine import LevitorEngine
from backend.engines.levitor.signal import encode
from backend.engines.levitor.spec import SPEC
from backend.engines.svd import images
from backend.engines.svd.load import load_base
from backend.engines.svd.pipeline import SVDPipeline
from backend.engines.svd.sampler import SamplerSettings
from backend.engines.svd.take_spec import ControlMaps, TakeSpec
from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER, make_tiny_weights
from backend.geometry.fit import fit_photo
from backend.resources import Resources
from backend.training.base import Batch, Example, Sampler, example_generator
from backend.training.edm_loss import EdmOptions, added_ids, draw
from backend.training.svd_model import SVDControlModel, SvdTrainOptions, initialised
from protocol.errors import ShotError
from tests.training.test_examples import a_shot

SIZE = (64, 64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    make_tiny_weights(folder)
    return folder


def resources(weights, levitor=None):
    folders = {"svd-xt": weights / BASE_FOLDER, "levitor": levitor or weights / CONTROL_FOLDER}
    return Resources(weights=folders.__getitem__)


@pytest.fixture(scope="module")
def model(weights):
    """One whose control has an effect, so that gradients go all the way."""
    start = weights / CONTROL_FOLDER
    return SVDControlModel(resources(weights), SvdTrainOptions(start=start))


def example(number, frames=2):
    made = torch.Generator().manual_seed(100 + number)
    return Example(
        number=number,
        frames=torch.rand(frames, 3, *SIZE, generator=made),
        maps=255 * torch.rand(frames, 3, *SIZE, generator=made).round(),
    )


def loss_of(model, *examples, seed=0):
    generators = [example_generator(seed, one.number) for one in examples]
    return model.loss(Batch.of(examples), generators)


def weights_of(network):
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def gradients(model, *examples):
    controlnet = model.networks()["controlnet"]
    controlnet.zero_grad()
    loss_of(model, *examples).mean.backward()
    return torch.cat([parameter.grad.flatten() for parameter in controlnet.parameters()])


def undropped(seed=0):
    """Numbers of examples of which neither embedding nor latents are left out."""
    numbers = (n for n in range(1000) if not any(drops(n, seed)))
    return [next(numbers) for _ in range(2)]


def drops(number, seed=0):
    one = draw(EdmOptions(), example_generator(seed, number))
    return one.drop_embedding, one.drop_latents


def test_the_loss_is_the_specifications_written_out(weights, model):
    """Of a clip of which nothing is left out, with the stock UNet's forward in the middle."""
    one = example(undropped()[0])
    base = load_base(weights / BASE_FOLDER, torch.float32)
    generator = example_generator(0, one.number)
    draws = draw(EdmOptions(), generator)
    first = one.frames[0] * 2 - 1
    noisy_photo = first + draws.condition_sigma * torch.randn(first.shape, generator=generator)
    with torch.no_grad():
        posterior = base.vae.encode(noisy_photo[None]).latent_dist
        photo = posterior.mean + posterior.std * torch.randn(1, 4, 8, 8, generator=generator)
        clean = images.encode_frames(base.vae, one.frames, generator)
        noise = torch.randn(clean.shape, generator=generator)
        sigma = draws.sigma
        noisy = clean + sigma * noise
        sample = torch.cat([noisy / (sigma**2 + 1) ** 0.5, photo.expand_as(noisy)], 1)[None]
        context = images.clip_embedding(base.image_encoder, first, base.clip_mean, base.clip_std)
        ids, time = added_ids(EdmOptions(), [draws]), torch.tensor(sigma).log() / 4
        assert ids.tolist()[0][:2] == [7.0, 127.0]
        told = (sample, time, context, ids)
        down, mid = model.networks()["controlnet"](*told, one.maps[None])
        velocity = base.unet(*told, down, mid)[0]
    target = (noise - sigma * clean) / (1 + sigma**2) ** 0.5
    found = loss_of(model, one)
    assert float(found.each) == pytest.approx(float(F.mse_loss(velocity, target)), rel=1e-4)
    assert float(found.mean.detach()) == pytest.approx(float(found.each))
    assert float(found.sigmas) == pytest.approx(sigma)


def test_gradients_go_into_the_whole_controlnet_and_nowhere_else(model):
    controlnet = model.networks()["controlnet"]
    controlnet.zero_grad()
    loss_of(model, *map(example, undropped())).mean.backward()
    unused = ("attn2.to_q", "attn2.to_k", "attn2.norm", "norm2")  # of a context of one token
    for name, parameter in controlnet.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any() or any(part in name for part in unused), name
    for name, network in model.frozen.items():
        for parameter in network.parameters():
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name


def test_the_way_down_of_the_frozen_unet_keeps_nothing_for_a_gradient(model):
    kept = set()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.add(t.data_ptr()), lambda _: _):
        loss_of(model, example(0))
    unet = model.frozen["unet"]
    down = {p.data_ptr() for part in (unet.down_blocks, unet.mid_block) for p in part.parameters()}
    up = {p.data_ptr() for p in unet.up_blocks.parameters()}
    assert kept & up
    assert not kept & down


def test_gradients_are_those_of_a_step_that_records_everything(weights, model):
    """The UNet's way down need not record, and nobody need attend to a context of one token."""
    options = SvdTrainOptions(start=weights / CONTROL_FOLDER, frozen_encoder=False)
    naive = SVDControlModel(resources(weights), options)
    naive.frozen["unet"].requires_grad_(True)
    naive.frozen["unet"].batch.one_token = False
    ours, theirs = (gradients(one, example(undropped()[0])) for one in (model, naive))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(ours.abs().max()))


def test_an_examples_loss_does_not_depend_on_the_batch_it_is_in(model):
    examples = [example(number) for number in (3, 4, 5)]
    with torch.no_grad():
        together = loss_of(model, *examples).each
        alone = torch.cat([loss_of(model, one).each for one in reversed(examples)]).flip(0)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_what_is_left_out_is_zeroed_and_the_control_never_is(model):
    """What the ControlNet is told of an example of each case."""
    told = []
    controlnet = model.networks()["controlnet"]
    hook = controlnet.register_forward_pre_hook(lambda network, given: told.append(given))
    cases = {drops(number): number for number in range(60)}
    assert len(cases) == 4
    examples = [example(number) for number in cases.values()]
    try:
        with torch.no_grad():
            loss_of(model, *examples)
    finally:
        hook.remove()
    samples, contexts, maps = (told[0][at] for at in (0, 2, 4))
    for index, (embedding, latents) in enumerate(cases):
        assert bool(contexts[index].any()) != embedding
        assert bool(samples[index, :, 4:].any()) != latents
        assert torch.equal(maps[index], examples[index].maps)


def test_a_fresh_controlnet_copies_the_unets_way_down_and_leaves_the_unet_alone(weights):
    fresh = SVDControlModel(resources(weights), SvdTrainOptions())
    controlnet, unet = fresh.networks()["controlnet"], fresh.frozen["unet"]
    for part in ("conv_in", "time_embedding", "down_blocks", "mid_block"):
        own, theirs = (getattr(net, part).state_dict() for net in (controlnet, unet))
        assert all(torch.equal(own[key], theirs[key]) for key in theirs), part
        assert all(
            a.data_ptr() != b.data_ptr() for a, b in zip(own.values(), theirs.values(), strict=True)
        )
    assert not torch.equal(
        controlnet.add_embedding.linear_1.weight, unet.add_embedding.linear_1.weight
    )
    own = controlnet.controlnet_cond_embedding.conv_in
    ours, same, different = (
        (initialised(controlnet, seed), own.weight.detach().clone())[1] for seed in (0, 0, 1)
    )
    assert torch.equal(ours, same)
    assert not torch.equal(ours, different)
    one = example(undropped()[0])
    blind = replace(one, maps=torch.zeros_like(one.maps))
    with torch.no_grad():
        assert torch.equal(loss_of(fresh, one).each, loss_of(fresh, blind).each)


def test_a_checkpointed_step_has_the_same_gradients(weights, model):
    options = SvdTrainOptions(start=weights / CONTROL_FOLDER, checkpointing=True)
    sparing = SVDControlModel(resources(weights), options)
    torch.testing.assert_close(*(gradients(one, example(0)) for one in (model, sparing)))


def test_latents_are_encoded_once_and_a_broken_file_again(weights, tmp_path, monkeypatch, caplog):
    options = SvdTrainOptions(start=weights / CONTROL_FOLDER, latents=tmp_path / "latents")
    first = SVDControlModel(resources(weights), options)
    plain = images.frame_posteriors
    encoded = []

    def counted(vae, frames, chunk=1):
        encoded.append(len(frames))
        return plain(vae, frames, chunk)

    monkeypatch.setattr(images, "frame_posteriors", counted)
    with torch.no_grad():
        before = loss_of(first, example(0)).each
        second = SVDControlModel(resources(weights), options)
        after = loss_of(second, example(0)).each
        assert encoded == [1, 2, 1]  # the noisy first frame is another one every time
        assert torch.equal(before, after)
        assert second.cache.size()[0] == 1
        assert second.cache.size()[1] == pytest.approx(2 * 2 * 4 * 2 * 8 * 8, abs=300)
        (file,) = (tmp_path / "latents").rglob("*.safetensors")
        file.write_bytes(file.read_bytes()[:100])
        assert torch.equal(loss_of(second, example(0)).each, before)
        assert encoded == [1, 2, 1, 1, 2]
    assert "encoded again" in caplog.text


def test_the_engine_renders_with_what_two_steps_have_trained(weights, tmp_path):
    model = SVDControlModel(resources(weights), SvdTrainOptions(edm=EdmOptions(dropout=0.0)))
    controlnet = model.networks()["controlnet"]
    optimiser = torch.optim.AdamW(controlnet.parameters(), lr=1e-2)
    for step in range(2):
        optimiser.zero_grad()
        loss_of(model, example(step)).mean.backward()
        optimiser.step()
    model.save(tmp_path, model.networks())
    assert sorted(path.name for path in (tmp_path / "controlnet").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    options = SPEC.completed({"width": 64, "height": 64, "steps": 1, "guidance_max": 1.0})
    signal = encode(ShotControl(a_shot()), options)
    trained = LevitorEngine(resources(weights, levitor=tmp_path))
    frames, blind = (
        trained.sample(
            a_shot().lift.image,
            signal,
            {**options, "control_scale": scale},
            0,
            lambda *told, **more: None,
        )
        for scale in (1.0, 0.0)
    )
    assert len(frames) == 2
    assert not torch.equal(frames, blind)
    before = weights_of(controlnet)
    with torch.no_grad():
        for parameter in controlnet.parameters():
            parameter.zero_()
    model.load(tmp_path)
    after = weights_of(controlnet)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_weights_of_another_base_are_refused(weights, model, tmp_path):
    with pytest.raises(ShotError, match="controlnet"):
        model.load(tmp_path)


def test_samples_are_what_the_engine_makes_and_leave_the_networks_as_they_were(weights, model):
    controlnet, batch = model.networks()["controlnet"], Batch.of([example(1)])
    before = weights_of(controlnet)
    networks = (controlnet, *model.frozen.values())
    asks = [p.requires_grad for network in networks for p in network.parameters()]
    assert isinstance(model, Sampler)
    made = model.sample(batch, [Generator().manual_seed(4)], 2)
    assert made.shape == batch.frames.shape
    pipeline = SVDPipeline(resources(weights), ("levitor",))
    spec = TakeSpec(
        image=batch.frames[0, 0],
        fit=fit_photo(SIZE, SIZE, "crop"),
        frames=2,
        seed=4,
        settings=SamplerSettings(fps=8, motion_bucket=127.0),
        steps=2,
        controls={"levitor": ControlMaps(maps=batch.maps[0])},
    )
    theirs = pipeline.sample(spec, lambda *step, **more: None)
    torch.testing.assert_close(made[0], theirs, rtol=0, atol=1e-4)
    assert controlnet.training
    assert all(torch.equal(before[key], value) for key, value in weights_of(controlnet).items())
    assert asks == [p.requires_grad for network in networks for p in network.parameters()]


def test_the_codec_stays_in_single_precision_and_samples_are_made_in_mixed(weights, tmp_path):
    options = SvdTrainOptions(
        start=weights / CONTROL_FOLDER, precision="bf16", latents=tmp_path / "latents"
    )
    half = SVDControlModel(resources(weights), options)
    assert half.frozen["vae"].dtype == torch.float32
    assert half.frozen["unet"].dtype == torch.bfloat16
    loss_of(half, example(0))
    assert "float32" in next((tmp_path / "latents").iterdir()).name
    made = half.sample(Batch.of([example(0)]), [Generator().manual_seed(3)], 1)
    assert bool(made.isfinite().all())
    assert float(made.std()) > 0
