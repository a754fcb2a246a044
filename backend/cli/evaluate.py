"""`levitor evaluate`: how good videos are and how well they obey; one file an action."""

from __future__ import annotations

import argparse
import importlib

ACTIONS = ("shot", "control")
"""Each in a module ``evaluate_NAME`` beside this one, with ``add_parser`` and ``run``."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand and its actions."""
    parser = subparsers.add_parser("evaluate", help="measure takes and engines")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name in ACTIONS:
        importlib.import_module(f"backend.cli.evaluate_{name}").add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Run the action that was asked for."""
    return importlib.import_module(f"backend.cli.evaluate_{args.action}").run(args)
