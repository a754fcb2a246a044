"""The small video model: its loss, its sampler and its files."""

import json

import pytest
import torch
from torch import nn

from backend.training.base import Batch, Example, example_generator
from backend.training.tiny_model import (
    CHANGE_SCALE,
    TinyOptions,
    TinyVideoModel,
    carried_change,
    control_channels,
)
from backend.training.tiny_networks import to_blocks, to_pixels
from protocol.errors import ShotError

OPTIONS = TinyOptions(width=16, half=False)


def examples(count, frames=3, size=16):
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(count):
        maps = torch.zeros(frames, 3, size, size)
        for frame in range(frames):  # a point that goes down
            place = maps[frame, :, 4 + frame : 8 + frame, 4:8]
            place[:] = torch.tensor([200.0, 2.0, 90.0])[:, None, None]
        shown = torch.rand(frames, 3, size, size, generator=generator)
        made.append(Example(number=number, frames=shown, maps=maps))
    return made


def loss_of(model, batch, seed=0):
    return model.loss(batch, [example_generator(seed, number) for number in batch.numbers])


def awake(model):
    """Zero convolutions and the like drawn anew, so that every part is heard."""
    generator = torch.Generator().manual_seed(1)
    for network in model.networks().values():
        for value in network.parameters():
            if not value.any():
                value.data.normal_(0, 0.05, generator=generator)
    return model


def test_the_loss_of_an_example_is_the_same_in_any_batch():
    model, three = awake(TinyVideoModel(OPTIONS)), examples(3)
    together = loss_of(model, Batch.of(three))
    for number, one in enumerate(three):
        alone = loss_of(model, Batch.of([one]))
        assert torch.equal(alone.sigmas[0], together.sigmas[number])
        torch.testing.assert_close(alone.each[0], together.each[number], rtol=1e-4, atol=1e-5)
    assert float(together.mean.detach()) == pytest.approx(float(together.each.mean()))


def test_a_fresh_controlnet_changes_nothing_and_learns_from_the_first_step():
    model, batch = TinyVideoModel(OPTIONS), Batch.of(examples(2))
    nn.init.normal_(model.unet.conv_out.weight, std=0.1)
    without = TinyVideoModel(TinyOptions(width=16, half=False, control=False))
    without.unet.load_state_dict(model.unet.state_dict())
    told = loss_of(model, batch)
    assert torch.equal(told.each, loss_of(without, batch).each)
    told.mean.backward()
    assert model.controlnet is not None
    for layer in model.controlnet.outwards:
        assert isinstance(layer, nn.Conv2d)
        assert layer.weight.grad is not None
        assert layer.weight.grad.any()


def test_all_weights_are_trained():
    model = awake(TinyVideoModel(OPTIONS))
    loss_of(model, Batch.of(examples(2))).mean.backward()
    for name, network in model.networks().items():
        for key, value in network.named_parameters():
            assert value.grad is not None, f"{name}.{key}"
            assert value.grad.any(), f"{name}.{key}"


def test_a_clip_is_drawn_from_its_first_frame_and_its_control():
    model, batch = awake(TinyVideoModel(OPTIONS)), Batch.of(examples(2))

    def drawn(seed=0, **more):
        generators = [example_generator(seed, number) for number in (0, 1)]
        return model.sample(batch, generators, steps=3, **more)

    frames = drawn()
    assert frames.shape == batch.frames.shape
    assert torch.equal(frames[:, 0], batch.frames[:, 0])
    assert 0 <= frames.min() <= frames.max() <= 1
    assert torch.equal(frames, drawn())
    assert not torch.equal(frames, drawn(seed=1))
    assert not torch.equal(frames, drawn(control=False))


