"""The loop beyond resuming: what it stops for, workers and processes that change nothing."""

from __future__ import annotations

import errno
import json
import os
import socket
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file

from backend.training import optimizer, random_states
from backend.training.journal import Journal
from backend.training.latent_cache import LatentCache
from backend.training.run_folder import Place
from backend.training.trainer import train
from protocol.errors import ShotError
from tests.training.toy import (
    Told,
    ToyExamples,
    ToyModel,
    ToySource,
    program,
    toy_build,
    toy_run,
)


def trained(out, broken=(), **values):
    run = replace(toy_run(**values), source=ToySource(broken=broken))
    return train(run, Place(out=out, cpu=True), toy_build(run))


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out):
    return [line["loss"] for line in metrics(out)]


def weights(out, step=9):
    return load_file(out / f"checkpoint-{step}" / "denoiser" / "weights.safetensors")


def test_it_learns_and_says_how(tmp_path):
    progress = trained(tmp_path / "run", steps=60, running__checkpoint_every=60)
    lines = metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, 61))
    first, last = (sum(losses(tmp_path / "run")[part]) for part in (slice(20), slice(-20, None)))
    assert last < 0.6 * first
    assert progress.average_loss == lines[-1]["average_loss"]
    line = lines[-1]
    assert line["learning_rate"] == pytest.approx(0, abs=1e-5)
    assert line["gradient_norm"] > 0
    assert line["samples_per_second"] > 0
    assert line["memory_gb"] > 0
    several = line["loss_by_noise_level"]
    assert min(several.values()) <= line["loss"] <= max(several.values())


def test_no_finite_loss_stops_the_run_and_saves_what_did_it(tmp_path):
    with pytest.raises(ShotError, match=r"loss of step 3 is no finite number; examples 9 are in"):
        trained(tmp_path / "run", model__nan_at=9)
    folder = tmp_path / "run" / "nan-step-3"
    saved = load_file(folder / "batch.safetensors")
    assert {name: tuple(one.shape) for name, one in saved.items()} == {
        "frames": (1, 2, 3, 8, 8),
        "maps": (1, 2, 1, 8, 8),
    }
    said = json.loads((folder / "batch.json").read_text())
    assert [(one["number"], one["loss"]) for one in said["examples"]] == [(9, "nan")]
    assert losses(tmp_path / "run")[2] is None


def test_a_batch_that_cannot_be_read_again_is_said_beside_the_loss(tmp_path):
    class Once(ToyExamples):
        """A disk that goes away."""

        seen: ClassVar[set[int]] = set()

        def __getitem__(self, number):
            if number in self.seen:
                raise ShotError("video", "The disk is away.")
            self.seen.add(number)
            return super().__getitem__(number)

    run = toy_run(model__nan_at=9)
    with pytest.raises(ShotError, match=r"step 3 .* 9 could not be saved \(The disk is away"):
        train(
            run,
            Place(out=tmp_path / "run", cpu=True),
            lambda device: (ToyModel(run.model), Once(run.source, run.seed)),
        )


def test_a_watcher_that_fails_is_named_once_and_ends_no_run(tmp_path, caplog):
    closed = []

    def on_step(entry):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = toy_run()
    told = Told(on_step, close=lambda: closed.append(True))
    assert train(run, Place(out=tmp_path / "run", cpu=True), toy_build(run), [told]).step == 9
    assert caplog.text.count("Told: OSError ([Errno 28] No space left on device)") == 1
    assert closed == [True]


def test_a_journal_that_cannot_be_synced_costs_a_checkpoint_and_not_the_run(
    tmp_path, caplog, monkeypatch
):
    def sync(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Journal, "sync", sync)
    assert trained(tmp_path / "run").step == 9
    assert "No checkpoint of step 9: [Errno 5]" in caplog.text


