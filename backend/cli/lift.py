"""`levitor lift`: a photo to a point cloud, without Blender and without a server."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli import resource_options
from protocol import flat_scene, photo_formats

if TYPE_CHECKING:
    from backend.perception.lift import LiftedPhoto

ENDINGS = (".ply", ".npz")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("lift", help="make a point cloud of a photo")
    parser.add_argument("photo", type=Path, help=photo_formats.PHOTO_WORDS)
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        action="append",
        help="a .ply (coloured points) or a .npz (image, depth, segments, camera) to write; "
        "may be given twice",
    )
    parser.add_argument("--depth-map", type=Path, help=photo_formats.DEPTH_MAP_WORDS)
    parser.add_argument(
        "--farther-is-larger", action="store_true", help="of the depth map's values"
    )
    parser.add_argument(
        "--fov",
        type=float,
        default=0.0,
        help="degrees across the photo (default: what its file says, else 50)",
    )
    parser.add_argument(
        "--scene",
        choices=(flat_scene.AUTO, flat_scene.GROUND, flat_scene.BACKDROP),
        default=flat_scene.AUTO,
        help="without a depth model or map: a ground up to the horizon, one backdrop at the far "
        "distance, or what the photo looks like (default)",
    )
    parser.add_argument(
        "--horizon", type=float, default=0.35, help="of a ground; 0 is the photo's top"
    )
    parser.add_argument("--near", type=float, default=2.0, help="distance of the nearest point")
    parser.add_argument("--far", type=float, default=20.0, help="distance of the farthest point")
    parser.add_argument(
        "--max-side", type=int, default=1280, help="a longer photo is scaled down to it"
    )
    parser.add_argument(
        "--depth-model", default="auto", help="auto, offline or a name of `levitor weights list`"
    )
    parser.add_argument("--segment-model", default="auto", help="likewise")
    parser.add_argument(
        "--depth-size", type=int, default=518, help="pixels the depth network looks at"
    )
    parser.add_argument(
        "--no-clean-edges", action="store_true", help="keep points between near and far"
    )
    resource_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Lift and write the file; writes nothing on an error."""
    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.files.atomic import write_atomically
    from backend.files.scene import npz, ply
    from backend.geometry.camera import unproject
    from backend.session import Session
    from protocol import content, messages

    told = resource_options.parse_resource_options(args)
    inputs = [args.photo] if args.depth_map is None else [args.photo, args.depth_map]
    check_outputs(args.out, inputs, ENDINGS)
    files = [path.read_bytes() for path in inputs]
    blobs = [content.blob_of(each, "application/octet-stream") for each in files]
    data = {blob.sha256: each for blob, each in zip(blobs, files, strict=True)}
    message = messages.LiftRequest(
        image=blobs[0],
        horizontal_fov=args.fov,
        horizon=args.horizon,
        near=args.near,
        far=args.far,
        depth=messages.DepthMapFile(file=blobs[1], nearer_is_larger=not args.farther_is_larger)
        if args.depth_map is not None
        else None,
        max_side=args.max_side,
        depth_model=args.depth_model,
        segment_model=args.segment_model,
        depth_size=args.depth_size,
        clean_edges=not args.no_clean_edges,
        scene_kind=args.scene,
    )
    session = Session(told.resources)
    began = time.monotonic()
    with progress_bar() as on_step:
        pixels, lifted = session.lift_photo(message, data.__getitem__, on_step)
    about = _about(lifted)
    written: list[bytes] = []
    for path in args.out:
        if path.suffix.lower() == ".ply":
            camera = lifted.lift.camera
            points = unproject(lifted.lift.depth, camera.intrinsics).numpy()
            written.append(ply(points, pixels, lifted.segments, f"LeviTor, {about}"))
        else:
            written.append(npz(_arrays(pixels, lifted)))
    seconds = time.monotonic() - began
    height, width = pixels.shape[:2]
    for path, each in zip(args.out, written, strict=True):
        write_atomically(path, each)
        print(
            f"{path}: {width} x {height} points, {len(each) / 1e6:.2f} MB, {about}, {seconds:.1f} s"
        )
    for note in lifted.notes:
        print(note)
    return 0


def _about(lifted: LiftedPhoto) -> str:
    return (
        f"depth from {lifted.depth_model}, {int(lifted.segments.max(initial=0))} segments from "
        f"{lifted.segment_model}, field of view {lifted.horizontal_fov:.1f} degrees "
        f"({lifted.fov_source})"
    )


def _arrays(pixels: Any, lifted: LiftedPhoto) -> dict[str, Any]:
    """The arrays of a .npz by name.

    image uint8 (H, W, 3) sRGB; depth float32 (H, W), z in scene units; segments int32 (H, W), 0 is
    none; intrinsics float64 (3, 3), pixels with the centre of the first one at (0.5, 0.5); near and
    far; scene_kind ground, backdrop or empty; horizontal_fov in degrees; names of the models and
    how the field of view is known.
    """
    return {
        "image": pixels,
        "depth": lifted.lift.depth.numpy(),
        "segments": lifted.segments,
        "intrinsics": lifted.lift.camera.intrinsics.numpy(),
        "near": lifted.lift.near,
        "far": lifted.lift.far,
        "scene_kind": lifted.lift.kind,
        "horizontal_fov": lifted.horizontal_fov,
        "fov_source": lifted.fov_source,
        "depth_model": lifted.depth_model,
        "segment_model": lifted.segment_model,
        "notes": "\n".join(lifted.notes),
    }
