"""Run a real server that has the toy engine too.

    python -m tests.toy.serve --state FOLDER [--weights FOLDER] [--network NAME=FOLDER]

The toy's weights are files of the folder of weights, called as the weights are. A network is one of
the real ones, as ``levitor serve --weights`` takes it.
"""

import argparse
import sys
from pathlib import Path

from backend.cli.serve import serve
from backend.engines.registry import infos
from backend.server.settings import ServerSettings
from protocol.errors import ShotError
from tests.toy.spec import SPEC


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("nowhere"))
    parser.add_argument("--network", action="append", default=[])
    given = parser.parse_args()

    def lacks(engine, options):
        if engine != SPEC.name:
            return None
        lacking = [name for name in SPEC.needs(options) if not (given.weights / name).exists()]
        return ShotError("weights", f"There is no {lacking[0]}.", "Make it.") if lacking else None

    return serve(
        ServerSettings(
            state=given.state,
            port=0,
            engines=(SPEC.info(), *infos()),
            handlers="tests.toy.handlers",
            lacks=lacks,
            weights=tuple(given.network),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
