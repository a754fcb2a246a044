"""A run that is killed and resumed is the run that was never killed, bit by bit."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from backend.training import checkpoints
from backend.training.run_folder import Place
from backend.training.trainer import train
from protocol.errors import ShotError
from tests.training.toy import Told, toy_build, toy_run

ROOT = Path(__file__).parents[2]
SAME = ("step", "loss", "average_loss", "learning_rate", "gradient_norm", "loss_by_noise_level")


def program(*arguments, **environment):
    """The toy as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.training.toy", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def curve(out):
    return [{name: line[name] for name in SAME} for line in metrics(out)]


def weights(out, step=9):
    """The bytes of every tensor of a checkpoint, by file and key."""
    folder = out / f"checkpoint-{step}"
    return {
        (str(file.relative_to(folder)), key): value.numpy().tobytes()
        for file in sorted(folder.rglob("*.safetensors"))
        for key, value in load_file(file).items()
    }


def unbroken(out, **values):
    run = toy_run(**values)
    train(run, Place(out=out, cpu=True), toy_build(run))
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return unbroken(tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("death", [("--die-at-step", 5), ("--die-in-checkpoint", 6)])
def test_a_killed_run_resumes_bit_by_bit(whole, tmp_path, death):
    out = tmp_path / "run"
    killed = program(out, "{}", *death)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [line["step"] for line in metrics(out)] == list(range(1, death[1] + 1))
    assert not (out / "checkpoint-6").exists()
    run = toy_run()
    progress = train(run, Place(out=out, resume="auto", cpu=True), toy_build(run))
    assert progress.step == 9
    assert curve(out) == curve(whole)
    assert weights(out) == weights(whole)
    assert not list(out.glob("*.part"))


def test_a_run_killed_before_its_first_checkpoint_begins_again(whole, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    lines = (whole / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (out / "metrics.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:30])
    run = toy_run()
    train(run, Place(out=out, resume="auto", cpu=True), toy_build(run))
    assert curve(out) == curve(whole)


@pytest.mark.parametrize("harm", ["cut", "missing", "unfinished"])
def test_a_broken_checkpoint_is_named_and_the_one_before_is_used(whole, tmp_path, caplog, harm):
    out = unbroken(tmp_path / "run", running__keep=3)
    last = out / "checkpoint-9"
    file = last / "denoiser" / "weights.safetensors"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-7])
    elif harm == "missing":
        file.unlink()
    else:
        last.rename(out / "checkpoint-9.part")
    run = toy_run()
    with caplog.at_level(logging.INFO):
        train(run, Place(out=out, resume="auto", cpu=True), toy_build(run))
    assert f"{last}" in caplog.text
    assert f"goes on from {out / 'checkpoint-6'}" in caplog.text
    assert curve(out) == curve(whole)
    assert weights(out) == weights(whole)


def test_a_finished_run_resumed_changes_nothing(whole):
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    run = toy_run()
    assert train(run, Place(out=whole, resume="auto", cpu=True), toy_build(run)).step == 9
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_more_steps_of_a_constant_rate_are_the_longer_run(tmp_path):
    constant = {"schedule__shape": "constant", "schedule__warmup": 0}
    long = unbroken(tmp_path / "long", **constant)
    out = unbroken(tmp_path / "short", steps=5, **constant)
    run = toy_run(**constant)
    train(run, Place(out=out, resume="auto", cpu=True), toy_build(run))
    assert curve(out) == curve(long)
    assert weights(out) == weights(long)


def test_another_folder_goes_on_from_a_checkpoint_and_leaves_it_alone(whole, tmp_path):
    out, run = tmp_path / "on", toy_run()
    train(run, Place(out=out, resume=str(whole / "checkpoint-6"), cpu=True), toy_build(run))
    assert [line["step"] for line in metrics(out)] == [7, 8, 9]
    assert curve(out) == curve(whole)[6:]
    assert weights(out) == weights(whole)


def test_other_options_are_listed_and_refused_unless_forced(tmp_path, caplog):
    out = unbroken(tmp_path / "run", steps=3)
    run = toy_run(optimizer__clip=0.5, batch=2, running__keep=9)
    place = Place(out=out, resume="auto", cpu=True)
    with pytest.raises(ShotError) as refused:
        train(run, place, toy_build(run))
    assert "batch: 4 is now 2; optimizer.clip: 1.0 is now 0.5." in str(refused.value)
    assert "--force" in refused.value.fix
    forced = Place(out=out, resume="auto", cpu=True, force=True)
    progress = train(run, forced, toy_build(run))
    assert (progress.step, progress.next_number) == (9, 3 * 4 + 6 * 2)
    assert "optimizer.clip: 1.0 is now 0.5" in caplog.text


@pytest.mark.parametrize(
    ("resume", "steps", "sentence"),
    [
        pytest.param("no", 9, "holds a run already", id="a folder with another run"),
        pytest.param("auto", 8, "has 9 steps already, and --steps is 8", id="not enough steps"),
        pytest.param("nowhere", 9, "no checkpoint, and no run", id="a folder without one"),
        pytest.param("checkpoint-6", 9, "holds later steps: checkpoint-9", id="an earlier one"),
    ],
)
def test_what_a_folder_does_not_allow_is_a_sentence(whole, resume, steps, sentence):
    named = str(whole / resume) if "-" in resume else resume
    before = sorted(whole.rglob("*"))
    run = toy_run(steps=steps)
    with pytest.raises(ShotError, match=sentence):
        train(run, Place(out=whole, resume=named, cpu=True), toy_build(run))
    assert sorted(whole.rglob("*")) == before


def test_the_last_ones_and_the_best_one_are_kept(tmp_path):
    out = unbroken(tmp_path / "run", running__checkpoint_every=1, running__keep=2)
    found = checkpoints.complete(out)
    averages = {line["step"]: line["average_loss"] for line in metrics(out)}
    best = checkpoints.best(found)
    assert best.step == min(averages, key=lambda step: (averages[step], -step))
    assert {one.step for one in found} == {8, 9, best.step}


def test_a_disk_that_takes_no_checkpoint_keeps_the_one_before_and_the_run_goes_on(
    whole, tmp_path, caplog
):
    """The limit on a file's size is a real error of the system in the middle of a real write."""
    out, run = tmp_path / "run", toy_run()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_step(entry):
        if entry["step"] == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
        if entry["step"] == 7:
            assert checkpoints.steps(out) == [3]
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    try:
        train(run, Place(out=out, cpu=True), toy_build(run), [Told(on_step)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "No checkpoint of step 6: " in caplog.text
    assert "its lines wait" in caplog.text
    assert checkpoints.steps(out) == [3, 9]
    assert curve(out) == curve(whole)
    assert weights(out) == weights(whole)
