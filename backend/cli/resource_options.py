"""The command line options --device, --memory and --weights."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.resources import Resources
    from backend.weights.search import Search


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare --device alone, for commands whose networks are named by path."""
    parser.add_argument(
        "--device", help="auto, cpu or cuda (default: levitor.toml, or cuda where there is one)"
    )


def parse_device(args: argparse.Namespace) -> str:
    """Read --device, with ``levitor.toml`` as default, and resolve ``auto``.

    Raises:
        ShotError: the option or the file is wrong, or there is no such device.
    """
    from backend.config import checked_device
    from backend.device import choose
    from backend.weights.search import Search

    return choose(checked_device(args.device or Search.here([]).config.device))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --device, --memory and --weights."""
    add_device(parser)
    parser.add_argument(
        "--memory", help="auto, low, balanced or high: how much of it may be taken (default auto)"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="path of the weights of that name; may be given several times",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceOptions:
    """Resources by the command line or ``levitor.toml``."""

    device: str
    memory: str
    weights: tuple[str, ...]
    search: Search

    @property
    def resources(self) -> Resources:
        """For engines and perception models."""
        from backend.resources import Resources

        return Resources(device=self.device, memory=self.memory, weights=self.search.require)


def parse_resource_options(args: argparse.Namespace) -> ResourceOptions:
    """Read the options, with ``levitor.toml`` as default.

    Raises:
        ShotError: an option or the file is wrong.
    """
    from backend.config import checked_device, checked_memory
    from backend.weights.search import Search

    search = Search.here(args.weights)
    return ResourceOptions(
        device=checked_device(args.device or search.config.device),
        memory=checked_memory(args.memory or search.config.memory),
        weights=tuple(f"{name}={path}" for name, path in search.options.items()),
        search=search,
    )
