"""`levitor evaluate prepare`: the clips and trajectories that a table is measured on, made once."""

from __future__ import annotations

import argparse
from pathlib import Path

from backend.cli import evaluation_networks, resource_options

DESCRIPTION = """\
Cuts a dataset into clips, puts points into the masks of each clip's first frame, and follows them
through the real video: where they go is what videos are measured by. Frames and masks stay in the
dataset. Run it again to go on where it stopped; clips that cannot be prepared are listed and tried
again. The tracker is named in manifest.json, and by its checksum."""


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = actions.add_parser(
        "prepare",
        help="make the clips and trajectories that tables are measured on",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="the dataset; see levitor data")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to make")
    parser.add_argument(
        "--points",
        default="multi",
        choices=("single", "multi", "circle"),
        help="of a mask: one, at most eight, or the centre of its largest circle as DragAnything",
    )
    parser.add_argument("--split", default="", help="train, val ..., where there are lists")
    parser.add_argument("--frames", type=int, default=16, help="of a clip (default: 16)")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="annotated frames from one to the next"
    )
    parser.add_argument(
        "--step", type=int, help="between clips' first frames (default: a clip's length)"
    )
    parser.add_argument(
        "--size", default="512x288", metavar="WxH", help="the middle is cut out and scaled"
    )
    parser.add_argument(
        "--smallest",
        type=float,
        default=0.001,
        help="objects that never cover more than this share of a frame are left out",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    evaluation_networks.add_tracker(parser)
    resource_options.add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare, and say what is there; 1 where there is no clip."""
    from backend.cli.console import counted
    from backend.cli.evaluate_videos import parse_size
    from backend.cli.outputs import check_folder
    from backend.cli.progress import progress_bar
    from backend.evaluation.prepare_clips import PreparedOptions, prepare_clips
    from protocol.errors import ShotError

    check_folder(args.out)
    height, width = parse_size(args.size) or (288, 512)
    for name in ("frames", "every", "step", "limit"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ShotError("option", f"--{name} {value} makes no clip.", "Give 1 or more.")
    options = PreparedOptions(
        split=args.split,
        frames=args.frames,
        every=args.every,
        step=args.step,
        height=height,
        width=width,
        smallest=args.smallest,
        points=args.points,
        limit=args.limit,
    )
    tracker = evaluation_networks.tracker_of(args, resource_options.parse_device(args))
    with progress_bar() as on_step:
        report = prepare_clips(args.path, args.out, options, tracker, on_step)
    print(
        f"{args.out}: {counted(report.clips, 'clip')}, {report.made} of them made now; "
        f"tracked by {tracker.name}"
    )
    for problem in report.problems:
        print(f"left out: {problem}")
    return 1 if report.clips == 0 else 0
