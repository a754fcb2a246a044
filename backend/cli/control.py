"""`levitor control`: what an engine will be told, as a video: instances, depth and points."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("control", help="show the control of a .shot file as a video")
    parser.add_argument("shot", type=Path, help="the shot, as Blender's Save Shot writes it")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the MP4 to write")
    parser.add_argument(
        "--exact", action="store_true", help="the engine's own points instead of the fast ones"
    )
    parser.add_argument(
        "--over", choices=("draft", "photo"), default="draft", help="what the points lie on"
    )
    parser.add_argument("--no-anchors", action="store_true", help="no points on what stays")


def run(args: argparse.Namespace) -> int:
    """Render the masks, cluster the points, write the video."""
    from dataclasses import replace

    from backend import media, pipeline
    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.control.levitor import points_from_masks
    from backend.control.preview import control_frames
    from backend.engines import registry
    from backend.server import convert
    from backend.shotfile import read_shot
    from protocol.rules import problems

    check_outputs([args.out], [args.shot])
    message, blobs = read_shot(args.shot)
    if found := problems(message):
        raise found[0]
    shot = convert.shot_from_message(message, blobs.__getitem__)
    with progress_bar() as on_step:
        under = shot.lift.image
        if args.over == "draft":
            draft = registry.load("draft")
            under = pipeline.render(replace(shot, options={}), draft, on_step).frames
        masks = pipeline.render_shot_masks(shot, on_step)
    moving = shot.motion.moved_from_rest.shape[1]
    near, far = shot.lift.near, shot.lift.far
    points = points_from_masks(
        masks, moving, near, far, anchors=message.anchors and not args.no_anchors, exact=args.exact
    )
    frames = control_frames(masks, len(message.instances), near, far, under=under, points=points)
    length = message.frame_end - message.frame_start + 1
    media.write_atomically(args.out, media.encode_video(frames, message.fps, length))
    print(
        f"{args.out}: {length} frames, {sum(map(len, points)) / len(points):.0f} points a frame, "
        f"{moving} moving instances"
    )
    return 0
