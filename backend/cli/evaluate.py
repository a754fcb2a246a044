"""`levitor evaluate`: how good videos are and how well they obey; one file an action."""

from __future__ import annotations

import argparse
import importlib

from backend.cli import evaluate_recipe

ACTIONS = ("shot", "control", "videos", "prepare", "table")
"""Each in a module ``evaluate_NAME`` beside this one, with ``add_parser`` and ``run``."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand and its actions."""
    parser = subparsers.add_parser("evaluate", help="measure takes and engines")
    parser.add_argument("--list", action="store_true", help="name the papers' tables and leave")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name in ACTIONS:
        importlib.import_module(f"backend.cli.evaluate_{name}").add_parser(actions)
    evaluate_recipe.add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Run the action that was asked for."""
    if args.action is not None:
        if args.action in evaluate_recipe.NAMES:
            return evaluate_recipe.run(args)
        return importlib.import_module(f"backend.cli.evaluate_{args.action}").run(args)
    if not args.list:
        known = ", ".join(ACTIONS)
        print(f"levitor evaluate takes an action: {known}; or a table, which --list names.")
        return 2
    from backend.evaluation.published import RECIPES

    print("control: whether a training here learned to obey its control (levitor train tiny-cpu)")
    for recipe in RECIPES:
        print(f"{recipe.name}: {recipe.title}")
        print(f"    {recipe.source}; {', '.join(recipe.metrics)}")
        print(f"    needs {recipe.needs}")
        if len(recipe.sets) > 1:
            print(f"    sets of clips: {', '.join(recipe.sets)}")
        if recipe.engines:
            print(f"    rows that an engine here makes: {'; '.join(recipe.engines)}")
    return 0
