"""`levitor render`: a .shot file to a video, without Blender and without a server."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from backend.cli import resource_options, shots


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("render", help="render a .shot file to a video")
    shots.add_arguments(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the MP4 to write")
    parser.add_argument("--seed", type=int, help="another seed than the shot's own")
    parser.add_argument("--control", type=Path, help="also write instance ids and depth as MP4")
    resource_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Render and write the video; writes nothing on an error."""
    from dataclasses import replace

    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.control.preview import Look, look_at_masks
    from backend.control_sources import shot_masks
    from backend.convert import shot_from_message
    from backend.engines.registry import spec_of
    from backend.files.atomic import write_atomically
    from backend.files.shot import read_shot
    from backend.files.video import encode_video
    from backend.session import Session, video_length

    told = resource_options.parse_resource_options(args)
    outputs = [args.out] if args.control is None else [args.out, args.control]
    check_outputs(outputs, [args.shot], (".mp4",))
    shot, blobs = read_shot(args.shot)
    shot = shots.shot_of(shot, args)
    if args.seed is not None:
        shot = replace(shot, seed=args.seed)
    shots.check(shot)  # before weights are asked for
    if (lack := told.search.lack(spec_of(shot.engine).needs(shot.options))) is not None:
        raise lack
    session = Session(told.resources)
    began = time.monotonic()
    with progress_bar() as on_step:
        video, take = session.render_video(shot, blobs.__getitem__, on_step)
        if args.control is not None:
            masks = shot_masks(
                shot_from_message(shot, blobs.__getitem__),
                on_frame=lambda *step: on_step("control", *step),
            )
            preview = look_at_masks(masks, Look())
    write_atomically(args.out, video)
    height, width = take.frames.shape[-2:]
    frames = video_length(shot)
    print(
        f"{args.out}: {shots.said_frames(len(take.frames), frames)}, {width} x {height} pixels, "
        f"{len(video) / 1e6:.2f} MB, "
        f"engine {shot.engine}, seed {shot.seed}, {time.monotonic() - began:.1f} s"
    )
    for note in take.notes:
        print(note)
    if args.control is not None:
        write_atomically(args.control, encode_video(preview, shot.fps, frames))
        print(f"{args.control}: instance ids and depth")
    return 0
