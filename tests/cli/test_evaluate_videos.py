"""`levitor evaluate videos`, `table` and `--list`."""

from __future__ import annotations

import json
import math

import pytest
import torch

from backend.cli.main import main
from backend.evaluation.folder_scores import real_frames
from backend.evaluation.prepare_clips import PreparedOptions, prepare_clips
from backend.evaluation.prepared_clips import PreparedClips
from backend.evaluation.recipes.videos import encode_lossless
from backend.evaluation.trackers import LucasKanade
from backend.files.video import encode_video
from tests.datasets import tiny

SIZE, FRAMES = (16, 24), 3


@pytest.fixture
def folders(tmp_path):
    real, generated = tmp_path / "real", tmp_path / "generated"
    for folder, value in ((real, 0.2), (generated, 0.7)):
        (folder / "b").mkdir(parents=True)
        for name in ("a", "b/c"):
            clip = torch.full((FRAMES, 3, *SIZE), value)
            (folder / f"{name}.mp4").write_bytes(encode_video(clip, 8.0))
    return real, generated


def evaluate(real, generated, *more):
    return main(["evaluate", "videos", str(generated), "--real", str(real), *map(str, more)])


def test_a_folder_is_scored_by_names_with_intervals_and_every_clip(folders, tmp_path, capsys):
    out = tmp_path / "out.json"
    assert evaluate(*folders, "--json", out) == 0
    found = json.loads(out.read_text())
    assert list(found["clips"]) == ["a", "b/c"]
    assert found["clips"]["a"]["PSNR"] == pytest.approx(-20 * math.log10(0.5), abs=0.3)
    assert found["values"]["SSIM"]["count"] == 2
    assert "N = 2" in capsys.readouterr().out


def test_equal_videos_have_no_finite_psnr_which_json_has_no_number_for(folders, tmp_path, capsys):
    out = tmp_path / "out.json"
    assert evaluate(folders[0], folders[0], "--json", out) == 0
    found = json.loads(out.read_text())
    assert found["clips"]["a"]["SSIM"] == pytest.approx(1)
    assert found["clips"]["a"]["PSNR"] is None
    assert found["clips"]["a"]["EPE"] == 0
    assert found["values"]["PSNR"]["left_out"] == 2


def test_what_does_not_belong_together_is_one_sentence(folders, tmp_path, capsys):
    real, generated = folders
    assert evaluate(real, generated, "--inception", tmp_path / "no.pt") == 1
    assert "inception-2015-12-05.pt" in capsys.readouterr().err
    clip = torch.zeros(FRAMES + 1, 3, 32, 48)
    (generated / "a.mp4").write_bytes(encode_video(clip, 8.0))
    assert evaluate(real, generated) == 1
    assert "4 frames of 48 x 32, the clip 'a' has 3 of 24 x 16" in capsys.readouterr().err
    (generated / "a.mp4").write_bytes(encode_video(clip[:FRAMES], 8.0))
    assert evaluate(real, generated, "--size", "24x16") == 0
    assert evaluate(real, generated, "--size", "24") == 1
    (generated / "a.mp4").unlink()
    assert evaluate(real, generated) == 1
    assert "has no video for 1 of 2 names: a" in capsys.readouterr().err
    assert evaluate(real, tmp_path / "nowhere") == 1
    assert "has no videos" in capsys.readouterr().err


def test_prepared_clips_are_what_videos_are_compared_with(tmp_path, capsys):
    clips = tmp_path / "clips"
    options = PreparedOptions(frames=6, height=48, width=64, points="single", limit=2)
    prepare_clips(tiny.davis(tmp_path / "davis"), clips, options, LucasKanade())
    prepared, same = PreparedClips.open(clips), tmp_path / "same"
    same.mkdir()
    for name in prepared.names:
        frames = real_frames(prepared.clip(name))
        (same / f"{name}.mkv").write_bytes(encode_lossless(frames, 24.0))
    out = tmp_path / "out.json"
    command = ["evaluate", "videos", str(same), "--clips", str(clips)]
    assert main([*command, "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "no FID: FID needs inception-2015-12-05.pt" in said
    assert "Lucas-Kanade (proxy, not comparable)" in said
    found = json.loads(out.read_text())
    values = {metric: found["values"][metric]["mean"] for metric in found["values"]}
    assert values["SSIM"] == pytest.approx(1)
    assert [values[metric] for metric in ("ObjMC", "EPE", "Motion-Diff")] == [0, 0, 0]
    assert found["values"]["CamMC"]["count"] == 2
    assert found["clips_a_second"]["ObjMC, CamMC"] > 0
    assert main([*command, "--size", "64x48"]) == 1
    assert "Prepared clips have the size" in capsys.readouterr().err
    (same / f"{prepared.names[1]}.mkv").unlink()
    assert main(command) == 1
    assert f"no video for 1 of 2 names: {prepared.names[1]}" in capsys.readouterr().err


def test_the_papers_tables_are_listed_and_printed(capsys):
    assert main(["evaluate", "--list"]) == 0
    assert "levitor-1: " in capsys.readouterr().out
    assert main(["evaluate", "table", "levitor-1"]) == 0
    assert "| Multi-Points | LeviTor | - | 25.41 | 190.44 | 25.97 |" in capsys.readouterr().out
    assert main(["evaluate", "table", "levitor-9"]) == 1
    assert "There is no recipe 'levitor-9'" in capsys.readouterr().err
    assert main(["evaluate"]) == 2


def test_a_device_that_is_none_is_one_sentence(folders, capsys):
    assert evaluate(*folders, "--device", "cuda:x") == 1
    assert "There is no device 'cuda:x'" in capsys.readouterr().err
