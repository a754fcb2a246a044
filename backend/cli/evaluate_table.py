"""`levitor evaluate table`: a paper's table, to be compared with."""

from __future__ import annotations

import argparse


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = actions.add_parser("table", help="print the numbers that a paper's table has")
    parser.add_argument("recipe", metavar="RECIPE", help="as `levitor evaluate --list` names it")
    parser.add_argument("--csv", action="store_true", help="comma-separated, for programs")


def run(args: argparse.Namespace) -> int:
    """Print it, every row marked as published by another protocol."""
    from backend.evaluation.published import recipe_of
    from backend.evaluation.tables import comma_separated, markdown, table_of

    recipe = recipe_of(args.recipe)
    rows = table_of(recipe, {})
    if args.csv:
        print(comma_separated(rows), end="")
        return 0
    print(f"{recipe.title} ({recipe.source})\n")
    print(markdown(rows))
    return 0
