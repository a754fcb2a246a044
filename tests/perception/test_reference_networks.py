"""The authors' files through our loaders against both networks as their papers have them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from backend.perception import convert_depth_anything, depth_anything, segment_anything
from protocol.errors import ShotError
from tests.perception import reference_networks


def random_state(shapes, seed=0):
    """Tensors of those shapes; what scales is near 1, all else small."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        scales = len(shape) == 1 and name.endswith(("weight", "gamma"))
        fan_in = max(1, int(np.prod(shape[1:])))
        state[name] = 1 + 0.2 * noise if scales else noise * (2 / fan_in) ** 0.5
        if len(shape) == 1 and not scales:
            state[name] = 0.1 * noise
    return state


def depth_shapes(width=32, layers=4, features=16, stages=(8, 12, 16, 20), side=37, inner=4):
    """Every name of a file of Depth Anything V2, and the shape there."""
    shapes = {
        "pretrained.cls_token": (1, 1, width),
        "pretrained.mask_token": (1, width),
        "pretrained.pos_embed": (1, side * side + 1, width),
    }

    def layer(name, *shape, bias=True):
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    layer("pretrained.patch_embed.proj", width, 3, 14, 14)
    layer("pretrained.norm", width)
    for n in range(layers):
        block = f"pretrained.blocks.{n}"
        layer(f"{block}.norm1", width)
        layer(f"{block}.norm2", width)
        layer(f"{block}.attn.qkv", 3 * width, width)
        layer(f"{block}.attn.proj", width, width)
        layer(f"{block}.mlp.fc1", inner * width, width)
        layer(f"{block}.mlp.fc2", width, inner * width)
        shapes[f"{block}.ls1.gamma"] = shapes[f"{block}.ls2.gamma"] = (width,)
    head = "depth_head"
    for n, channels in enumerate(stages):
        layer(f"{head}.projects.{n}", channels, width, 1, 1)
        layer(f"{head}.scratch.layer{n + 1}_rn", features, channels, 3, 3, bias=False)
        fuse = f"{head}.scratch.refinenet{n + 1}"
        layer(f"{fuse}.out_conv", features, features, 1, 1)
        for unit in (1, 2):
            for conv in (1, 2):
                layer(f"{fuse}.resConfUnit{unit}.conv{conv}", features, features, 3, 3)
    layer(f"{head}.resize_layers.0", stages[0], stages[0], 4, 4)
    layer(f"{head}.resize_layers.1", stages[1], stages[1], 2, 2)
    layer(f"{head}.resize_layers.3", stages[3], stages[3], 3, 3)
    layer(f"{head}.scratch.output_conv1", features // 2, features, 3, 3)
    layer(f"{head}.scratch.output_conv2.0", 32, features // 2, 3, 3)
    layer(f"{head}.scratch.output_conv2.2", 1, 32, 1, 1)
    return shapes


def sam_shapes(
    width=32, layers=2, heads=2, side=64, patch=16, window=2, everywhere=(1,), out=32, iou=3
):
    """Every name of a file of Segment Anything, and the shape there."""
    grid = side // patch
    image, ask, decode = "image_encoder", "prompt_encoder", "mask_decoder"
    shapes = {
        f"{image}.pos_embed": (1, grid, grid, width),
        f"{ask}.pe_layer.positional_encoding_gaussian_matrix": (2, out // 2),
        f"{ask}.not_a_point_embed.weight": (1, out),
        f"{ask}.no_mask_embed.weight": (1, out),
        f"{decode}.iou_token.weight": (1, out),
        f"{decode}.mask_tokens.weight": (4, out),
    }

    def layer(name, *shape, bias=True):
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    def grown(name, before, after):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (before, after, 2, 2), (after,)

    layer(f"{image}.patch_embed.proj", width, 3, patch, patch)
    for n in range(layers):
        block, reach = f"{image}.blocks.{n}", grid if n in everywhere else window
        layer(f"{block}.norm1", width)
        layer(f"{block}.norm2", width)
        layer(f"{block}.attn.qkv", 3 * width, width)
        layer(f"{block}.attn.proj", width, width)
        layer(f"{block}.mlp.lin1", 4 * width, width)
        layer(f"{block}.mlp.lin2", width, 4 * width)
        shapes[f"{block}.attn.rel_pos_h"] = (2 * reach - 1, width // heads)
        shapes[f"{block}.attn.rel_pos_w"] = (2 * reach - 1, width // heads)
    layer(f"{image}.neck.0", out, width, 1, 1, bias=False)
    layer(f"{image}.neck.1", out)
    layer(f"{image}.neck.2", out, out, 3, 3, bias=False)
    layer(f"{image}.neck.3", out)
    for n in range(4):
        shapes[f"{ask}.point_embeddings.{n}.weight"] = (1, out)
    for n, shape in enumerate([(4, 1, 2, 2), (4,), (), (16, 4, 2, 2), (16,), (), (out, 16, 1, 1)]):
        if shape:
            layer(f"{ask}.mask_downscaling.{n}", *shape)
    body = f"{decode}.transformer"
    cross = ("cross_attn_token_to_image", "cross_attn_image_to_token")
    attentions = [(f"{body}.final_attn_token_to_image", out // 2)]
    for n in range(2):
        attentions.append((f"{body}.layers.{n}.self_attn", out))
        attentions += [(f"{body}.layers.{n}.{name}", out // 2) for name in cross]
        for norm in (1, 2, 3, 4):
            layer(f"{body}.layers.{n}.norm{norm}", out)
        layer(f"{body}.layers.{n}.mlp.lin1", 48, out)
        layer(f"{body}.layers.{n}.mlp.lin2", out, 48)
    for name, inside in attentions:
        for part in "qkv":
            layer(f"{name}.{part}_proj", inside, out)
        layer(f"{name}.out_proj", out, inside)
    layer(f"{body}.norm_final_attn", out)
    grown(f"{decode}.output_upscaling.0", out, out // 4)
    layer(f"{decode}.output_upscaling.1", out // 4)
    grown(f"{decode}.output_upscaling.3", out // 4, out // 8)
    mlps = [(f"{decode}.output_hypernetworks_mlps.{n}", out, out // 8, 3) for n in range(4)]
    mlps.append((f"{decode}.iou_prediction_head", 40, 4, iou))
    for name, inner, last, count in mlps:
        sizes = [out, *[inner] * (count - 1), last]
        for n in range(count):
            layer(f"{name}.layers.{n}", sizes[n + 1], sizes[n])
    return shapes


def close(found, wanted, share=2e-3):
    """Equal up to a share of how much the wanted values vary: single precision, many layers."""
    assert found.shape == wanted.shape
    assert wanted.std() > 0
    assert (found - wanted).abs().max() < share * wanted.std()


DEPTHS = {
    "4 blocks of 32": ({}, 1, (0, 1, 2, 3)),
    "4 heads of 16": ({"width": 64, "features": 32}, 4, (0, 1, 2, 3)),
    "12 blocks": ({"layers": 12}, 2, (2, 5, 8, 11)),
    "24 blocks": ({"layers": 24, "width": 48}, 3, (4, 11, 17, 23)),
    "another grid": ({"side": 5, "inner": 2}, 2, (0, 1, 2, 3)),
    "the width of Small": ({"width": 384}, None, (0, 1, 2, 3)),
}


@pytest.mark.parametrize(("shapes", "heads", "read"), DEPTHS.values(), ids=DEPTHS)
@torch.inference_mode()
def test_a_file_of_depth_anything_means_what_the_paper_says(tmp_path, shapes, heads, read):
    state = random_state(depth_shapes(**shapes))
    state["depth_head.scratch.output_conv2.2.bias"] += 9.0  # the last step cuts off below 0
    torch.save(state, tmp_path / "any name.ckpt.pth")
    network = convert_depth_anything.load(tmp_path / "any name.ckpt.pth", heads)
    for size in ((70, 98), (126, 84)):
        pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
        wanted = reference_networks.depth(state, pixels, heads or 6, read)
        close(network(pixel_values=pixels).predicted_depth, wanted)


def test_heads_that_were_never_published_are_said_or_assumed_aloud(tmp_path, caplog):
    state = random_state(depth_shapes(width=96, side=5))
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "x.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)

    def looked(heads):
        return depth_anything.load("mine", tmp_path / "x.pth", heads=heads).disparity(pixels, 70)

    with caplog.at_level(logging.WARNING):
        assumed = looked(None)
    assert "96 wide, as none that was published; 64 channels a head" in caplog.text
    assert (assumed == looked(1)).all()
    assert np.abs(assumed - looked(6)).max() > 1e-3
    with pytest.raises(ShotError, match="width of 96 cannot be shared by 5 heads"):
        looked(5)


SAMS = {
    "64 pixels": ({}, 8),
    "1024 pixels": ({"side": 1024, "window": 14}, 8),
    "windows wider than the grid": ({"window": 14, "everywhere": ()}, 8),
    "everywhere": ({"everywhere": (0, 1)}, 8),
    "4 blocks, 3 heads": ({"width": 48, "heads": 3, "layers": 4, "everywhere": (1, 3)}, 8),
    "2 heads in the decoder": ({"out": 64, "iou": 2}, 2),
    "patches of 8": ({"patch": 8, "window": 3}, 8),
}


@pytest.mark.parametrize(("shapes", "heads"), SAMS.values(), ids=SAMS)
@torch.inference_mode()
def test_a_file_of_segment_anything_means_what_the_paper_says(tmp_path, shapes, heads):
    state = random_state(sam_shapes(**shapes))
    torch.save(state, tmp_path / "any name.pth")
    asked = None if heads == 8 else heads
    model = segment_anything.load("mine", tmp_path / "any name.pth", decoder_heads=asked)
    side = shapes.get("side", 64)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    embedding = model.encode(pixels)
    wanted = reference_networks.embedded(state, model._preprocessed(pixels))
    close(embedding.features, wanted)
    clicks, on = np.array([[30.0, 50.0], [100.0, 12.0]]), np.array([1, 0])
    scaled = torch.from_numpy(clicks * side / 120).float()
    box = (10.0, 20.0, 80.0, 85.0)
    scaled_box = torch.tensor(box) * side / 120
    first = model.segment(embedding, clicks, on, None)
    before = torch.from_numpy(first.logits[0])
    for given, ours in (
        ({}, first),
        ({"box": scaled_box}, model.segment(embedding, clicks, on, box)),
        ({"before": before}, model.segment(embedding, clicks, on, None, first.logits[0])),
    ):
        logits, scores = reference_networks.masks(
            state, wanted, side, heads, scaled, torch.from_numpy(on), **given
        )
        order = scores.argsort(descending=True)
        close(torch.from_numpy(ours.logits), logits[order])
        np.testing.assert_allclose(ours.scores, scores[order], atol=1e-3)


def test_decoder_heads_that_do_not_share_its_width_are_refused(tmp_path):
    torch.save(random_state(sam_shapes()), tmp_path / "x.pth")
    with pytest.raises(ShotError, match="width of 16 cannot be shared by 3 heads"):
        segment_anything.load("mine", tmp_path / "x.pth", decoder_heads=3)
