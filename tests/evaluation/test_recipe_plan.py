"""Which rows of a table are made of what was given."""

from __future__ import annotations

import json

import pytest

from backend.evaluation.published import RECIPES, recipe_of
from backend.evaluation.recipes.plan import parsed_engines, parsed_videos, rows_of
from backend.evaluation.recipes.rendering import (
    checkpoint_folder,
    clip_seed,
    options_of,
    training_notes,
)
from backend.evaluation.recipes.videos import folder_name
from backend.evaluation.same_settings import check_same
from protocol.errors import ShotError

SINGLE, MULTI = "Single-Point", "Multi-Points"


def engines(recipe, *given):
    return parsed_engines(recipe_of(recipe), given, lambda engine, checkpoint: str)


def test_sets_and_engines_of_every_table_go_with_its_rows():
    for recipe in RECIPES:
        methods = {method for _, method in recipe.rows}
        assert set(recipe.engines) <= methods
        assert set(recipe.only) <= set(recipe.metrics)
        assert set(recipe.only.values()) <= set(recipe.sets)
        assert all(set(recipe.sets_of(setting)) <= set(recipe.sets) for setting in recipe.settings)
        assert recipe.control_metric in recipe.metrics


def test_the_frozen_row_is_always_there_and_levitor_is_the_papers_row():
    rows = engines("levitor-1", "levitor", "draft", "frozen")
    assert [row.method for row in rows] == ["frozen", "LeviTor", "draft"]
    keys = [row.key for row in rows_of(recipe_of("levitor-1"), rows, [], [SINGLE, MULTI])]
    assert keys[:4] == [
        (SINGLE, "frozen"),
        (MULTI, "frozen"),
        (SINGLE, "LeviTor"),
        (MULTI, "LeviTor"),
    ]


def test_a_row_of_a_training_of_its_own_takes_a_checkpoint():
    row = engines("levitor-2", "no depth, instance=runs/x")[1]
    assert (row.method, row.row.depth, row.row.instance) == ("no depth, instance", False, True)
    assert str(row.checkpoint) == "runs/x"
    with pytest.raises(ShotError, match=r"training of its own.*instance=CHECKPOINT"):
        engines("levitor-2", "no depth, instance")


def test_several_checkpoints_of_an_engine_are_several_rows():
    rows = engines("levitor-1", "levitor=runs/a", "levitor=runs/b")
    assert [row.method for row in rows[1:]] == ["LeviTor (runs/a)", "LeviTor (runs/b)"]
    with pytest.raises(ShotError, match="asked for twice"):
        engines("levitor-1", "levitor=runs/a", "levitor=runs/a")


def test_what_is_no_engine_is_a_sentence_with_the_names_that_are():
    with pytest.raises(ShotError, match=r"no engine, and no row.*draft, frozen, levitor"):
        engines("sgi2v-1", "SG-I2V")


def test_a_folder_says_which_set_of_clips_its_videos_are_of(tmp_path):
    recipe = recipe_of("levitor-1")
    given = parsed_videos(recipe, [f"{SINGLE}/DragAnything={tmp_path}"], [SINGLE, MULTI])
    assert (given[0].set, given[0].method) == (SINGLE, "DragAnything")
    rows = rows_of(recipe, [], given, [SINGLE, MULTI])
    assert [row.key for row in rows] == [(SINGLE, "DragAnything")]
    assert parsed_videos(recipe, [f"X={tmp_path}"], [MULTI])[0].set == MULTI
    for wrong, said in (
        (f"DragAnything={tmp_path}", "does not say which"),
        (f"{SINGLE}/X={tmp_path}/no", "no such folder"),
        ("X", "is no METHOD=FOLDER"),
    ):
        with pytest.raises(ShotError, match=said):
            parsed_videos(recipe, [wrong], [SINGLE, MULTI])


def test_a_method_keeps_the_setting_that_the_paper_gives_it(tmp_path):
    recipe = recipe_of("sgi2v-1")
    given = parsed_videos(recipe, [f"DragAnything={tmp_path}", f"Mine={tmp_path}"], [""])
    rows = rows_of(recipe, [], given, [""])
    assert [row.key for row in rows] == [("trained", "DragAnything"), ("", "Mine")]


