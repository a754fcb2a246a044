"""Depth Anything V2 on real photos, with a tiny network in the layouts of the real ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backend.images.photo import decode_photo
from backend.perception import convert_depth_anything, depth_anything, tiny
from protocol.errors import ShotError
from tests.perception import photos

SHAPES = ("landscape", "portrait", "square", "odd", "grayscale", "alpha", "16-bit")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_photo_gets_a_disparity_from_0_to_1_in_its_own_size(
    files, depth_model, shape
):
    pixels = decode_photo(files[shape], 640).pixels
    disparity = depth_model.disparity(pixels, 126)
    assert disparity.shape == pixels.shape[:2]
    assert disparity.dtype == np.float32
    assert (disparity.min(), disparity.max()) == (0.0, 1.0)


def test_the_authors_file_and_the_folder_give_the_same_depth_at_the_size_of_the_training(
    weights, depth_model
):
    other = depth_anything.load("original", weights / "depth.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        depth_model.disparity(pixels, 518), other.disparity(pixels, 518), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(427, 640), (640, 427), (301, 301), (77, 333)])
def test_elsewhere_they_differ_by_the_tenth_of_a_patch_and_by_nothing_else(
    weights, depth_model, shape, monkeypatch
):
    other = depth_anything.load("original", weights / "depth.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    folder, original = (model.disparity(pixels, 98) for model in (depth_model, other))
    assert 1e-4 < np.abs(folder - original).max() < 0.1
    monkeypatch.setattr(convert_depth_anything, "OFFSET", 0.0)
    np.testing.assert_allclose(folder, other.disparity(pixels, 98), atol=2e-5)


def cubic(x):
    """Keys' kernel with a = -0.75, as torch has it."""
    x = abs(x)
    if x < 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def stretched(line, length):
    """One axis of the authors' interpolation, number by number; ``line`` is (side, C)."""
    side, out = len(line), []
    for i in range(length):
        place = (i + 0.5) * side / (length + 0.1) - 0.5
        first = int(np.floor(place)) - 1
        out.append(
            sum(cubic(place - j) * line[min(max(j, 0), side - 1)] for j in range(first, first + 4))
        )
    return np.array(out)


@pytest.mark.parametrize(("rows", "columns"), [(5, 9), (37, 49), (3, 12), (7, 8)])
def test_positions_are_stretched_as_the_authors_do_it(rows, columns):
    side, channels = 7, 3
    positions = np.random.default_rng(0).normal(size=(1, 1 + side * side, channels))
    found = convert_depth_anything.interpolate_positions(
        torch.from_numpy(positions), rows, columns
    ).numpy()
    grid = positions[0, 1:].reshape(side, side, channels)
    down = np.stack([stretched(grid[:, x], rows) for x in range(side)], 1)
    plain = np.stack([stretched(down[y], columns) for y in range(rows)])
    assert found.shape == (1, 1 + rows * columns, channels)
    np.testing.assert_allclose(found[0, 1:].reshape(rows, columns, channels), plain, atol=2e-5)
    assert (found[0, 0] == positions[0, 0]).all()


def test_positions_of_a_photo_of_the_grids_size_stay_as_they_are():
    positions = torch.randn(1, 1 + 49, 3, generator=torch.Generator().manual_seed(0))
    assert convert_depth_anything.interpolate_positions(positions, 7, 7) is positions


def test_names_go_to_the_authors_and_back_without_a_change(tmp_path):
    state = tiny.depth_anything().state_dict()
    original = convert_depth_anything.to_original(state)
    back = convert_depth_anything.from_original(original, tmp_path)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    # Four blocks: three tensors for weights and three for biases become one each
    assert len(state) - len(original) == 4 * 4
    assert original["pretrained.blocks.0.attn.qkv.weight"].shape == (192, 64)
    assert torch.equal(
        original["depth_head.scratch.refinenet4.out_conv.weight"],
        state["neck.fusion_stage.layers.0.projection.weight"],
    )


@pytest.mark.parametrize(
    ("width", "layers", "heads", "looked_at"),
    [(384, 12, 6, [3, 6, 9, 12]), (768, 12, 12, [3, 6, 9, 12]), (1024, 24, 16, [5, 12, 18, 24])],
    ids=["small", "base", "large"],
)
def test_the_size_of_a_released_network_is_read_from_its_tensors(
    tmp_path, width, layers, heads, looked_at
):
    def empty(*shape):
        return torch.empty(shape, device="meta")

    stages = {384: (48, 96, 192, 384), 768: (96, 192, 384, 768), 1024: (256, 512, 1024, 1024)}
    features = {384: 64, 768: 128, 1024: 256}[width]
    state = {
        "pretrained.pos_embed": empty(1, 37 * 37 + 1, width),
        "pretrained.patch_embed.proj.weight": empty(width, 3, 14, 14),
        "depth_head.scratch.output_conv1.weight": empty(features // 2, features, 3, 3),
        "depth_head.scratch.output_conv2.0.weight": empty(32, features // 2, 3, 3),
    }
    for n in range(layers):
        state[f"pretrained.blocks.{n}.mlp.fc1.weight"] = empty(4 * width, width)
    for n, channels in enumerate(stages[width]):
        state[f"depth_head.projects.{n}.weight"] = empty(channels, width, 1, 1)
    config = convert_depth_anything.config_of(state, tmp_path)
    backbone = config.backbone_config
    assert (backbone.hidden_size, backbone.num_hidden_layers) == (width, layers)
    assert backbone.num_attention_heads == heads
    assert list(backbone.out_indices) == looked_at
    assert (backbone.image_size, backbone.patch_size, backbone.mlp_ratio) == (518, 14, 4)
    assert list(config.neck_hidden_sizes) == list(stages[width])
    assert (config.fusion_hidden_size, config.head_hidden_size) == (features, 32)


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (512, 288, 512, (910, 518)),
        (512, 288, 518, (924, 518)),
        (518, 518, 518, (518, 518)),
        (427, 640, 518, (518, 770)),
        (427, 640, 1036, (1036, 1554)),
        (16, 4096, 518, (518, 8 * 518)),
    ],
)
def test_both_sides_are_whole_patches_and_at_least_the_size(height, width, size, expected):
    """512 is the release's: levitor's 288 x 512 frame is looked at with 518 x 910."""
    assert depth_anything.network_size(height, width, size) == expected


