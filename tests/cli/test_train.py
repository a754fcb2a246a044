"""`levitor train` as it is typed: what it leaves, what it says, and how it stops."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal

import av
import pytest
from safetensors.torch import load_file

from backend.cli.main import main
from backend.training.watch import SampleVideos

SMALL = (
    *("--batch", "2", "--workers", "0", "--device", "cpu"),
    *("--set", "source.scene.height=16", "--set", "source.scene.width=16"),
    *("--set", "source.scene.frames=2", "--set", "model.width=8"),
)


@pytest.fixture
def levitor(capsys):
    """The command; its status and what it said."""

    def run(*arguments):
        status = main(["train", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    assert main(["train", "tiny-cpu", "--out", str(out), *SMALL, *SPAN]) == 0
    return out


SPAN = ("--steps", "4", "--seed", "5", "--checkpoint-every", "2", "--sample-every", "2")


def losses(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def weights(out, step):
    return {
        str(file.relative_to(out)): {k: v.numpy().tobytes() for k, v in load_file(file).items()}
        for file in sorted((out / f"checkpoint-{step}").rglob("*.safetensors"))
    }


def test_the_recipes_are_listed_with_a_line_each(levitor):
    status, said, _ = levitor("--list")
    assert status == 0
    lines = said.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == ["paper", "single-gpu", "tiny-cpu", "no-depth", "no-instance", "single-point"]
    assert all(len(line) <= 100 for line in lines)


def test_a_run_leaves_a_line_a_step_and_checkpoints_without_pickles(finished):
    assert len(losses(finished)) == 4
    assert {path.name for path in finished.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}
    endings = {path.suffix for path in finished.glob("checkpoint-*/**/*") if path.is_file()}
    assert endings == {".safetensors", ".json"}
    config = json.loads((finished / "config.json").read_text())
    assert (config["recipe"], config["steps"], config["model"]) == ("tiny-cpu", 4, "TinyOptions")


def test_samples_show_clips_and_what_was_made_of_them_side_by_side(finished):
    assert [path.name for path in sorted((finished / "samples").iterdir())] == [
        "step-2.mp4",
        "step-4.mp4",
    ]
    with av.open(str(finished / "samples" / "step-4.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [frame.shape for frame in frames] == [(4 * 128, 2 * 128, 3)] * 2


def test_the_same_command_with_resume_goes_on_bit_by_bit(finished, tmp_path, levitor):
    out = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(out / "checkpoint-4")
    status, said, _ = levitor("tiny-cpu", "--out", out, *SMALL, *SPAN, "--resume", "auto")
    assert status == 0
    assert f"{out}: 4 of 4 steps are done" in said
    assert losses(out) == losses(finished)
    assert weights(out, 4) == weights(finished, 4)


def test_guesses_are_said_with_their_sources_when_the_run_starts(tmp_path, levitor):
    _, said, _ = levitor("no-depth", "--out", tmp_path / "run", *SMALL, "--steps", "1")
    assert "no-depth: 1 step of 2 examples, seed 0." in said
    for fixed in ("loss: EDM's, of the velocity", "depth channel: 8-bit", "objects: all of a clip"):
        assert f"  {fixed}" in said
    assert "  optimizer.weight_decay = 0.01  (SVD_Xtend's train_svd.py" in said
    assert "The best checkpoint is" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_writes_a_checkpoint(tmp_path, levitor, monkeypatch, number):
    def on_step(self, entry):
        if entry["step"] == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(SampleVideos, "on_step", on_step)
    before = signal.getsignal(number)
    status, said, _ = levitor("tiny-cpu", "--out", tmp_path / "run", *SMALL, "--steps", "9")
    assert status == 130
    assert "3 of 9 steps are done" in said
    assert "the same command with --resume auto goes on" in said
    assert (tmp_path / "run" / "checkpoint-3").is_dir()
    assert signal.getsignal(number) == before


def test_curves_and_samples_go_to_tensorboard(tmp_path, levitor):
    out = tmp_path / "run"
    options = ("--steps", "1", "--sample-every", "1", "--tensorboard")
    assert levitor("tiny-cpu", "--out", out, *SMALL, *options)[0] == 0
    (events,) = (out / "tensorboard").iterdir()
    written = events.read_bytes()
    for name in (b"loss_by_noise_level/", b"gradient_norm", b"samples_per_second", b"PNG"):
        assert name in written


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("huge",), "There is no recipe 'huge'. Choose of paper,", id="recipe"),
        pytest.param((), "No recipe is named. `levitor train --list`", id="no recipe"),
        pytest.param(("no-depth", "--base", "no-depth"), "no recipe 'no-depth'", id="base"),
        pytest.param(("tiny-cpu", "--steps", "0"), "steps is 0. Give a number", id="no steps"),
        pytest.param(("tiny-cpu", "--set", "steps"), "--set steps has no value", id="no value"),
        pytest.param(("tiny-cpu", "--set", "a=1"), "There is no option 'a'.", id="no option"),
        pytest.param(("tiny-cpu", "--processes", "2"), "1 training processes are here", id="alone"),
        pytest.param(("paper",), "learns from prepared clips, and none are named", id="no data"),
        pytest.param(("paper", "--data", "none"), "none holds no prepared clips", id="no clips"),
        pytest.param(("tiny-cpu", "--tiny"), "is tiny already. Leave --tiny out", id="tiny"),
        pytest.param(("tiny-cpu", "--data", "none"), "none has no photos", id="no photos"),
        pytest.param(
            ("tiny-cpu", "--set", "optimizer.eight_bit=true"),
            "needs bitsandbytes, which is not installed. Run `pip install bitsandbytes`",
            id="8 bits",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("bitsandbytes") is not None, reason="it is installed"
            ),
        ),
        pytest.param(
            ("tiny-cpu", "--wandb"),
            "--wandb needs wandb, which is not installed",
            id="wandb",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("wandb") is not None, reason="it is installed"
            ),
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, levitor, arguments, sentence):
    out = tmp_path / "run"
    status, _, said = levitor(*arguments, "--out", out, "--device", "cpu")
    assert status == 1
    assert said.startswith("levitor: ")
    assert said.count("\n") == 1
    assert sentence in said
    assert not (out / "metrics.jsonl").exists()


def test_a_run_without_a_folder_is_refused(levitor):
    assert "The run has no folder. Add --out DIR." in levitor("tiny-cpu")[2]


def test_a_folder_with_a_run_is_left_alone(finished, levitor):
    before = (finished / "metrics.jsonl").read_bytes()
    status, _, said = levitor("tiny-cpu", "--out", finished, *SMALL, *SPAN)
    assert status == 1
    assert "holds a run already, with 2 checkpoints. Go on with --resume auto" in said
    assert (finished / "metrics.jsonl").read_bytes() == before
