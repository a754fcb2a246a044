"""Options of a run: read from text, compared, and what follows from them alone."""

from __future__ import annotations

import pytest

from backend.evaluation.control_run import SEED
from backend.seeds import mixed_seed
from backend.training import recipes
from backend.training.averages import decay
from backend.training.config import (
    AverageOptions,
    check,
    differences,
    flat,
    guesses,
    with_values,
)
from backend.training.loader import Split
from backend.training.progress import Progress
from backend.training.schedule import learning_rate
from protocol.errors import ShotError


@pytest.mark.parametrize("name", recipes.RECIPES | recipes.ABLATIONS)
def test_every_recipe_is_a_run_that_can_be_carried_out(name):
    config = recipes.settled(recipes.recipe(name))
    check(config, 1)
    assert config.recipe == name
    assert dict(recipes.listed())[name].endswith(".")


def test_an_ablation_differs_from_its_base_in_one_value():
    for base in ("tiny-cpu", "paper"):
        was = flat(recipes.recipe(base))
        changed = {
            name: differences(was, flat(recipes.recipe(name, base))) for name in recipes.ABLATIONS
        }
        assert {name: found[1:] for name, found in changed.items()} == {
            "no-depth": ["source.control.depth: True is now False"],
            "no-instance": ["source.control.instance: True is now False"],
            "single-point": ["source.control.single_point: False is now True"],
        }