def test_colours_go_in_as_red_green_blue_normalised():
    red = np.zeros((28, 28, 3), np.uint8)
    red[..., 0] = 255
    found = depth_anything.network_input(red, 28)
    assert found.shape == (1, 3, 28, 28)
    # (1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0 - 0.406) / 0.225
    np.testing.assert_allclose(found[0, :, 5, 5], [2.248908, -2.035714, -1.804444], rtol=1e-5)


class Probe(nn.Module):
    """Says that what is red is near."""

    def __init__(self, limit=10**9, change=lambda red: red):
        super().__init__()
        self.limit, self.change, self.seen = limit, change, []

    def forward(self, pixel_values):
        self.seen.append(tuple(pixel_values.shape[-2:]))
        if pixel_values[0, 0].numel() > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        red = self.change(pixel_values[:, 0] * 0.229 + 0.485)
        return type("Found", (), {"predicted_depth": red})


def ramp(height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(10, 250, width)[None]
    return pixels


def test_tiles_of_a_large_photo_fit_the_whole_although_each_has_its_own_scale():
    """Every look is stretched to 0..1, as a relative network may; fitted, the ramp is one again."""

    def stretched(red):
        return (red - red.min()) / (red.max() - red.min())

    probe = Probe(change=stretched)
    found = depth_anything.DepthAnything("probe", probe).disparity(ramp(1100, 2600), 126)
    # The whole, and tiles of at most 1024 that overlap by at least 256: 2 rows of 4
    assert len(probe.seen) == 1 + 2 * 4
    expected = np.linspace(0, 1, 2600)
    np.testing.assert_allclose(found, np.tile(expected, (1100, 1)), atol=0.012)
    assert np.abs(np.diff(found[500])).max() < 0.008  # one level of 240 is 0.004: no seams


def test_a_tile_shows_what_the_whole_is_too_coarse_for(monkeypatch):
    """With 126 for 2200 a pixel of the network is 17 of the photo, in a tile of 1024 it is 8."""
    pixels = ramp(2200, 2200)
    pixels[400:410, 300:310, 0] = 250
    model = depth_anything.DepthAnything("probe", Probe())
    fine = model.disparity(pixels, 126)
    monkeypatch.setattr(depth_anything, "TILING_SIDE", 2200)
    coarse = model.disparity(pixels, 126)
    assert fine[395:415, 295:315].max() > coarse[395:415, 295:315].max() + 0.1


def test_a_tile_that_contradicts_the_whole_says_nothing():
    reference = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert (depth_anything.fit_scale_shift(-reference, reference) == reference).all()
    assert (depth_anything.fit_scale_shift(np.ones((2, 2)), reference) == reference).all()
    np.testing.assert_allclose(
        depth_anything.fit_scale_shift(5 * reference - 7, reference), reference
    )


def test_short_memory_halves_the_size_and_says_so():
    notes = []
    probe = Probe(limit=300 * 300)
    found = depth_anything.DepthAnything("probe", probe).disparity(
        ramp(100, 100), 1036, notes.append
    )
    assert found.shape == (100, 100)
    assert probe.seen == [(1036, 1036), (518, 518), (266, 266)]
    assert len(notes) == 1
    assert "1036" in notes[0]
    assert "259" in notes[0]


def test_no_memory_at_all_is_one_sentence():
    with pytest.raises(ShotError, match=r"memory of 'cpu' does not suffice for probe") as caught:
        depth_anything.DepthAnything("probe", Probe(limit=0)).disparity(ramp(50, 50))
    assert caught.value.code == "memory"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda red: red * 0 + 3, "no depth in the photo: all 2500 pixels are at 3"),
        (lambda red: red * float("nan"), "2500 of 2500 depths that are not numbers"),
        (lambda red: red / 0, "depths that are not numbers"),
    ],
    ids=["constant", "NaN", "infinite"],
)
def test_depth_that_is_none_is_refused(change, says):
    with pytest.raises(ShotError, match=says) as caught:
        depth_anything.DepthAnything("probe", Probe(change=change)).disparity(ramp(50, 50), 56)
    assert caught.value.code == "depth"


@pytest.mark.parametrize("size", [0, 13, 5000])
def test_sizes_that_make_no_sense_are_refused(depth_model, size):
    with pytest.raises(ShotError, match=f"{size} pixels .* not between 14 and 2072"):
        depth_model.disparity(ramp(50, 50), size)


def test_the_photo_is_not_changed(depth_model):
    pixels = decode_photo(photos.flower(), 320).pixels
    before = pixels.copy()
    depth_model.disparity(pixels, 56)
    assert (pixels == before).all()
