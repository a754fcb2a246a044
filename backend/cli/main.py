"""`levitor`: parses the command line and runs a subcommand; imports it only when it is run."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from backend.cli.console import escape_unencodable

COMMANDS = (
    "serve",
    "lift",
    "render",
    "control",
    "export",
    "data",
    "prepare",
    "train",
    "evaluate",
    "weights",
    "doctor",
    "demo",
    "bench",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; errors that the user can fix are one sentence and exit status 1."""
    escape_unencodable()
    parser = argparse.ArgumentParser(
        prog="levitor",
        description="Animate the things in a photo along 3D trajectories keyframed in Blender.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    modules = {name: importlib.import_module(f"backend.cli.{name}") for name in COMMANDS}
    for module in modules.values():
        module.add_parser(subparsers)
    args = parser.parse_args(argv)
    if args.version:
        from importlib.metadata import version

        print(f"levitor {version('levitor')}")
        return 0
    if args.command is None:
        parser.print_help()
        return 2
    try:
        return modules[args.command].run(args)
    except BrokenPipeError:  # whoever read the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from protocol.errors import ShotError

        if isinstance(error, OSError) and error.filename is not None:
            print(f"levitor: {error.filename}: {error.strerror}.", file=sys.stderr)
        elif isinstance(error, ShotError):
            print(f"levitor: {error}", file=sys.stderr)
        else:
            raise
        return 1
    except KeyboardInterrupt:
        print("levitor: stopped", file=sys.stderr)
        return 130
