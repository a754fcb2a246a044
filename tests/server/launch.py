"""Run a real server whose workers are scripted; its command line is the test's ServerSettings."""

import argparse
import sys
from pathlib import Path


def settings(arguments=None):
    """The settings of a command line."""
    from backend.server.settings import ServerSettings
    from protocol.errors import ShotError
    from protocol.messages import EngineInfo, EngineOption, Limits

    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cancel-seconds", type=float, default=120.0)
    parser.add_argument("--stall-seconds", type=float, default=600.0)
    parser.add_argument("--quiet-seconds", type=float, default=3600.0)
    parser.add_argument("--retry-seconds", type=float, default=10.0)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--samples", type=int, default=600_000_000)
    parser.add_argument("--chunk", type=int, default=1 << 20)
    parser.add_argument("--handlers", default="scripted")
    parser.add_argument("--needs", type=Path, help="a file without which the engine cannot render")
    parser.add_argument("--memory", default="auto")
    parser.add_argument("--weights", action="append", default=[])
    given = parser.parse_args(arguments)

    def text(name: str) -> EngineOption:
        return EngineOption(name=name, label=name, help="", default="")

    engine = EngineInfo(
        name="scripted",
        label="Scripted",
        help="does what the test says",
        options=(
            EngineOption(name="steps", label="", help="", default=3, low=0, high=1000),
            EngineOption(
                name="end",
                label="",
                help="",
                default="result",
                choices=("result", "shot_error", "memory", "cuda_memory", "torch_memory",
                         "cv2_memory", "bug", "exit", "kill", "hang", "illegal_access",
                         "device_assert", "launch_failure", "told_as_shot_error", "device_gone"),
            ),
            text("until"),
            text("ran"),
            text("past"),
            text("weights"),
            text("silent"),
            text("phase"),
        ),
    )  # fmt: skip

    def lacks(name: str, options) -> ShotError | None:
        if name != "scripted" or given.needs is None or given.needs.exists():
            return None
        return ShotError("weights", f"There is no {given.needs.name}.", "Fetch it.")

    return ServerSettings(
        state=given.state,
        port=given.port,
        engines=(engine,),
        limits=Limits(queue=given.queue, samples=given.samples, chunk_bytes=given.chunk),
        cancel_seconds=given.cancel_seconds,
        stall_seconds=given.stall_seconds,
        quiet_seconds=given.quiet_seconds,
        retry_seconds=given.retry_seconds,
        handlers=given.handlers,
        lacks=lacks,
        device="cpu",
        memory=given.memory,
        weights=tuple(given.weights),
    )


def main() -> int:
    from backend.cli.serve import serve

    return serve(settings())


if __name__ == "__main__":
    sys.exit(main())
