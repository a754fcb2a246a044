"""`levitor evaluate shot`: the draft's own take obeys; what cannot be compared is a sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from backend.cli.main import main
from backend.files.video import encode_video
from protocol import content
from tests.evaluation.shots import FRAMES, HEIGHT, WIDTH, crossing_message, crossing_shot


@pytest.fixture
def files(tmp_path):
    shot = tmp_path / "a.shot"
    shot.write_bytes(content.pack_shot(*crossing_message()))
    return shot, tmp_path / "take.mp4"


def evaluate(shot, video, *more):
    return main(["evaluate", "shot", str(video), "--shot", str(shot), *map(str, more)])


def test_the_take_that_levitor_renders_obeys_its_shot(files, tmp_path, capsys):
    shot, video = files
    assert main(["render", str(shot), "-o", str(video)]) == 0
    capsys.readouterr()
    out, picture = tmp_path / "out.json", tmp_path / "worst.png"
    assert evaluate(shot, video, "--json", out, "--picture", picture) == 0
    found = json.loads(out.read_text())
    assert [row["id"] for row in found["instances"]] == [1, 2]
    for row in found["instances"]:
        assert row["centroid_error_px"] < 0.3
        assert row["mask_iou"] > 0.9
        assert row["frames_lost"] == 0
    assert found["occlusion_accuracy"] == 1
    assert found["background_drift_px"] < 0.2
    assert found["frames_compared"] == FRAMES - 1
    frames = [row["blender_frame"] for row in found["instances"][0]["frames"]]
    assert frames == [12, 14, 16]
    with Image.open(picture) as sheet:
        assert sheet.width > 2 * WIDTH
    said = capsys.readouterr().out
    assert "Red: 0." in said
    assert "proxy, not comparable" in said


def test_a_frozen_take_of_every_sample_is_off_by_the_true_displacement(files, tmp_path):
    shot, video = files
    still = crossing_shot().lift.image.repeat(FRAMES, 1, 1, 1)
    video.write_bytes(encode_video(still, 12.0))
    out = tmp_path / "out.json"
    assert evaluate(shot, video, "--json", out) == 0
    red, blue = json.loads(out.read_text())["instances"]
    assert red["centroid_error_px"] == pytest.approx((14 + 28 + 42) / 3, abs=0.3)
    assert blue["centroid_error_px"] == pytest.approx((4 + 8 + 12) / 3, abs=0.3)
    diagonal = float(np.hypot(HEIGHT, WIDTH))
    assert red["centroid_error_percent"] == pytest.approx(100 * 28 / diagonal, abs=0.3)
    assert [row["frame"] for row in red["frames"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("size", "frames", "sentence"),
    [
        pytest.param((HEIGHT, WIDTH), 5, "has 5 frames; takes of this shot have 7", id="length"),
        pytest.param((WIDTH, HEIGHT), 4, "96 x 144 pixels, which is not the shape", id="size"),
    ],
)
def test_a_take_of_another_shot_is_refused(files, capsys, size, frames, sentence):
    shot, video = files
    video.write_bytes(encode_video(torch.zeros(frames, 3, *size), 12.0))
    assert evaluate(shot, video) == 1
    assert sentence in capsys.readouterr().err


def test_what_is_no_video_or_no_shot_is_one_sentence(files, capsys, tmp_path):
    shot, video = files
    video.write_bytes(b"no video")
    assert evaluate(shot, video) == 1
    assert "is no video that can be read" in capsys.readouterr().err
    assert evaluate(shot, tmp_path / "nowhere.mp4") == 1
    assert "nowhere.mp4" in capsys.readouterr().err
    assert evaluate(video, video) == 1
    assert "no usable shot" in capsys.readouterr().err
    assert evaluate(shot, video, "--json", video) == 1
    assert "is read by this command" in capsys.readouterr().err
