"""`levitor evaluate videos`: a folder of videos of any system against the real ones."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli import evaluation_networks, resource_options

if TYPE_CHECKING:
    from backend.cli.evaluation_networks import Networks
    from backend.evaluation.clip_sets import ClipSet
    from backend.evaluation.folder_scores import FolderScores

FORMAT = 2
OF_VIDEOS = ("SSIM", "PSNR", "EPE", "Motion-Diff")
OF_POINTS = ("ObjMC", "CamMC")


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = actions.add_parser(
        "videos",
        help="score a folder of videos, of any system, against the real ones",
        description="Every video in GENERATED has the name of a real one, but for its ending: "
        "so outputs of any other system can be scored. The real ones are a folder of videos, or "
        "what `evaluate prepare` made, whose points ObjMC and CamMC are measured by. FID, FVD and "
        "LPIPS are measured where their networks are named. Nothing is downloaded.",
    )
    parser.add_argument("generated", type=Path, metavar="GENERATED", help="folder of videos")
    real = parser.add_mutually_exclusive_group(required=True)
    real.add_argument("--real", type=Path, metavar="FOLDER", help="the real ones, as videos")
    real.add_argument("--clips", type=Path, metavar="FOLDER", help="the real ones, as prepared")
    parser.add_argument("--size", help="width x height that all are resized to, as 576x320")
    evaluation_networks.add_arguments(parser)
    parser.add_argument(
        "--through-256", action="store_true", help="FVD of frames resized to 256 first, as SG-I2V"
    )
    resource_options.add_device(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for."""
    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.evaluation.folder_scores import score_folder
    from backend.evaluation.video_folders import paired
    from backend.files.atomic import write_atomically

    if args.json is not None:
        check_outputs([args.json], [], (".json",))
    device = resource_options.parse_device(args)
    # The networks first: what is missing is told before videos are read
    networks = evaluation_networks.networks(args, device, through_256=args.through_256)
    clips, metrics = _clips(args)
    found = {"FID": networks.inception, "FVD": networks.i3d, "LPIPS": networks.lpips}
    metrics += [metric for metric, network in found.items() if network is not None]
    real: Path = args.real or args.clips
    videos = paired(clips.names, real, args.generated)
    with progress_bar() as on_step:
        scores = score_folder(
            videos,
            clips,
            metrics,
            tracker=networks.tracker,
            flow=networks.flow,
            inception=networks.inception,
            i3d=networks.i3d,
            lpips=networks.lpips,
            resize=args.real is None or args.size is not None,
            on_clip=on_step,
        )
    print("\n".join(_lines(args.generated, real, scores, networks)))
    if args.json is not None:
        content = json.dumps(_content(args, scores, networks), indent=1, allow_nan=False)
        write_atomically(args.json, content.encode())
        print(f"{args.json}: every clip's numbers")
    return 0


def _clips(args: argparse.Namespace) -> tuple[ClipSet, list[str]]:
    """The real clips, and what can be measured of them.

    Raises:
        ShotError: there are none, or prepared ones are given another size.
    """
    from backend.evaluation.prepared_clips import PreparedClips
    from backend.evaluation.video_folders import RealVideos
    from protocol.errors import ShotError

    if args.real is not None:
        return RealVideos(args.real, parse_size(args.size)), [*OF_VIDEOS]
    if args.size is not None:
        raise ShotError(
            "size",
            "Prepared clips have the size that they were prepared in, in which their points are.",
            "Leave --size out, or prepare them in that size.",
        )
    return PreparedClips.open(args.clips), [*OF_VIDEOS, *OF_POINTS]


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


def _lines(generated: Path, real: Path, scores: FolderScores, networks: Networks) -> list[str]:
    from backend.cli.console import counted

    lines = [f"{generated} against {real}, {counted(scores.clips, 'clip')}:"]
    lines += [f"  {metric}: {interval}" for metric, interval in scores.values.items()]
    lines += ["measured with:"]
    lines += [f"  {what}: {said}" for what, said in _measured_with(scores, networks).items()]
    lines += [f"note: {note}" for note in (*scores.notes, *_missing(networks))]
    lines += ["clips a second:"]
    lines += [f"  {what}: {rate:.3g}" for what, rate in scores.speed.items()]
    return lines


def _measured_with(scores: FolderScores, networks: Networks) -> dict[str, str]:
    def said(one: Any) -> str:
        return f"{one.name} ({one.source})" if one.source else one.name

    found = {**scores.extractors, "EPE, Motion-Diff": said(networks.flow)}
    if "LPIPS" in scores.values and networks.lpips is not None:
        found["LPIPS"] = said(networks.lpips)
    if "ObjMC" in scores.values:
        found["ObjMC, CamMC"] = said(networks.tracker)
    return found


def _missing(networks: Networks) -> list[str]:
    return [f"no {metric}: {why}" for metric, why in networks.missing.items()]


def _content(args: argparse.Namespace, scores: FolderScores, networks: Networks) -> dict[str, Any]:
    def number(value: Any) -> Any:
        return value if not isinstance(value, float) or math.isfinite(value) else None

    return {
        "format": FORMAT,
        "real": str(args.real or args.clips),
        "generated": str(args.generated),
        "size": args.size,
        "values": {
            metric: {key: number(value) for key, value in interval._asdict().items()}
            for metric, interval in scores.values.items()
        },
        "measured_with": _measured_with(scores, networks),
        "notes": [*scores.notes, *_missing(networks)],
        "clips_a_second": dict(scores.speed),
        "clips": {
            name: {metric: number(value) for metric, value in values.items()}
            for name, values in scores.per_clip.items()
        },
    }
