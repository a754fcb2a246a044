"""`levitor bench` with tiny networks on a CPU: what a GPU's run prints and writes."""

from __future__ import annotations

import json

import pytest
import torch

from backend.benchmark.svd import Subject, Trial, kind_of
from backend.cli import bench
from backend.cli.main import main

TINY = ["bench", "--tiny", "--device", "cpu", "--frames", "3"]


def test_every_preset_is_timed_and_the_numbers_are_written(tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert main([*TINY, "--steps", "2", "--channels-last", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    for preset in ("high", "balanced", "low"):
        assert f"\n{preset}: " in said
    found = json.loads(out.read_text())
    assert [row["preset"] for row in found["presets"]] == ["high", "balanced", "low"]
    assert found["disagreement"] < 1e-4  # the same device
    for row in found["presets"]:
        assert row["whole"] == pytest.approx(row["photo"] + row["sampling"] + row["decoding"])
        assert row["sampling"] >= 2 * (row["unet"] + row["controlnet"]) + row["embedding"] > 0
        assert row["images_per_second"] == pytest.approx(3 / row["whole"])
        assert row["peak"] is None
    assert {"convolutions", "products", "attention", "norms"} <= set(found["kinds"])


def test_a_preset_that_does_not_fit_is_one_line_and_the_next_is_tried(monkeypatch):
    trial = Trial(device=torch.device("cpu"), dtype=torch.float32, frames=2, height=64, width=64)
    run = Subject.run
    errors = {
        "high": torch.OutOfMemoryError(),
        "balanced": RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
    }

    def full(self, plan, steps=None):
        if plan.preset in errors:
            raise errors[plan.preset]
        return run(self, plan, 1)

    monkeypatch.setattr(Subject, "run", full)
    said = []
    found = bench.measure(trial, ["high", "balanced", "low"], True, 790.0, said.append)
    assert [("step" in row) for row in found["presets"]] == [False, False, True]
    for preset in errors:
        line = next(line for line in said if line.startswith(preset))
        assert line.startswith(f"{preset}: out of memory, ")
        assert line.endswith(" GB reckoned")


def test_what_is_free_is_told_of_a_device_that_has_memory_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000_000_000, 8_000_000_000))
    assert bench.free_words(torch.device("cuda")) == ", 3.0 of 8.0 GB free"
    assert bench.free_words(torch.device("cpu")) == ""


def test_the_work_of_the_trained_size_is_what_a_floor_is_made_of():
    trial = Trial(device=torch.device("cpu"), dtype=torch.float32)
    assert trial.tflop == pytest.approx(729, abs=0.01)
    assert trial.tflop / bench.PEAK_TFLOPS == pytest.approx(0.92, abs=0.005)
    one = Trial(device=torch.device("cpu"), dtype=torch.float32, guidance=1.0, steps=10)
    assert one.tflop == pytest.approx(10 * 14.04 + 27)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--device", "cpu"], "A shot is 729 TFLOP, which a CPU works on for an hour or more."),
        (["--engine", "draft"], "'draft' has no networks to time."),
        (
            ["--presets", "high,top"],
            "There is no memory preset 'top'. Choose of high,balanced,low.",
        ),
        (["--size", "500x288"], "A size of '500x288' is not two multiples of 8 from 64."),
        (["--steps", "0"], "16 frames, 0 steps"),
        (["--device", "tpu"], "There is no device 'tpu'."),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(options, says, capsys):
    assert main(["bench", *options]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_default_says_how_to_try_it(capsys):
    assert main(["bench"]) == 1
    assert "--tiny" in capsys.readouterr().err


def test_operations_are_told_apart_by_their_names():
    assert kind_of("aten::_scaled_dot_product_flash_attention") == "attention"
    assert kind_of("aten::mkldnn_convolution") == "convolutions"
    assert kind_of("aten::addmm") == "products"
    assert kind_of("aten::native_group_norm") == "norms"
    assert kind_of("aten::copy_") == "copies"
    assert kind_of("aten::silu_") == "the rest"
