"""`levitor evaluate shot`: how well one take obeyed its shot."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli.console import counted

if TYPE_CHECKING:
    from backend.contracts import Shot
    from backend.evaluation.take_video import Window
    from protocol.messages import ShotMessage


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = actions.add_parser(
        "shot",
        help="how well one take obeyed its shot",
        description="Looks for every thing that moves in every frame of a take, and says how far "
        "it is from where the shot puts it, how much of its mask it has, who is in front where "
        "two meet, and whether the background stays with the camera. A thing that should be in "
        "sight and is not found is off by the frame's diagonal in that frame.",
    )
    parser.add_argument("video", type=Path, help="the take, as rendered")
    parser.add_argument("--shot", type=Path, required=True, metavar="FILE", help="its .shot file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="the worst frames, as PNG")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for."""
    import numpy as np

    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.convert import shot_from_message
    from backend.evaluation.measured_take import measured
    from backend.evaluation.shot_report import report_of, worst_frames_picture
    from backend.evaluation.take_video import fit_of, read_take
    from backend.files.atomic import write_atomically
    from backend.files.shot import read_shot
    from backend.session import video_length
    from protocol.rules import problems

    for path, ending in ((args.json, ".json"), (args.picture, ".png")):
        if path is not None:
            check_outputs([path], [args.video, args.shot], (ending,))
    message, blobs = read_shot(args.shot)
    if wrong := problems(message):
        raise wrong[0]
    shot = shot_from_message(message, blobs.__getitem__)
    samples = shot.motion.num_frames
    take = read_take(args.video, samples, video_length(message))
    height, width = shot.lift.depth.shape
    fit = fit_of((height, width), take, _windows(message, shot), args.video)
    with progress_bar() as on_step:
        found = measured(shot, take, fit, lambda *step: on_step("measure", *step))
    times = np.linspace(message.frame_start, message.frame_end, samples).round(2).tolist()
    names = [item.name for item in message.instances if item.moving]
    report = report_of(found.score, take, names, times)
    content = {"video": str(args.video), "shot": str(args.shot), **report.content}
    content["notes"] = []
    if take.fps and abs(take.fps / message.fps - 1) > 0.01:
        content["notes"].append(
            f"The video has {take.fps:g} frames a second, the shot {message.fps:g}."
        )
    print("\n".join(_lines(content)))
    if args.json is not None:
        write_atomically(args.json, json.dumps(content, indent=1, allow_nan=False).encode())
        print(f"{args.json}: every frame's numbers")
    if args.picture is not None:
        picture = worst_frames_picture(
            report, found.score, take, lambda index: found.expected.draft[index].rgb, times
        )
        write_atomically(args.picture, picture)
        print(f"{args.picture}: the {counted(len(report.worst), 'worst frame')}")
    return 0


def _windows(message: ShotMessage, shot: Shot) -> list[Window]:
    """What a take may show: what the shot's engine shows of the photo, and all of it."""
    from backend.control_sources import ShotControl
    from backend.engines.registry import signals, spec_of, specs

    height, width = shot.lift.depth.shape
    whole = (0.0, 0.0, float(height), float(width))
    if message.engine not in [spec.name for spec in specs()]:
        return [whole]
    options = spec_of(message.engine).options_of(shot)
    return [signals(message.engine).shown(ShotControl(shot), options), whole]


def _lines(content: dict[str, Any]) -> list[str]:
    height, width = content["size"]
    lines = [
        f"{content['video']}: {counted(content['frames_compared'], 'frame')} of {width} x {height} "
        f"pixels, compared by {content['method']}"
    ]
    for row in content["instances"]:
        lost = (
            f", not found in {row['frames_lost']} (off by the diagonal)"
            if row["frames_lost"]
            else ""
        )
        lines.append(
            f"  {row['name']}: {_said(row['centroid_error_px'], 'px off')} "
            f"({_said(row['centroid_error_percent'], '% of the diagonal')}), mask IoU "
            f"{_said(row['mask_iou'])}, in sight in "
            f"{counted(row['frames_in_sight'], 'frame')}{lost}"
        )
    events = content["occlusion_events"]
    order = f"the right thing in front {_said(content['occlusion_accuracy'])} of {events} times"
    lines.append(f"  occlusion: {order}" if events else "  occlusion: nothing hides anything")
    lines.append(f"  background: {_said(content['background_drift_px'], 'px of drift')}")
    return [*lines, *(f"  note: {note}" for note in content["notes"])]


def _said(value: float | None, unit: str = "") -> str:
    """A number, or that there is none."""
    return "no number" if value is None else f"{value:.2f} {unit}".strip()
