"""`levitor control`: a video of an engine's control signal: instances, depth and points."""

from __future__ import annotations

import argparse
from pathlib import Path

from backend.cli import resource_options, shots

PARTS = ("masks", "points", "depth")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("control", help="show the control of a .shot file as a video")
    shots.add_arguments(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the MP4 to write")
    parser.add_argument(
        "--over", choices=("draft", "photo"), default="draft", help="what the points lie on"
    )
    parser.add_argument("--no-anchors", action="store_true", help="no points on what stays")
    for part in PARTS:
        parser.add_argument(f"--no-{part}", action="store_true", help=f"leave out the {part}")
    resource_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Encode and draw the control as a server does for a preview, and write the video."""
    from dataclasses import replace

    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.control.preview import mean_points_per_frame
    from backend.files.atomic import write_atomically
    from backend.files.shot import read_shot
    from backend.session import Session, video_length
    from protocol.messages import PreviewRequest

    told = resource_options.parse_resource_options(args)
    check_outputs([args.out], [args.shot], (".mp4",))
    shot, blobs = read_shot(args.shot)
    shot = shots.shot_of(shot, args)
    shot = replace(shot, anchors=shot.anchors and not args.no_anchors)
    shots.check(shot)
    wanted = PreviewRequest(
        shot=shot,
        over=args.over,
        **{part: not getattr(args, f"no_{part}") for part in PARTS},
    )
    session = Session(told.resources)
    with progress_bar() as on_step:
        video, frames, notes = session.preview_video(wanted, blobs.__getitem__, on_step)
    write_atomically(args.out, video)
    points = mean_points_per_frame(frames)
    print(
        f"{args.out}: {shots.said_frames(frames.shape[0], video_length(shot))}, "
        f"{points:.0f} points a frame, "
        f"{shot.moved_from_rest.shape[1]} moving instances"
    )
    for note in notes:
        print(note)
    return 0
