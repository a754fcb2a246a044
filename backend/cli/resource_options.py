"""The options that say what models may use: device, memory and where weights lie."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.resources import Resources
    from backend.weights.search import Search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --device, --memory and --weights."""
    parser.add_argument(
        "--device", help="auto, cpu or cuda (default: levitor.toml, or cuda where there is one)"
    )
    parser.add_argument(
        "--memory", help="auto, low, balanced or high: how much of it may be taken (default auto)"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where the weights of that name lie; may be given several times",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was said about this computer, on the command line or in ``levitor.toml``."""

    device: str
    memory: str
    weights: tuple[str, ...]
    search: Search

    @property
    def resources(self) -> Resources:
        """The same, as models are told it."""
        from backend.resources import Resources

        return Resources(device=self.device, memory=self.memory, weights=self.search.require)


def machine_of(args: argparse.Namespace) -> Machine:
    """What the options say, then what ``levitor.toml`` says.

    Raises:
        ShotError: an option or the file is wrong.
    """
    from backend.config import checked_device, checked_memory
    from backend.weights.search import Search

    search = Search.here(args.weights)
    return Machine(
        device=checked_device(args.device or search.config.device),
        memory=checked_memory(args.memory or search.config.memory),
        weights=tuple(f"{name}={path}" for name, path in search.options.items()),
        search=search,
    )