def test_latents_that_cannot_be_kept_are_used_all_the_same(tmp_path, caplog):
    (tmp_path / "latents").write_text("a file where a folder should be")
    cache = LatentCache(tmp_path / "latents", "codec")
    ours = torch.rand(2, 4, 1, 1), torch.rand(2, 4, 1, 1)
    for _ in range(2):
        mean, deviation = cache.posterior(torch.rand(2, 3, 8, 8), lambda: ours)
        assert torch.equal(mean, ours[0].half().float())
        assert torch.equal(deviation, ours[1].half().float())
    assert caplog.text.count("Latents cannot be kept in") == 1


class EightBit(torch.optim.AdamW):
    """Hides state in ``state_dict()`` as bitsandbytes does since 0.44, and shares a table."""

    NESTED = "__bnb_optimizer_quant_state__"
    TABLE = torch.linspace(-1, 1, 256)

    def step(self, closure=None):
        super().step(closure)
        for kept in self.state.values():
            kept["qmap1"] = self.TABLE

    def state_dict(self):
        whole = super().state_dict()
        state = {
            index: {
                "step": kept["step"],
                self.NESTED: {what: one for what, one in kept.items() if what != "step"},
            }
            for index, kept in whole["state"].items()
        }
        return {**whole, "state": state}

    def load_state_dict(self, state_dict):
        state = {
            index: {
                **{k: v for k, v in kept.items() if k != self.NESTED},
                **kept.get(self.NESTED, {}),
            }
            for index, kept in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": state})


def test_state_in_8_bits_is_kept_and_read_back_though_its_state_dict_is_nested(tmp_path):
    def made(steps):
        parameters = {name: torch.nn.Parameter(torch.ones(3)) for name in ("a.weight", "a.bias")}
        adam = EightBit(parameters.values(), lr=0.1)
        for _ in range(steps):
            for number, one in enumerate(parameters.values()):
                one.grad = torch.full_like(one, number + 0.5)
            adam.step()
        return list(parameters), adam

    names, adam = made(3)
    optimizer.save_state(adam, names, tmp_path)
    assert "a.bias/exp_avg" in load_file(tmp_path / optimizer.TENSORS)
    _, fresh = made(0)
    optimizer.load_state(fresh, names, tmp_path)
    parameters = (one.param_groups[0]["params"] for one in (adam, fresh))
    for old, new in zip(*parameters, strict=True):
        ours, theirs = adam.state[old], fresh.state[new]
        assert ours.keys() == theirs.keys() == {"step", "exp_avg", "exp_avg_sq", "qmap1"}
        assert all(torch.equal(ours[what], theirs[what]) for what in ours)


def test_no_finite_loss_can_be_skipped_and_is_counted(tmp_path):
    progress = trained(tmp_path / "run", model__nan_at=9, faults__nan="skip")
    assert progress.skipped_steps == 1
    found = losses(tmp_path / "run")
    assert [index for index, loss in enumerate(found) if loss is None] == [2]
    assert metrics(tmp_path / "run")[-1]["skipped_steps_in_all"] == 1
    assert all(bool(torch.isfinite(one).all()) for one in weights(tmp_path / "run").values())


def test_too_little_memory_says_what_to_change(tmp_path):
    with pytest.raises(ShotError) as stopped:
        trained(tmp_path / "run", model__no_memory_at=5)
    assert "too small for step 2: 4 clips of 2 frames of 8 x 8 at once." in str(stopped.value)
    for change in ("--accumulate 2", "model.checkpointing=true", "bf16", "fewer frames"):
        assert change in stopped.value.fix


def test_examples_that_cannot_be_read_are_left_out_named_and_counted(tmp_path, caplog):
    progress = trained(tmp_path / "run", broken=(3,), accumulate=2)
    assert progress.left_out == 4
    lines = metrics(tmp_path / "run")
    assert [one for line in lines for one in line["left_out"]] == [3, 13, 23, 33]
    assert lines[-1]["left_out_in_all"] == 4
    assert "Example 13 is left out: Clip 13 is cut short." in caplog.text


@pytest.mark.parametrize(
    ("broken", "values", "sentence"),
    [
        pytest.param(
            range(10), {}, "32 of 32 examples cannot be read, the last 32 in a row", id="all"
        ),
        pytest.param((2, 5, 7), {"steps": 50}, "30 of 100 examples cannot", id="a large share"),
    ],
)
def test_too_many_of_them_stop_the_run(tmp_path, broken, values, sentence):
    with pytest.raises(ShotError, match=sentence):
        trained(tmp_path / "run", broken=tuple(broken), **values)


@pytest.mark.parametrize("broken", [(), (0, 1, 6)], ids=["all readable", "parts left empty"])
def test_a_batch_in_parts_is_the_same_batch(tmp_path, broken):
    values = {"model__dropout": 0.0, "broken": broken, "faults__share": 0.5}
    trained(tmp_path / "one", **values)
    trained(tmp_path / "parts", accumulate=4, **values)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    ours, theirs = weights(tmp_path / "parts"), weights(tmp_path / "one")
    for key in theirs:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-4, atol=1e-5)


