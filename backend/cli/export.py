"""`levitor export`: a shot's tracks, boxes or masks as files for other tools."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from protocol import export, tracks


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("export", help="write a shot's tracks, boxes or masks")
    parser.add_argument("shot", type=Path, help="the shot, as Blender's Save Shot writes it")
    parser.add_argument("--format", choices=export.FORMATS, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--points", type=int, default=8, help="tracks on each picked instance")
    parser.add_argument("--anchors", type=int, default=16, help="tracks on all the rest")
    parser.add_argument(
        "--size",
        choices=tracks.SIZES,
        default="auto",
        help="of a tool's frame: auto is 832x480, or 480x832 for what is higher than wide; "
        "photo keeps the photo's pixels",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=-1,
        help="of the tracks, over which the shot is spread: "
        + ", ".join(f"{tool.frames} for {name}" for name, tool in tracks.TOOLS.items())
        + " without it; 0 keeps the shot's",
    )
    parser.add_argument(
        "--fit",
        choices=tracks.FITS,
        default="crop",
        help="crop fills the tool's frame with the photo's middle, pad shows all of it with bars",
    )


def run(args: argparse.Namespace) -> int:
    """Write the folder atomically."""
    from backend.cli.outputs import check_folder
    from backend.cli.progress import progress_bar
    from backend.files.shot import read_shot
    from protocol.errors import ShotError
    from protocol.rules import problems

    check_folder(args.out)
    if args.out.exists():
        raise ShotError("output", f"{args.out} exists already.", "Name a new folder.")
    if args.points < 1 or args.anchors < 0:
        raise ShotError(
            "points",
            f"{args.points} tracks an instance and {args.anchors} anchors are too few.",
            "Ask for at least 1 and 0.",
        )
    message, blobs = read_shot(args.shot)
    if found := problems(message):
        raise found[0]
    frame = None
    if args.format in tracks.TOOLS:
        height, width = message.scene.depth.shape
        frame = tracks.frame_of(args.format, width, height, args.size, args.fit, args.frames)
    said: list[str] = []
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with (
        progress_bar() as on_step,
        tempfile.TemporaryDirectory(dir=args.out.parent, prefix=".export_") as folder,
    ):
        whole = Path(folder) / "whole"
        whole.mkdir()
        for name, data in export.files(
            message,
            blobs,
            args.format,
            lambda done, total: on_step("control", done, total),
            args.points,
            args.anchors,
            frame,
            said,
        ):
            (whole / name).write_bytes(data)
        whole.replace(args.out)
    frames = len(message.moved_from_rest)
    written = {
        "masks": f"{frames} frames of instance ids and depth",
        "boxes": f"boxes of {len(message.instances)} instances in {frames} frames",
    }
    print(f"{args.out}: {written.get(args.format) or said[0]}")
    for note in said[1:]:
        print(note)
    return 0
