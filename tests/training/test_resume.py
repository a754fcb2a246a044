"""A run that is killed and resumed is the run that was never killed, bit by bit."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from backend.training import checkpoints, recipes
from backend.training.config import differences, flat
from backend.training.run_folder import Place, starting_point
from backend.training.trainer import _check_one_start, train
from protocol.errors import ShotError
from tests.training.toy import ROOT, Told, ToySource, program, toy_build, toy_run

SAME = ("step", "loss", "average_loss", "learning_rate", "gradient_norm", "loss_by_noise_level")


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


WORKER = json.dumps({"accumulate": 4, "running.workers": 1, "running.checkpoint_every": 100})
"""The next step needs more parts than the worker has read ahead."""
STOPS = {
    "a step": ("{}", "--die-at-step", 5),
    "a checkpoint": ("{}", "--die-in-checkpoint", 6),
    "ctrl-c": (WORKER, "--interrupt-at-step", 2),
    "sigterm": (WORKER, "--interrupt-at-step", 2, "--interrupt-by", "SIGTERM"),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Folders of processes that were stopped, and (exit code, what all of them said) of each."""
    folder = tmp_path_factory.mktemp("stopped")
    codes, said = program([(folder / name, *stop) for name, stop in STOPS.items()])
    return folder, {name: (code, said) for name, code in zip(STOPS, codes, strict=True)}


@pytest.mark.parametrize("death", ["a step", "a checkpoint"])
def test_a_killed_run_resumes_bit_by_bit(whole, stopped, tmp_path, death):
    code, said = stopped[1][death]
    assert code == -signal.SIGKILL, said
    out = shutil.copytree(stopped[0] / death, tmp_path / "run")
    assert [line["step"] for line in metrics(out)] == list(range(1, STOPS[death][-1] + 1))
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


@pytest.mark.parametrize("sent", ["ctrl-c", "sigterm"])
def test_a_signal_to_the_whole_group_reaches_the_workers_too_and_leaves_a_checkpoint(stopped, sent):
    code, said = stopped[1][sent]
    assert code == 0, said
    assert checkpoints.steps(stopped[0] / sent) == [3]


PAIRS = """
import json, os, signal, socket, sys
import torch._dynamo  # each optimizer would import it
from tests.training import toy

for arguments in json.loads(sys.argv[1]):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    there = {}
    for rank in range(2):
        if not (child := os.fork()):
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": port}
            os.environ.update(ranks)
            toy.main(arguments)
            sys.stderr.flush()
            os._exit(0)
        there[child] = rank
    codes = [0, 0]
    while there:
        child, status = os.wait()
        codes[there.pop(child)] = os.waitstatus_to_exitcode(status)
        if status:
            for other in there:
                os.kill(other, signal.SIGKILL)
    print(json.dumps(codes), flush=True)
"""
"""Carries out runs of two processes, one run after the other; the death of one kills both.

Forked after the imports, which cost more than all the runs.
"""


def test_a_killed_run_of_two_processes_resumes_bit_by_bit(tmp_path):
    """Dropout draws from the hidden generator of each process, which goes on where it was."""
    whole, out = tmp_path / "whole", tmp_path / "run"
    both = ["{}", "--processes", "2"]
    runs = [
        [str(whole), *both],
        [str(out), *both, "--die-at-step", "5"],
        [str(out), *both, "--resume", "auto"],
    ]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    shared |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PAIRS, json.dumps(runs)],
        cwd=ROOT,
        env={**os.environ, **shared},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    died = [-signal.SIGKILL, -signal.SIGKILL]
    codes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert codes == [[0, 0], died, [0, 0]], done.stderr
    assert curve(out) == curve(whole)
    assert weights(out) == weights(whole)
    assert json.loads((out / "checkpoint-9" / "state.json").read_text())["processes"] == 2


class Killed(BaseException):
    """Ends a run where it is raised, as a kill does: nothing is written after it."""


