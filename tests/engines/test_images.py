"""Photo to networks and back: the resize of the training, precision, chunks and tiles."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    _resize_with_antialiasing,
)
from torch import nn

from backend.engines.svd.images import (
    CELL,
    OVERLAP,
    _ramp,
    _starts,
    decode_frames,
    encode_image,
    resize_smoothly,
)
from backend.engines.svd.load import load_base
from backend.engines.svd.preview import LatentPreview
from backend.engines.svd.tiny_weights import BASE_FOLDER


@pytest.fixture(scope="module")
def vae(tiny_weights):
    return load_base(tiny_weights / BASE_FOLDER, torch.float32).vae


@pytest.fixture
def half_vae(tiny_weights):
    return load_base(tiny_weights / BASE_FOLDER, torch.float16).vae


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Enlarging(nn.Module):
    """A codec whose frames are its first three channels, each cell 8 x 8 equal pixels."""

    config = {"scaling_factor": 1.0}  # noqa: RUF012
    dtype, device = torch.float32, torch.device("cpu")

    def decode(self, latents, num_frames):
        assert num_frames == len(latents)
        pixels = latents[:, :3].repeat_interleave(CELL, -2).repeat_interleave(CELL, -1)
        return SimpleNamespace(sample=pixels)


@pytest.mark.parametrize("size", [(224, 224), (288, 512), (512, 288), (64, 64), (100, 700), (9, 9)])
def test_resizing_is_the_pipelines_own(size):
    image = random(1, 3, *size)
    wanted = _resize_with_antialiasing(image, (224, 224))
    torch.testing.assert_close(resize_smoothly(image, 224), wanted, atol=1e-5, rtol=0)


def test_half_precision_is_left_for_encoding_and_comes_back(half_vae):
    """The encoder overflows in half precision; its latents are single precision's, rounded."""
    seen = []
    half_vae.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    image = random(3, 64, 64)
    latents = encode_image(half_vae, image)
    assert seen == [torch.float32]
    assert latents.dtype == torch.float16
    assert latents.shape == (4, 8, 8)
    assert {value.dtype for value in half_vae.parameters()} == {torch.float16}
    whole = half_vae.float().encode(image[None]).latent_dist.mode()[0]
    torch.testing.assert_close(latents, whole.half(), atol=0, rtol=0)


def test_half_precision_comes_back_after_an_error_too(half_vae):
    with pytest.raises(RuntimeError):
        encode_image(half_vae, random(5, 64, 64))
    assert {value.dtype for value in half_vae.parameters()} == {torch.float16}


def test_a_codec_that_bears_half_precision_is_left_in_it(half_vae):
    half_vae.register_to_config(force_upcast=False)
    seen = []
    half_vae.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    encode_image(half_vae, random(3, 64, 64))
    assert seen == [torch.float16]


@torch.inference_mode()
def test_chunks_and_tiles_give_frames_of_the_same_size(vae):
    latents = 0.2 * random(3, 4, 12, 20)
    whole = decode_frames(vae, latents)
    assert whole.shape == (3, 3, 96, 160)
    assert whole.dtype == torch.float32
    assert 0.0 <= float(whole.min()) < float(whole.max()) <= 1.0
    for chunk, tile in ((2, 0), (1, 0), (0, 10), (2, 16)):
        other = decode_frames(vae, latents, chunk, tile)
        assert other.shape == whole.shape
        # Even one of random weights, all of whose looks along time and over an edge count
        together = torch.stack([other.flatten(), whole.flatten()])
        assert float(torch.corrcoef(together)[0, 1]) > 0.3, (chunk, tile)


@torch.inference_mode()
def test_a_chunk_of_all_frames_or_a_tile_of_the_whole_frame_is_the_whole_decode(vae):
    latents = 0.2 * random(2, 4, 6, 8)
    whole = decode_frames(vae, latents)
    for chunk, tile in ((2, 0), (9, 0), (0, 8), (0, 32)):
        assert torch.equal(decode_frames(vae, latents, chunk, tile), whole), (chunk, tile)


@pytest.mark.parametrize(("chunk", "sizes"), [(0, 1), (2, 3), (5, 1), (1, 5)])
def test_every_chunk_is_told(chunk, sizes):
    told = []
    decode_frames(Enlarging(), random(5, 4, 2, 2), chunk, 0, lambda: told.append(1))
    assert len(told) == sizes


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (36, 64), (10, 90)])
@pytest.mark.parametrize("tile", [16, 32])
def test_tiles_of_a_codec_that_looks_nowhere_are_seamless(size, tile):
    latents = 0.3 * random(1, 4, *size)
    whole, tiled = (decode_frames(Enlarging(), latents, 0, t) for t in (0, tile))
    torch.testing.assert_close(tiled, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("length", [8, 32, 33, 40, 56, 57, 64, 200])
def test_tiles_cover_a_side_and_neighbours_share_the_overlap(length):
    tile = 32
    starts = _starts(length, tile)
    ends = [min(start + tile, length) for start in starts]
    assert (starts[0], ends[-1]) == (0, length)
    assert all(end - start >= OVERLAP for start, end in zip(starts[1:], ends, strict=False))
    assert starts == sorted(set(starts))
    # Weighted by their share of the sum, the tiles add up to one everywhere
    total = torch.zeros(length * CELL)
    for start, end in zip(starts, ends, strict=True):
        ramp = _ramp((end - start) * CELL, total)
        assert float(ramp.min()) > 0
        total[start * CELL : end * CELL] += ramp
    shares = torch.zeros(length * CELL)
    for start, end in zip(starts, ends, strict=True):
        part = slice(start * CELL, end * CELL)
        shares[part] += _ramp((end - start) * CELL, total) / total[part]
    torch.testing.assert_close(shares, torch.ones_like(shares))


def test_the_preview_of_the_photos_own_latents_looks_like_the_photo():
    """Latents that mix the colours, as a codec's do, and say something else besides."""
    photo = random(3, 8, 8, seed=1).sigmoid().repeat_interleave(8, 1).repeat_interleave(8, 2)
    small = photo[:, ::8, ::8]
    mixed = torch.einsum("cd,dhw->chw", 4 * random(4, 3, seed=2), small - 0.5)
    latents = (mixed + 0.05 * random(4, 8, 8, seed=3)) / 0.18215
    preview = LatentPreview(photo, latents, 0.18215)
    frames = preview.frames((0.18215 * latents).expand(3, -1, -1, -1))
    assert frames.shape == (3, 3, 8, 8)
    assert float((frames[1] - small).abs().mean()) < 0.03
    wild = preview.frames(1000 * random(2, 4, 8, 8))
    assert 0.0 <= float(wild.min()) <= float(wild.max()) <= 1.0


def test_the_preview_of_a_photo_of_one_colour_is_that_colour():
    photo = torch.full((3, 64, 64), 0.25)
    latents = torch.ones(4, 8, 8)
    frames = LatentPreview(photo, latents, 0.18).frames(0.18 * latents[None])
    torch.testing.assert_close(frames, torch.full((1, 3, 8, 8), 0.25), atol=2e-3, rtol=0)
