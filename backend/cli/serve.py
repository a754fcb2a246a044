"""``levitor serve``: runs the job server."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli import resource_options

if TYPE_CHECKING:
    from backend.server.settings import ServerSettings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="run the backend that Blender connects to",
        description="Run the job server on this computer (127.0.0.1) until Ctrl-C.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=5599,
        help="port to listen on, 0 picks a free one (default 5599)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder for jobs and files (default: in this user's data folder)",
    )
    parser.add_argument(
        "--stall-seconds",
        type=float,
        metavar="S",
        help="a job that makes no step for so long has failed (default: levitor.toml, or 600); "
        "loading and compiling may take longer",
    )
    resource_options.add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the server; 0 after a signal, 1 if it could not start."""
    from backend.config import checked_stall_seconds, data_folder
    from backend.engines.registry import infos, spec_of
    from backend.perception.model_names import perception_infos
    from backend.server.settings import STALL_SECONDS, ServerSettings

    if not 0 <= args.port <= 65535:
        print(f"levitor: the port is {args.port}; choose 0 to 65535.", file=sys.stderr)
        return 1
    resources = resource_options.parse_resource_options(args)
    stall = checked_stall_seconds(args.stall_seconds) or resources.search.config.stall_seconds
    if resources.device.startswith("cuda"):
        _check_device(resources.device)
    return serve(
        ServerSettings(
            state=(args.state or data_folder()).expanduser().resolve(),
            port=args.port,
            engines=infos(),
            device=resources.device,
            memory=resources.memory,
            weights=resources.weights,
            stall_seconds=stall or STALL_SECONDS,
            lacks=lambda engine, options: resources.search.lack(spec_of(engine).needs(options)),
            perception=lambda: perception_infos(resources.search.has),
        )
    )


def _check_device(device: str) -> None:
    """Refuse a missing device; checked in a subprocess, since the server does not import torch."""
    from protocol.errors import ShotError

    probe = subprocess.run(
        [sys.executable, "-m", "backend.device", device],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    if probe.returncode:
        sentence = (probe.stderr.strip() or "torch does not start").splitlines()[-1]
        raise ShotError("device", sentence)


def serve(settings: ServerSettings) -> int:
    """Run a server in this process until SIGTERM or Ctrl-C; returns the exit code."""
    import logging
    import signal
    import sqlite3

    from backend.server.app import PortTakenError, Server
    from backend.server.lock import StateInUseError
    from backend.server.store import StoreTooNewError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s server: %(message)s")
    try:
        server = Server(settings)
    except PortTakenError:
        sentence = (
            f"Port {settings.port} is taken{_running_server(settings.state)}; "
            "use that server, or choose another --port."
        )
    except StateInUseError:
        sentence = (
            f"The state folder {settings.state} is in use{_running_server(settings.state)}; "
            "use that server, or choose another --state."
        )
    except StoreTooNewError as error:
        sentence = f"{error} Update LeviTor, or choose another --state."
    except (OSError, sqlite3.Error) as error:
        sentence = (
            f"The state folder {settings.state} cannot be used ({error}); choose another --state."
        )
    else:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: server.stop())
        server.run(lambda endpoint: print(f"LeviTor backend ready at {endpoint}", flush=True))
        return 0
    print(f"levitor: {sentence}", file=sys.stderr)
    return 1


def _running_server(state: Path) -> str:
    """The process of the server of the state folder, by its connection file, in words."""
    import json

    try:
        connection = json.loads((state / "connection.json").read_text())
        return f" (a LeviTor server of this folder is process {int(connection['pid'])})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