def test_the_papers_numbers_are_the_papers():
    config = recipes.recipe("paper")
    assert (config.steps, config.batch, config.optimizer.learning_rate) == (200_000, 16, 1e-5)
    one_card = recipes.recipe("single-gpu")
    assert one_card.batch // one_card.accumulate == 1
    assert one_card.model.checkpointing


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "7", 7),
        ("optimizer.learning_rate", "2e-4", 2e-4),
        ("optimizer.eight_bit", "true", True),
        ("schedule.shape", "cosine", "cosine"),
        ("source.scene.objects", "1,3", [1, 3]),
        ("source.data", "photos", "photos"),
    ],
)
def test_a_value_is_read_as_what_it_replaces(name, text, value):
    config = recipes.recipe("tiny-cpu")
    assert flat(with_values(config, {name: text}))[name] == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("step", "7", r"no option 'step'. Did you mean steps"),
        ("optimizer.lr", "1", r"no option 'optimizer.lr'. Did you mean optimizer"),
        ("optimizer", "1", r"no option 'optimizer'"),
        ("steps.more", "1", r"no option 'steps.more'"),
        ("steps", "many", r"'many' is no value of steps, which is 3600"),
        ("schedule.shape", "square", r"Choose of constant, cosine"),
        ("optimizer.clip", "nan", r"finite"),
        ("optimizer.eight_bit", "yes", r"Write true or false"),
        ("source.scene.objects", "1", r"Write 2 values"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_sentence(name, text, sentence):
    with pytest.raises(ShotError, match=sentence):
        with_values(recipes.recipe("tiny-cpu"), {name: text})


@pytest.mark.parametrize(
    ("values", "processes", "sentence"),
    [
        ({"steps": "0"}, 1, "steps is 0. Give a number from 1 on"),
        ({"batch": "6"}, 4, "batch of 6 cannot be split between 4 processes in 1 parts"),
        (
            {"batch": "16", "accumulate": "3"},
            1,
            "batch of 16 cannot be split between 1 processes in 3 parts",
        ),
        ({"running.checkpoint_every": "0"}, 1, "checkpoint_every is 0"),
        ({"optimizer.beta1": "2"}, 1, "beta1 is 2.0. Give a number of less than 1"),
        ({"optimizer.beta2": "-0.5"}, 1, "beta2 is -0.5. Give a number from 0 on"),
        ({"optimizer.epsilon": "-1"}, 1, "epsilon is -1.0. Give a number from 0 on"),
        ({"schedule.floor": "1.5"}, 1, "floor is 1.5. Give a number of at most 1"),
        ({"average.width": "0.3"}, 1, "width is 0.3. Give a number of at most 0.28"),
        ({"average.decay": "1"}, 1, "decay is 1.0. Give a number of less than 1"),
        ({"faults.share": "20"}, 1, "share is 20.0. Give a number of at most 1"),
    ],
)
def test_a_run_that_cannot_be_carried_out_is_refused(values, processes, sentence):
    with pytest.raises(ShotError, match=sentence):
        check(with_values(recipes.recipe("tiny-cpu"), values), processes)


def test_how_a_run_is_carried_out_makes_it_no_other_run():
    config = recipes.recipe("tiny-cpu")
    other = with_values(config, {"running.workers": "3", "steps": "9000", "running.keep": "1"})
    assert differences(flat(config), flat(other)) == []


def test_a_guess_says_its_source_and_whether_it_was_changed():
    config = with_values(recipes.recipe("paper"), {"model.edm.dropout": "0.2"})
    said = {name: (value, source) for name, value, source in guesses(config)}
    value, source = said["model.edm.dropout"]
    assert value == 0.2
    assert source.startswith("chosen here; the default is 0.1: SVD_Xtend")
    assert said["model.edm.sigma_mean"] == (
        0.7,
        "Stable Video Diffusion (arXiv 2311.15127), appendix D",
    )


def test_what_the_released_code_alone_says_of_the_points_is_a_guess_with_a_source():
    said = {name: (value, source) for name, value, source in guesses(recipes.recipe("paper"))}
    for name, value in (("radius", 10), ("alpha", 50), ("k_max", 8)):
        assert said[f"source.control.{name}"][0] == value
        assert "the release" in said[f"source.control.{name}"][1]


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_wave():
    values = {"steps": "110", "schedule.warmup": "10", "optimizer.learning_rate": "1"}
    cosine = with_values(recipes.recipe("tiny-cpu"), {**values, "schedule.floor": "0.1"})
    rates = [learning_rate(cosine, step) for step in range(1, 111)]
    assert rates[:10] == pytest.approx([step / 11 for step in range(1, 11)])
    assert rates[10] == 1
    assert rates[60] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    constant = with_values(cosine, {"schedule.shape": "constant"})
    assert {learning_rate(constant, step) for step in range(11, 111)} == {1}


@pytest.mark.parametrize(("width", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_power_of_the_average_is_edm2s(width, gamma):
    """Values from EDM2, section 3.1."""
    options = AverageOptions(kind="power", width=width)
    assert decay(options, 1) == 0
    assert decay(options, 50) == pytest.approx((1 - 1 / 50) ** (gamma + 1), rel=1e-3)


def test_a_constant_average_forgets_sooner_at_first():
    options = AverageOptions(kind="constant", decay=0.99)
    assert decay(options, 1) == 0
    assert decay(options, 8) == 0.5
    assert decay(options, 5000) == 0.99


def test_numbers_of_one_seed_are_those_of_no_other():
    """What torch's generator keeps of them; a measurement's clips are in no run either."""
    kept = {
        seed: {mixed_seed(seed, number) % 2**32 for number in range(36_000)} for seed in range(3)
    }
    assert not kept[0] & {mixed_seed(1, number) % 2**32 for number in range(100)}
    assert mixed_seed(0, 1_000_008) != mixed_seed(1, 5)
    measured = {mixed_seed(SEED + seed, n) % 2**32 for seed in range(3) for n in range(200)}
    assert not measured & (kept[0] | kept[1] | kept[2])


def test_processes_and_parts_share_a_batch_without_a_gap():
    numbers = []
    for process in range(2):
        split = Split(batch=12, accumulate=3, processes=2, process=process)
        numbers += [number for part in split.parts(24) for number in part]
        assert [len(part) for part in split.parts(24)] == [2, 2, 2]
    assert numbers == list(range(24, 36))


def test_the_average_loss_is_the_mean_at_first_and_leaves_out_what_is_no_loss():
    progress = Progress()
    for loss in (4.0, 2.0, None, 3.0):
        progress = progress.after(loss, [True, True], loss is None)
    assert progress.average_loss == 3.0
    assert (progress.step, progress.next_number, progress.skipped_steps) == (4, 8, 1)
