"""`levitor export`: a shot's tracks, boxes or masks as files for other tools."""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.contracts import MaskSequence, Shot
    from protocol import messages

FORMATS = ("wan-move", "ati", "boxes", "masks")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("export", help="write a shot's tracks, boxes or masks")
    parser.add_argument("shot", type=Path, help="the shot, as Blender's Save Shot writes it")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--points", type=int, default=8, help="tracks on each picked instance")
    parser.add_argument("--anchors", type=int, default=16, help="tracks on all the rest")


def run(args: argparse.Namespace) -> int:
    """Write the folder, whole or not at all."""
    from backend import pipeline
    from backend.cli.progress import progress_bar
    from backend.server import convert
    from backend.shotfile import read_shot
    from protocol.errors import ShotError
    from protocol.rules import problems

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
    if args.format == "boxes" and not message.instances:
        raise ShotError(
            "instances", "The shot has 0 picked instances to box.", "Pick something first."
        )
    shot = convert.shot_from_message(message, blobs.__getitem__)
    with progress_bar() as on_step:
        masks = pipeline.render_shot_masks(shot, on_step)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=".export_") as folder:
        whole = Path(folder) / "whole"
        whole.mkdir()
        said = _write(whole, args, message, shot, masks)
        whole.replace(args.out)
    print(f"{args.out}: {said}")
    return 0


def _write(
    folder: Path,
    args: argparse.Namespace,
    message: messages.Shot,
    shot: Shot,
    masks: MaskSequence,
) -> str:
    """Write one format into ``folder``; returns what was written, in words."""
    import numpy as np

    from backend.control import export
    from backend.control.tracks import shot_tracks
    from protocol.rates import frame_rate

    names = {item.id: item.name for item in message.instances}
    about: dict[str, Any] = {
        "format": args.format,
        "width": shot.lift.camera.width,
        "height": shot.lift.camera.height,
        "fps": float(frame_rate(message.fps)),
        "frames": shot.motion.num_frames,
        "frame_start": message.frame_start,
        "frame_end": message.frame_end,
        "depth": "z along the optical axis, in scene units",
        "pixels": "(x, y), the centre of the first one at (0.5, 0.5)",
    }
    if args.format == "masks":
        said = _write_masks(folder, masks)
        about["instances"] = names
    elif args.format == "boxes":
        boxes, visible = export.instance_boxes(shot, masks)
        np.save(folder / "boxes.npy", boxes.numpy())
        np.save(folder / "visible.npy", visible.numpy())
        about["instances"] = list(names.values())
        trajectories = export.drag_trajectories(boxes)
        if trajectories is not None:
            np.save(folder / "traj.npy", trajectories)
        about["traj.npy"] = "written" if trajectories is not None else "left out: sizes change"
        said = f"boxes of {len(boxes)} instances in {boxes.shape[1]} frames"
    else:
        tracks = shot_tracks(shot, masks, args.points, args.anchors)
        about["instance_of_track"] = tracks.instance.tolist()
        about["instances"] = names
        for name, array in export.wan_move(tracks).items():
            if args.format == "wan-move" or name == "visibility":
                np.save(folder / f"{name}.npy", array)
        if args.format == "ati":
            (folder / "tracks.json").write_text(json.dumps(export.splines(tracks)))
        said = f"{len(tracks.instance)} tracks of {shot.motion.num_frames} frames"
    (folder / "about.json").write_text(json.dumps(about, indent=1))
    return said


def _write_masks(folder: Path, masks: MaskSequence) -> str:
    import numpy as np
    import OpenEXR
    from PIL import Image

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    frames = zip(masks.instance, masks.depth, strict=True)
    for number, (ids, depth) in enumerate(frames):
        Image.fromarray(ids.clamp(min=0).byte().numpy()).save(folder / f"ids_{number:04d}.png")
        whole = io.BytesIO()  # the library writes to no path that is not UTF-8
        OpenEXR.File(header, {"Z": depth.numpy().astype(np.float32)}).write(whole)
        (folder / f"depth_{number:04d}.exr").write_bytes(whole.getvalue())
    return f"{len(masks.instance)} frames of instance ids and depth"
