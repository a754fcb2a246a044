"""Videos, and files that are written whole."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from backend.files.video import encode_video, repeated
from backend.pixels import pixels_from_image


def decoded(video):
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return frames, stream.average_rate, stream.codec_context.name


def test_a_video_is_h264_of_the_right_length_and_looks_like_its_frames():
    smooth = torch.linspace(0, 1, 64).expand(5, 3, 48, 64).clone()
    smooth *= torch.linspace(0.5, 1.0, 5)[:, None, None, None]
    frames, rate, codec = decoded(encode_video(smooth, 24.0))
    assert (len(frames), rate, codec) == (5, 24, "h264")
    for shown, wanted in zip(frames, smooth, strict=True):
        assert np.abs(shown.astype(int) - pixels_from_image(wanted)).mean() < 3


def test_colours_come_back_as_they_were():
    """Strong colours tell the matrices apart: BT.601 would shift them by up to 30."""
    colours = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.8], [0.9, 0.8, 0.2]])
    picture = colours.T[:, None].repeat_interleave(16, 2).repeat(1, 32, 1)
    video = encode_video(picture.expand(3, -1, -1, -1), 24.0)
    with av.open(io.BytesIO(video)) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == 1
        shown = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    for n, colour in enumerate(colours):
        difference = shown[16, 16 * n + 8] - 255 * colour.numpy()
        assert np.abs(difference).max() < 6


def test_a_longer_video_repeats_its_frames_evenly():
    assert repeated(3, 9) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert repeated(4, 4) == [0, 1, 2, 3]
    assert repeated(5, 2) == [0, 4]
    frames, rate, _ = decoded(encode_video(torch.rand(3, 3, 32, 32), 24.0, length=9))
    assert (len(frames), rate) == (9, 24)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        *(
            pytest.param(
                whole / float(np.float32(1.001)),
                Fraction(1000 * whole, 1001),
                id=f"Blender's {whole} over 1.001",
            )
            for whole in (24, 30, 48, 60, 120)
        ),
        (25.0, Fraction(25)),
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (12.5, Fraction(25, 2)),
        (15 / 1, Fraction(15)),
        (1.0, Fraction(1)),
        (50 / 3, Fraction(50, 3)),
    ],
)
def test_the_file_has_the_exact_rate_that_is_meant(fps, rate):
    video = encode_video(torch.rand(2, 3, 32, 32), fps, length=100)
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.base_rate, stream.guessed_rate) == (rate,) * 3
        times = [packet.dts * packet.time_base for packet in container.demux(stream) if packet.size]
        assert [b - a for a, b in pairwise(times)] == [1 / rate] * 99


def test_the_same_frames_give_the_same_bytes():
    frames = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert encode_video(frames, 24.0) == encode_video(frames, 24.0)


def test_what_lies_in_unwritten_memory_changes_no_byte_of_a_video(tmp_path):
    """glibc fills what it hands out with another byte in each of these processes."""
    photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).movedim(-1, 0).float() / 255
    parts = [photo[:, 20 + 2 * i :, 30 + 3 * i :][:, :64, :96] for i in range(8)]
    torch.save(torch.stack(parts), tmp_path / "frames.pt")
    code = (
        "import hashlib, sys, torch\n"
        "from backend.files.video import encode_video\n"
        "frames = torch.load(sys.argv[1], weights_only=True)\n"
        "print(hashlib.sha256(encode_video(frames, 8.0)).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / "frames.pt"],
            env={**os.environ, "MALLOC_PERTURB_": filled},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for filled in ("0", "70", "140")
    }
    assert len(found) == 1
