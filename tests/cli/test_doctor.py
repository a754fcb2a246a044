"""`levitor doctor`: the verdict first, then what would help, then the facts."""

from __future__ import annotations

import json

import pytest

from backend.cli import doctor
from backend.cli.main import main
from backend.engines.base import EngineSpec
from backend.engines.registry import specs
from backend.weights.table import TABLE
from protocol.frames import FrameRule
from tests.weights.layouts import fill

VIDEO = EngineSpec(
    name="video",
    label="Real Video",
    help="",
    frames=FrameRule(default=16),
    weights=("svd-xt", "levitor"),
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("LEVITOR_CONFIG", "LEVITOR_WEIGHTS", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "data" / "levitor" / "weights"


@pytest.fixture
def gather():
    """What is found where the draft and one engine with weights can render."""
    draft = tuple(spec for spec in specs() if not spec.needs({}))
    return lambda: doctor.gather((*draft, VIDEO))


def test_without_weights_the_first_line_says_what_works_all_the_same(gather):
    said = gather()["advice"]
    assert said[0] == (
        "You can draft now, without a GPU and without weights. Depth is a flat ground or a map of"
        " your own; picking goes by colour."
    )
    assert "levitor weights fetch depth-anything-v2-small sam2.1-hiera-small" in said[1]
    assert "283 MB (Apache-2.0)" in said[1]
    assert "For real video with Real Video, 7.2 GB:" in said[2]
    assert "levitor weights fetch svd-xt levitor" in said[2]
    assert "CC-BY-NC-4.0" in said[2]


def test_with_weights_it_says_what_they_are_used_for(gather, home):
    for name in ("svd-xt", "levitor", "depth-anything-v2-base", "sam-vit-base"):
        fill(home / name, name)
    fill(home / "sam2.1-hiera-large", "sam2.1-hiera-large", leave_out="config.json")
    found = gather()
    assert found["advice"][0] == (
        "You can draft now, without a GPU and without weights, and render real video with Real"
        " Video. Depth comes from Depth Anything V2 Base; picking is by Segment Anything Base."
    )
    assert "lacks config.json" in found["advice"][-1]
    assert not any("For better" in line or "For real video" in line for line in found["advice"])


@pytest.mark.parametrize(
    ("free", "says"),
    [
        (24.0e9, "24.0 GB are free."),
        (8.0e9, "8.0 GB are free; memory auto chooses what fits."),
        (4.0e9, "4.0 GB are free, too little: close other programs."),
    ],
)
def test_on_a_gpu_it_says_what_a_take_needs_of_it(gather, free, says):
    found = gather()
    found["device"] = "cuda"
    found["torch"]["gpus"] = [{"name": "A GPU", "memory": 24.0e9, "free": free}]
    found["engines"][-1]["takes"] = doctor._takes(VIDEO, "cuda")
    last = doctor.advice(found)[-1]
    assert last.startswith("On the A GPU, a take of 16 frames of 512 x 288 with Real Video takes")
    assert last.endswith(says)


def test_what_a_take_needs_is_more_than_its_weights_and_falls_with_the_preset():
    takes = doctor._takes(VIDEO, "cuda")
    denoisers, whole = 2 * (1.5246e9 + 0.682e9), 2 * sum(doctor.SVD_PARTS.values())
    assert takes["high"] > whole > takes["low"] > denoisers
    assert takes["high"] > takes["balanced"] >= takes["low"]
    assert doctor._takes(VIDEO, "cpu")["low"] > 2 * whole  # float32, and nowhere to offload to
    assert doctor._takes(specs()[0], "cpu") == {}


def test_the_report_fits_a_terminal_and_ends_well(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("You can draft now")
    assert sum(line.startswith("missing ") for line in lines) == len(TABLE) == 12
    prose = lines[: lines.index(next(line for line in lines if line.startswith("LeviTor")))]
    assert max(map(len, prose)) <= 100


def test_programs_get_the_same_as_json(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["engines"][0]["name"] == "draft"
    assert found["video"]["h264"][0] == "libx264"
    assert {row["state"] for row in found["weights"]} == {"missing"}
    assert found["perception"][0]["name"] == "ground plane"
    assert found["broken"] == []


def test_a_levitor_toml_that_is_wrong_is_one_sentence(tmp_path, capsys):
    (tmp_path / "levitor.toml").write_text("[server]\ndevice = 'tpu'")
    assert main(["doctor"]) == 1
    assert "There is no device 'tpu'" in capsys.readouterr().err
