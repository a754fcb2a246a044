"""`levitor prepare`: depth and control points of a dataset's clips, computed once for training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli import resource_options
from backend.cli.console import counted

if TYPE_CHECKING:
    from backend.training.shards import Manifest


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "prepare",
        help="compute depth and control points of annotated videos, once, for training",
        description="Writes tar files and a manifest. Run it again with the same options to go on "
        "where it stopped: what is there and whole stays. Clips that cannot be prepared are listed "
        "and left out.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="the dataset; see levitor data")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--split", default="", help="train, val ..., where there are lists")
    parser.add_argument("--frames", type=int, default=16, help="of a clip (default: 16)")
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="from one frame of a clip to the next: LeviTor learned from 6 frames a second, which "
        "are 4 for a film of 24 (default: 1: SA-V's annotated frames are 6 a second)",
    )
    parser.add_argument(
        "--step", type=int, help="between clips' first frames; default: --frames times --every"
    )
    parser.add_argument(
        "--size",
        default="512x288",
        metavar="WxH",
        help="of a clip: the middle is cut out and scaled (default: 512x288)",
    )
    parser.add_argument(
        "--smallest",
        type=float,
        default=0.001,
        help="objects that never cover more than this share of a frame are left out",
    )
    parser.add_argument("--depth-model", default="auto", help="which network, or auto")
    parser.add_argument(
        "--depth-size", type=int, default=518, help="pixels the network looks at (default: 518)"
    )
    parser.add_argument("--maps", action="store_true", help="store ids and disparity too")
    parser.add_argument("--copy-frames", action="store_true", help="store the frames too, as JPEG")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--clips-per-shard", type=int, default=64)
    resource_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare, and say what came of it; 1 where no clip could be prepared."""
    from dataclasses import replace

    from backend import device
    from backend.cli.outputs import check_folder
    from backend.cli.progress import progress_bar
    from backend.datasets.base import rate_note
    from backend.datasets.recognise import open_dataset
    from backend.training.prepare import PrepareOptions, prepare
    from protocol.errors import ShotError

    check_folder(args.out)
    width, height = _size(args.size)
    for name in ("frames", "every", "step", "workers", "clips_per_shard"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ShotError(
                "option", f"--{name.replace('_', '-')} is {value}.", "Give a number from 1 on."
            )
    options = PrepareOptions(
        split=args.split,
        length=args.frames,
        every=args.every,
        step=args.step or args.frames * args.every,
        height=height,
        width=width,
        smallest=args.smallest,
        depth_model=args.depth_model,
        depth_size=args.depth_size,
        maps=args.maps,
        frames=args.copy_frames,
    )
    resources = resource_options.parse_resource_options(args).resources
    resources = replace(resources, device=device.choose(resources.device))
    with progress_bar() as on_phase:
        manifest = prepare(
            args.path,
            args.out,
            options,
            resources,
            workers=args.workers,
            clips_per_shard=args.clips_per_shard,
            on_shard=lambda shard, done, total: on_phase("clips", done, total),
        )
    lines = _lines(args.out, manifest)
    if note := rate_note(open_dataset(args.path, args.split), args.every):
        lines.append(f"note: {note}")
    print("\n".join(lines))
    return 0 if any(shard.clips for shard in manifest.shards.values()) else 1


def _lines(out: Path, manifest: Manifest) -> list[str]:
    shards = manifest.shards.values()
    failed = [failure for shard in shards for failure in shard.failures]
    lines = [
        f"{out}: {sum(shard.clips for shard in shards)} of {counted(manifest.total, 'clip')} of "
        f"{manifest.format} in {counted(len(shards), 'shard')}, depth: {manifest.depth_model}."
    ]
    lines += [f"left out: {problem}" for problem in (*manifest.problems, *failed)]
    return lines


def _size(text: str) -> tuple[int, int]:
    from protocol.errors import ShotError

    width, _, height = text.partition("x")
    try:
        size = int(width), int(height)
    except ValueError:
        size = (0, 0)
    if min(size) < 64 or size[0] % 8 or size[1] % 8:
        raise ShotError(
            "size",
            f"'{text:.40}' is no size of a clip.",
            "Give WIDTHxHEIGHT, multiples of 8 from 64 on, as 512x288.",
        )
    return size
