"""`levitor evaluate RECIPE`, from the command line to the files."""

from __future__ import annotations

import json

import pytest

from backend.cli.main import main
from tests.evaluation.clip_sets import conductor


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments), "--device", "cpu", "--depth-model", "offline"])


@pytest.fixture
def clips(tmp_path):
    return conductor(tmp_path / "assets")


def test_a_table_is_made_and_says_what_is_missing(clips, tmp_path, capsys):
    out = tmp_path / "out"
    inputs = tmp_path / "inputs"
    assert evaluate("conductor-1", "--clips", clips, "-o", out, "--inputs", inputs) == 0
    said = capsys.readouterr().out
    assert f"{inputs}: first frame and trajectories of 2 clips" in said
    assert (inputs / "object" / "car.json").is_file()
    assert "|  | Image Conductor | - | 209.74 | 1116.17 | 33.49 | 42.38 | published" in said
    assert "inception-2015-12-05.pt" in said
    assert "i3d_torchscript.pt" in said
    assert "--reference" in said
    found = json.loads((out / "results.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["frozen"]
    assert found["rows"][0]["values"]["CamMC"]["mean"] > 20
    assert set(found["clips"]) == {"camera", "object"}


def test_what_cannot_be_is_a_sentence(clips, tmp_path, capsys):
    out = tmp_path / "out"
    for arguments, said in (
        (["--engine", "warp"], "'warp' is no engine"),
        (["--engine", "draft=x"], "The engine 'draft' has no weights"),
        (["--limit", "0"], "leaves no clip"),
        (["--devices", "tpu"], "names no devices"),
        (["--inception", tmp_path / "no.pt"], "no.pt is no file"),
        (["--videos", f"A={tmp_path}"], "does not say which of the sets"),
    ):
        assert evaluate("conductor-1", "--clips", clips, "-o", out, *arguments) == 1
        assert said in capsys.readouterr().err
    assert evaluate("conductor-1", "--clips", clips, "-o", tmp_path / "out.json") == 1
    assert evaluate("levitor-1", "--clips", tmp_path, "-o", out) == 1
    assert "does not say which set it is" in capsys.readouterr().err
    assert not out.exists()


def test_the_list_names_what_a_table_is_made_of(capsys):
    assert main(["evaluate", "--list"]) == 0
    said = capsys.readouterr().out
    assert "    sets of clips: Single-Point, Multi-Points\n" in said
    assert "engine here makes: no depth, no instance; depth, no instance; no depth" in said
