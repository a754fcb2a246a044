"""`levitor evaluate videos`: a folder of videos of any system against the real ones."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli import resource_options

if TYPE_CHECKING:
    from backend.evaluation.video_folders import FolderScore, VideoPairs

NETWORKS = {
    "inception": "Inception-v3 of 2015-12-05, for FID",
    "i3d": "I3D of Kinetics-400 as TorchScript, for FVD",
    "alexnet": "AlexNet, for LPIPS",
    "lpips": "LPIPS' linear layers for AlexNet",
}


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = actions.add_parser(
        "videos",
        help="score a folder of videos, of any system, against the real ones",
        description="Every video in GENERATED has the name of a real one, but for its ending: "
        "so outputs of any other system can be scored. SSIM and PSNR need no weights; FID, FVD and "
        "LPIPS are measured where their networks are named. Nothing is downloaded.",
    )
    parser.add_argument("generated", type=Path, metavar="GENERATED", help="folder of videos")
    parser.add_argument("--real", type=Path, required=True, metavar="FOLDER", help="the real ones")
    parser.add_argument("--size", help="width x height that all are resized to, as 576x320")
    for name, use in NETWORKS.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=use)
    parser.add_argument(
        "--through-256", action="store_true", help="FVD of frames resized to 256 first, as SG-I2V"
    )
    resource_options.add_device(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for."""
    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.evaluation.features import I3D400, Inception
    from backend.evaluation.lpips import LPIPS
    from backend.evaluation.video_folders import pair_videos, score_videos
    from backend.files.atomic import write_atomically

    if args.json is not None:
        check_outputs([args.json], [], (".json",))
    device = resource_options.parse_device(args)
    # The networks first: what is missing is told before videos are read
    inception = None if args.inception is None else Inception(args.inception, device)
    i3d = None
    if args.i3d is not None:
        i3d = I3D400(args.i3d, device, through_256=args.through_256)
    lpips = None
    if args.alexnet is not None or args.lpips is not None:
        lpips = LPIPS(args.alexnet, args.lpips, device)
    pairs = pair_videos(args.real, args.generated, parse_size(args.size))
    with progress_bar() as on_step:
        score = score_videos(pairs, inception, i3d, lpips, on_step)
    print(f"{args.generated} against {args.real}:")
    for metric, interval in score.means.items():
        print(f"  {metric}: {interval}")
    for metric, distance in score.distances.items():
        unit = "frames" if metric == "FID" else "clips"
        print(f"  {metric}: {distance.value:.4g} (N = {distance.samples} {unit})")
        print(f"    {distance.extractor}")
        for note in distance.notes:
            print(f"    note: {note}")
    if args.json is not None:
        content = json.dumps(_content(args, pairs, score), indent=1, allow_nan=False)
        write_atomically(args.json, content.encode())
        print(f"{args.json}: every clip's numbers")
    return 0


def parse_size(given: str | None) -> tuple[int, int] | None:
    """(height, width); None where none is given.

    Raises:
        ShotError: it is no size.
    """
    from protocol.errors import ShotError

    if given is None:
        return None
    width, _, height = given.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) > 0 and int(height) > 0):
        raise ShotError("size", f"--size is given '{given:.40}'.", "Name it as 576x320.")
    return int(height), int(width)


def _content(args: argparse.Namespace, pairs: VideoPairs, score: FolderScore) -> dict[str, Any]:
    import math

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "format": 1,
        "real": str(args.real),
        "generated": str(args.generated),
        "size": pairs.size,
        "means": {
            metric: {
                key: number(value) if isinstance(value, float) else value
                for key, value in interval._asdict().items()
            }
            for metric, interval in score.means.items()
        },
        "distances": {metric: asdict(distance) for metric, distance in score.distances.items()},
        "clips": {
            name: {metric: number(values[index]) for metric, values in score.clips.items()}
            for index, name in enumerate(pairs.names)
        },
    }