@pytest.mark.parametrize(
    ("broken", "values"),
    [
        pytest.param((3,), {"running__workers": 1}, id="a worker, which changes nothing"),
        pytest.param((), {"accumulate": 2}, id="parts"),
        pytest.param((3, 7), {"faults__share": 0.5}, id="examples that cannot be read"),
        pytest.param((), {"model__nan_at": 17, "faults__nan": "skip"}, id="a loss that is none"),
    ],
)
def test_a_run_killed_twice_is_the_run_that_was_never_killed(tmp_path, broken, values):
    same = (*SAME, "left_out", "left_out_in_all", "skipped_steps_in_all")

    def lines(out):
        return [{name: line[name] for name in same} for line in metrics(out)]

    def part(out, last, **others):
        def on_step(entry):
            if entry["step"] == last:
                raise Killed

        run = replace(toy_run(**{**values, **others}), source=ToySource(broken=broken))
        place = Place(out=out, resume="auto", cpu=True)
        return train(run, place, toy_build(run), [Told(on_step)])

    in_process, out = {"running__workers": 0}, tmp_path / "run"
    part(tmp_path / "whole", None, **in_process)
    with pytest.raises(Killed):
        part(out, 5)
    with pytest.raises(Killed):
        part(out, 8, **in_process)
    assert part(out, None, **in_process).step == 9
    assert lines(out) == lines(tmp_path / "whole")
    assert weights(out) == weights(tmp_path / "whole")


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
    if harm != "unfinished":
        assert f"{last} cannot be read; it is now checkpoint-9.broken" in caplog.text
        assert (out / "checkpoint-9.broken" / "state.json").exists()
    assert curve(out) == curve(whole)
    assert weights(out) == weights(whole)


@pytest.mark.parametrize("harm", ["unreadable", "another version"])
def test_checkpoints_none_of_which_can_be_read_are_refused_and_left_alone(tmp_path, harm):
    out = unbroken(tmp_path / "run")
    last = out / "checkpoint-9"
    for state in out.glob("checkpoint-*/state.json"):
        if harm == "unreadable":
            state.rename(state.with_name("elsewhere"))
        elif state.parent == last:
            state.write_text(state.read_text().replace('"version": 1', '"version": 2'))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    run = toy_run()
    sentence = r"None of the \d checkpoints in" if harm == "unreadable" else "has version 2"
    for resume in ("auto", str(out)):
        with pytest.raises(ShotError, match=sentence):
            train(run, Place(out=out, resume=resume, cpu=True), toy_build(run))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_machines_that_see_different_folders_are_refused():
    other = SimpleNamespace(device="cpu", gather=lambda mine: torch.cat([mine, mine * 0]))
    with pytest.raises(ShotError, match=r"not go on from the same step: 500, 0\."):
        _check_one_start(other, Path("run"), 500)
    _check_one_start(other, Path("run"), 0)


def test_what_a_stopped_run_advises_is_taken_when_it_goes_on(tmp_path):
    """With --force where the advice says so, and only there."""
    out = tmp_path / "run"
    stopping = toy_run(model__nan_at=17)
    with pytest.raises(ShotError) as stopped:
        train(stopping, Place(out=out, cpu=True), toy_build(stopping))

    def taken(force, **values):
        run = toy_run(model__nan_at=17, **values)
        return starting_point(Place(out=out, resume="auto", force=force), flat(run), run.steps)

    free, forced = stopped.value.fix.split("or with --resume auto --force")
    assert "--resume auto --set faults.nan=skip" in free
    assert taken(False, faults__nan="skip").step == 3
    for option, values in {
        "--learning-rate": {"optimizer__learning_rate": 1e-4},
        "--precision": {"precision": "bf16"},
    }.items():
        assert option in forced
        assert taken(True, **values).step == 3
        with pytest.raises(ShotError, match="--force"):
            taken(False, **values)
    paper = flat(recipes.recipe("paper"))
    saving = {"model.checkpointing": False, "model.encode_chunk": 1, "faults.share": 0.5}
    assert differences(paper, {**paper, **saving}) == []
    assert differences(paper, {**paper, "accumulate": 2})


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
    there = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_step(entry):
        if entry["step"] == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
        if entry["step"] == 7:
            there.extend(checkpoints.steps(out))
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    try:
        train(run, Place(out=out, cpu=True), toy_build(run), [Told(on_step)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert there == [3]
    assert "No checkpoint of step 6: " in caplog.text
    assert "its lines wait" in caplog.text
    assert checkpoints.steps(out) == [3, 9]
    assert curve(out) == curve(whole)
    assert weights(out) == weights(whole)
