"""The commands of docs/evaluation.md are ones that the command line takes, and name real rows."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from backend.cli import evaluate
from backend.evaluation.published import RECIPES, recipe_of

MANUAL = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", MANUAL, re.DOTALL)
COMMANDS = [
    line
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("levitor evaluate")
]


def parsed(line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add_parser(parser.add_subparsers(dest="command"))
    words = shlex.split(line.replace("$NETWORKS", "").replace("$TRACKER", ""), comments=True)
    return parser.parse_args(words[1:])


def test_every_table_has_a_command():
    made = {parsed(line).action for line in COMMANDS}
    assert {recipe.name for recipe in RECIPES} <= made
    assert "prepare" in made


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_manual_names_rows_and_sets_that_there_are(line):
    args = parsed(line)
    if args.action not in {recipe.name for recipe in RECIPES}:
        return
    recipe = recipe_of(args.action)
    methods = {method for _, method in recipe.rows}
    for given in args.videos:
        name = given.partition("=")[0]
        part, _, method = name.partition("/")
        assert (part in recipe.sets and method in methods) or name in methods
    for given in args.engine:
        name = given.partition("=")[0]
        assert name in recipe.engines or name in {"draft", "levitor"}
    for given in args.clips:
        name, equals, _ = given.partition("=")
        assert not equals or name in recipe.sets
        assert equals or len(recipe.sets) == 1 or args.action == "conductor-1"