def test_two_processes_are_one_process_with_twice_the_batch_of_each(tmp_path):
    """Started as torchrun starts them; the first loses all examples of one step."""
    values = {"model.dropout": 0.0, "steps": 5, "accumulate": 1, "faults.share": 0.5}
    broken = (4, 5)
    arguments = (tmp_path / "two", json.dumps(values))
    arguments += ("--broken", json.dumps(broken), "--processes", 2)
    codes, said = two_processes(arguments)
    if "EADDRINUSE" in said:  # another program took the port after it was found free
        codes, said = two_processes(arguments)
    assert codes == [0, 0], said
    trained(tmp_path / "one", broken=broken, **{k.replace(".", "__"): v for k, v in values.items()})
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert [one["left_out"] for one in metrics(tmp_path / "two")][:2] == [[], [4, 5]]
    ours, theirs = weights(tmp_path / "two", 5), weights(tmp_path / "one", 5)
    for key in theirs:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-4, atol=1e-5)
    states = load_file(tmp_path / "two" / "checkpoint-5" / "random.safetensors")
    assert {key.split(".")[0] for key in states} == {"process-0", "process-1"}
    assert not torch.equal(states["process-0.torch"], states["process-1.torch"])


def two_processes(arguments):
    """Exit codes of both, and what they said."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    return program(
        [arguments] * 2,
        [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)],
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        **{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        **{"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )


def test_another_count_of_processes_than_asked_for_is_refused(tmp_path):
    run = toy_run()
    with pytest.raises(ShotError, match="1 training processes are here, not 2") as refused:
        train(run, Place(out=tmp_path / "run", cpu=True, processes=2), toy_build(run))
    assert "torchrun --standalone --nproc_per_node" in refused.value.fix
    assert not (tmp_path / "run").exists()
    # Nothing of what was refused stays in this process: not its precision, not its device.
    trained(tmp_path / "after", precision="bf16", steps=1)


def test_asked_to_stop_it_writes_a_checkpoint_and_can_go_on(tmp_path):
    run = toy_run()
    steps = []
    progress = train(
        run,
        Place(out=tmp_path / "run", cpu=True),
        toy_build(run),
        [Told(steps.append)],
        lambda: len(steps) == 4,
    )
    assert progress.step == 5
    assert (tmp_path / "run" / "checkpoint-5").is_dir()
    resumed = Place(out=tmp_path / "run", resume="auto", cpu=True)
    train(run, resumed, toy_build(run))
    trained(tmp_path / "whole")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_half_precision_learns_too(tmp_path):
    trained(tmp_path / "run", precision="bf16")
    assert all(one.dtype == torch.float32 for one in weights(tmp_path / "run").values())
    trained(tmp_path / "full")
    assert losses(tmp_path / "run") != losses(tmp_path / "full")
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "full"), rel=0.05)


def test_hidden_generators_continue_where_they_were():
    import random

    import numpy as np

    def drawn():
        return torch.rand(3).tolist(), random.gauss(0, 1), np.random.normal(size=3).tolist()

    random_states.start(5)
    drawn()
    states = random_states.read()
    first = drawn()
    random_states.write(states)
    assert drawn() == first
    random_states.start(5, process=1)
    drawn()
    assert drawn() != first