def test_the_first_frame_is_carried_along_by_its_points():
    size, generator = 32, torch.Generator().manual_seed(0)
    maps = torch.zeros(3, 3, size, size)
    near, far = 170.0, 51.0  # 1/z, of 2 and 12 scene units: magnified by about 2
    for frame, (row, column, disparity) in enumerate(((8, 8, far), (8, 18, far), (16, 16, near))):
        place = (frame, slice(None), slice(row - 2, row + 2), slice(column - 2, column + 2))
        maps[place] = torch.tensor([200.0, 2.0, disparity])[:, None, None]
    frames = torch.rand(3, 3, size, size, generator=generator)
    one = Example(number=0, frames=frames, maps=maps)
    channels = control_channels(Batch.of([one]))[0]
    assert channels.shape == (3, 17, size, size)
    picture = 2 * frames[0] - 1
    heat, depth, carried = channels[:, 12], channels[:, 13], channels[:, 14:]
    torch.testing.assert_close(heat, maps[:, 0] / 255)
    torch.testing.assert_close(depth, maps[:, 2] / 255)
    torch.testing.assert_close(carried[0], picture)
    torch.testing.assert_close(carried[1][:, :, 10:], picture[:, :, :-10])
    scale = (1 / 12 + near / 255 * (1 / 2 - 1 / 12)) / (1 / 12 + far / 255 * (1 / 2 - 1 / 12))
    at = (20.5 - 16) / scale + 8 - 0.5
    low = int(at)
    line = picture[:, :, low] + (at - low) * (picture[:, :, low + 1] - picture[:, :, low])
    value = line[:, low] + (at - low) * (line[:, low + 1] - line[:, low])
    torch.testing.assert_close(carried[2][:, 20, 20], value, rtol=1e-3, atol=1e-3)
    for item in (0, 1):  # of which there are no points
        other = channels[:, 2 + 5 * item :]
        assert not other[:, :2].any()
        assert torch.equal(other[:, 2:5], picture.expand(3, -1, -1, -1))


def test_what_is_seen_of_a_carried_picture_is_the_change_that_is_expected():
    batch = Batch.of(examples(2))
    control = to_blocks(control_channels(batch))
    first = to_blocks(2 * batch.frames[:, 0] - 1)
    seen = torch.zeros(2, 3, 3, 4, 8, 8)
    assert not carried_change(control, seen, first).any()
    seen[:, :, 2] = 1
    change = to_pixels(carried_change(control, seen, first)) / CHANGE_SCALE
    whole = change + 2 * batch.frames[:, :1] - 1
    torch.testing.assert_close(whole, control_channels(batch)[:, :, 14:17])
    seen[:, :, 1] = 1  # an object without points changes nothing
    assert torch.equal(to_pixels(carried_change(control, seen, first)) / CHANGE_SCALE, change)


def test_what_is_saved_is_loaded_again(tmp_path):
    model, batch = awake(TinyVideoModel(OPTIONS)), Batch.of(examples(1))
    model.save(tmp_path, model.networks())
    other = TinyVideoModel(OPTIONS, seed=5)
    assert not torch.equal(loss_of(other, batch).each, loss_of(model, batch).each)
    other.load(tmp_path)
    assert torch.equal(loss_of(other, batch).each, loss_of(model, batch).each)
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {
        f"{name}/{file}"
        for name in ("unet", "controlnet")
        for file in ("config.json", "model.safetensors")
    }
    assert TinyOptions(**json.loads((tmp_path / "unet/config.json").read_text())) == OPTIONS


def test_weights_of_another_width_or_none_are_refused(tmp_path):
    model = TinyVideoModel(OPTIONS)
    with pytest.raises(ShotError, match="cannot be read"):
        model.load(tmp_path)
    wider = TinyVideoModel(TinyOptions(width=24, half=False))
    wider.save(tmp_path, wider.networks())
    with pytest.raises(ShotError, match="do not fit"):
        model.load(tmp_path)


def test_in_two_stages_the_trunk_stays_as_it_is(tmp_path):
    trunk = awake(TinyVideoModel(TinyOptions(width=16, half=False, control=False)))
    trunk.save(tmp_path, trunk.networks())
    model = TinyVideoModel(TinyOptions(width=16, half=False, trunk=str(tmp_path)))
    assert model.controlnet is not None
    assert not any(value.requires_grad for value in model.unet.parameters())
    assert all(value.requires_grad for value in model.controlnet.parameters())
    ours = model.controlnet.encoder.state_dict()
    for key, value in trunk.unet.encoder.state_dict().items():
        assert torch.equal(value, ours[key])
    assert torch.equal(
        loss_of(model, Batch.of(examples(1))).each, loss_of(trunk, Batch.of(examples(1))).each
    )
    with pytest.raises(ValueError, match="nothing to train"):
        TinyVideoModel(TinyOptions(control=False, trunk=str(tmp_path)))
