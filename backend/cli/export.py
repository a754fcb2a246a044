"""`levitor export`: a shot's tracks, boxes or masks as files for other tools."""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol import tracks

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
    parser.add_argument(
        "--size",
        choices=tracks.SIZES,
        default="auto",
        help="of a tool's frame: auto is 832x480, or 480x832 for what is higher than wide; "
        "photo keeps the photo's pixels",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=-1,
        help="of the tracks, over which the shot is spread: "
        + ", ".join(f"{tool.frames} for {name}" for name, tool in tracks.TOOLS.items())
        + " without it; 0 keeps the shot's",
    )
    parser.add_argument(
        "--fit",
        choices=tracks.FITS,
        default="crop",
        help="crop fills the tool's frame with the photo's middle, pad shows all of it with bars",
    )


def run(args: argparse.Namespace) -> int:
    """Write the folder, whole or not at all."""
    from backend import convert
    from backend.cli.progress import progress_bar
    from backend.control_sources import shot_masks
    from backend.files.shot import read_shot
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
        masks = shot_masks(shot, on_frame=lambda *step: on_step("control", *step))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=".export_") as folder:
        whole = Path(folder) / "whole"
        whole.mkdir()
        said = _write(whole, args, message, shot, masks)
        whole.replace(args.out)
    print(f"{args.out}: {said[0]}")
    for note in said[1:]:
        print(note)
    return 0


def _write(
    folder: Path,
    args: argparse.Namespace,
    message: messages.ShotMessage,
    shot: Shot,
    masks: MaskSequence,
) -> tuple[str, ...]:
    """Write one format into ``folder``; returns what was written, and notes, a sentence each."""
    import numpy as np

    from backend.control import export
    from backend.control.boxes import shot_boxes
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
    if args.format in tracks.TOOLS:
        return _write_tracks(folder, args, shot, masks, names, about)
    if args.format == "masks":
        said = _write_masks(folder, masks)
        about["instances"] = names
    else:
        found = shot_boxes(shot, masks)
        boxes = found.xyxy
        np.save(folder / "boxes.npy", boxes.numpy())
        np.save(folder / "visible.npy", found.visible.numpy())
        about["instances"] = list(names.values())
        trajectories = export.drag_trajectories(boxes)
        if trajectories is not None:
            np.save(folder / "traj.npy", trajectories)
        about["traj.npy"] = "written" if trajectories is not None else "left out: sizes change"
        said = f"boxes of {len(boxes)} instances in {boxes.shape[1]} frames"
    (folder / "about.json").write_text(json.dumps(about, indent=1))
    return (said,)


def _write_tracks(
    folder: Path,
    args: argparse.Namespace,
    shot: Shot,
    masks: MaskSequence,
    names: dict[int, str],
    about: dict[str, Any],
) -> tuple[str, ...]:
    """The files of a tool that reads tracks."""
    import torch
    from PIL import Image

    from backend.control.tracks import shot_tracks
    from backend.pixels import pixels_from_image

    camera = shot.lift.camera
    frame = tracks.frame_of(
        args.format, camera.width, camera.height, args.size, args.fit, args.frames
    )
    followed = shot_tracks(shot, masks, args.points, args.anchors, torch.from_numpy(frame.within()))
    found = tracks.Tracks(
        xy=followed.xy.cpu().numpy(),
        depth=followed.depth.cpu().numpy(),
        visible=followed.visible.cpu().numpy(),
        instance=followed.instance.cpu().numpy(),
    )
    pixels = pixels_from_image(shot.lift.image)
    for name, content in tracks.files(found, frame, pixels, names, about):
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            Image.fromarray(content).save(folder / name)
    return tracks.said(found, frame, names, about["frames"])


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
