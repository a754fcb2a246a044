"""`levitor data`: what a folder of annotated videos holds, and what of it is broken."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli.console import counted

if TYPE_CHECKING:
    from backend.datasets.base import Dataset


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand and its own."""
    parser = subparsers.add_parser(
        "data",
        help="look at annotated videos for training and evaluation",
        description="Formats that are read: SA-V, DAVIS, YouTube-VOS, VIPSeg, each in the folders "
        "that it is published in; LeviTor's shots; and your own films with painted masks, as "
        "NAME.mp4 beside NAME/OBJECT/0001.png.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, does in (
        ("list", "which format, videos and frames; decodes nothing"),
        ("check", "read every frame and mask, and list what is broken"),
    ):
        action = actions.add_parser(name, help=does)
        action.add_argument("path", type=Path, metavar="PATH", help="the dataset's folder")
        action.add_argument("--split", default="", help="train, val ..., where there are lists")
        action.add_argument("--frames", type=int, default=16, help="of a clip (default: 16)")
        action.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print what is there; 1 where something is broken."""
    from backend.datasets.recognise import open_dataset

    dataset = open_dataset(args.path, args.split)
    found = survey(dataset, args.frames, decode=args.action == "check")
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(_lines(args.path, found)))
    return 1 if found["broken"] else 0


def survey(dataset: Dataset, length: int, *, decode: bool) -> dict[str, Any]:
    """What a dataset holds.

    Args:
        dataset: the dataset.
        length: frames of a clip.
        decode: whether frames and masks are read, so that objects and damage are known.
    """
    from backend.cli.progress import progress_bar
    from backend.datasets.base import rate_note
    from backend.datasets.clips import instance_areas, windows
    from protocol.errors import ShotError

    rows, broken, notes = [], list(dataset.problems), list[str]()
    with progress_bar() as on_phase:
        for done, video in enumerate(dataset.videos, 1):
            try:
                frames = dataset.num_frames(video)
                row = {"video": video, "frames": frames, "clips": len(windows(frames, length))}
                if decode:
                    clip = dataset.read(video)
                    areas = instance_areas(clip)
                    row |= {"objects": len(clip.names), "size": list(clip.ids.shape[1:])}
                    notes += [f"{video}: {note}" for note in clip.notes]
                    notes += _empty(video, clip.names, areas)
                rows.append(row)
            except ShotError as error:
                broken.append(str(error))
            on_phase("checking" if decode else "listing", done, len(dataset.videos))
    if note := rate_note(dataset):
        notes.append(note)
    return {
        "format": dataset.format,
        "videos": rows,
        "clips": sum(row["clips"] for row in rows),
        "length": length,
        "broken": broken,
        "notes": notes,
    }


def _empty(video: str, names: tuple[str, ...], areas: Any) -> list[str]:
    """Frames without any object, and objects that leave."""
    said = []
    if not len(names):
        return [f"{video}: nothing is marked in any frame."]
    if blank := int((areas.sum(1) == 0).sum()):
        said.append(f"{video}: {blank} of {len(areas)} frames show no object.")
    if leaving := [name for name, seen in zip(names, (areas > 0).T, strict=True) if not seen.all()]:
        said.append(
            f"{video}: {len(leaving)} of {len(names)} objects are out of sight for a time: "
            f"{', '.join(leaving[:3])}{', ...' if len(leaving) > 3 else ''}."
        )
    return said


def _lines(path: Path, found: dict[str, Any]) -> list[str]:
    rows = found["videos"]
    frames = sum(row["frames"] for row in rows)
    decoded = [row["objects"] for row in rows if "objects" in row]
    objects = f", {counted(sum(decoded), 'object')}" if decoded else ""
    lines = [
        f"{path}: {found['format']}, {counted(len(rows), 'video')}, {frames} annotated "
        f"frames{objects}, {counted(found['clips'], 'clip')} of {found['length']} frames."
    ]
    if short := sum(row["clips"] == 0 for row in rows):
        lines.append(
            f"Of fewer than {found['length']} frames, and so without a clip: "
            f"{counted(short, 'video')}."
        )
    lines += [f"note: {note}" for note in found["notes"]]
    lines += [f"broken: {problem}" for problem in found["broken"]]
    return lines