def test_a_table_of_two_kinds_of_clips_has_one_row_of_both(tmp_path):
    recipe = recipe_of("conductor-1")
    given = [f"camera/DragNUWA={tmp_path}", f"object/DragNUWA={tmp_path}"]
    rows = rows_of(recipe, [], parsed_videos(recipe, given, ["camera", "object"]), recipe.sets)
    assert [(row.key, row.sets) for row in rows] == [(("", "DragNUWA"), ("camera", "object"))]


def test_a_row_is_rendered_or_given_but_not_both(tmp_path):
    recipe = recipe_of("levitor-S1")
    given = parsed_videos(recipe, [f"LeviTor={tmp_path}"], [""])
    with pytest.raises(ShotError, match="rendered here and given"):
        rows_of(recipe, engines("levitor-S1", "levitor"), given, [""])


def test_one_point_a_mask_is_what_the_engine_is_told():
    levitor = recipe_of("levitor-1").engines["LeviTor"]
    assert options_of(levitor, "single")["point_ratio"] == 0.1
    assert options_of(levitor, "multi")["point_ratio"] == 1.0
    assert options_of(levitor, "multi")["fit"] == "squash"


def test_a_checkpoint_of_a_run_is_its_average_where_there_is_one(tmp_path):
    (tmp_path / "controlnet").mkdir()
    assert checkpoint_folder(tmp_path) == tmp_path / "controlnet"
    (tmp_path / "ema" / "controlnet").mkdir(parents=True)
    assert checkpoint_folder(tmp_path) == tmp_path / "ema" / "controlnet"
    assert checkpoint_folder(tmp_path / "ema") == tmp_path / "ema" / "controlnet"
    with pytest.raises(ShotError, match="no checkpoint is there"):
        checkpoint_folder(tmp_path / "none")


def test_a_checkpoint_that_was_trained_otherwise_than_its_row_is_told_is_said(tmp_path):
    rows = recipe_of("levitor-2").engines
    folder = tmp_path / "checkpoint-20" / "controlnet"
    folder.mkdir(parents=True)
    assert training_notes(folder, rows["no depth, instance"]) == []
    (folder / "config.json").write_text("{}")  # diffusers' own
    trained = {"depth": False, "instance": True, "single_point": False}
    config = {f"source.control.{name}": value for name, value in trained.items()}
    (folder.parent / "config.json").write_text(json.dumps(config))
    for path in (folder, folder.parent):
        assert training_notes(path, rows["no depth, instance"]) == []
        assert training_notes(path, rows["depth, instance"]) == [
            "The checkpoint was trained without depth, and the row is told otherwise."
        ]
    single = recipe_of("levitor-S1").engines["trained with a single point"]
    assert any("without one point" in note for note in training_notes(folder, single))
    assert training_notes(None, single) == []


def test_every_clip_has_a_seed_of_its_own_that_no_other_clip_changes():
    assert clip_seed(0, "bear/0") == clip_seed(0, "bear/0")
    seeds = {clip_seed(seed, name) for seed in (0, 1) for name in ("bear/0", "bear/1")}
    assert len(seeds) == 4


def test_what_differs_from_the_run_before_is_listed(tmp_path):
    path = tmp_path / "made_by.json"
    check_same(path, {"seed": 0, "options": {"steps": 25}}, "Made otherwise")
    check_same(path, {"seed": 0, "options": {"steps": 25}}, "Made otherwise")
    with pytest.raises(
        ShotError, match=r"Made otherwise: seed was 0, now 1; options\.steps was 25"
    ):
        check_same(path, {"seed": 1, "options": {"steps": 30}}, "Made otherwise")
    path.write_text(json.dumps([1]))
    with pytest.raises(ShotError, match="cannot be read"):
        check_same(path, {"seed": 0}, "Made otherwise")


def test_a_rows_name_is_one_of_a_folder():
    assert folder_name("no depth, no instance") == "no-depth-no-instance"
    assert folder_name("../..") == "all"
