"""The command line options that name the networks of the metrics; nothing is downloaded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.evaluation.features import Extractor
    from backend.evaluation.flow import Flow
    from backend.evaluation.lpips import LPIPS
    from backend.evaluation.recipes.measure import Measures
    from backend.evaluation.trackers import Tracker
    from backend.resources import Resources

NETWORKS = {
    "inception": "Inception-v3 of 2015-12-05, for FID",
    "i3d": "I3D of Kinetics-400 as TorchScript, for FVD",
    "alexnet": "AlexNet, for LPIPS",
    "lpips": "LPIPS' linear layers for AlexNet",
    "raft": "RAFT (large) of torchvision, for EPE and Motion-Diff; without it a proxy is used",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    for name, use in NETWORKS.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=use)
    add_tracker(parser)


def add_tracker(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the tracker alone."""
    parser.add_argument(
        "--cotracker",
        type=Path,
        metavar="FILE",
        help="a checkpoint of CoTracker, for ObjMC and CamMC; without it a proxy is used",
    )
    parser.add_argument(
        "--cotracker-checkout",
        type=Path,
        metavar="FOLDER",
        help="of co-tracker's repository; without it --cotracker is a TorchScript",
    )
    parser.add_argument(
        "--cotracker-model", default="cotracker2", help="of hubconf.py (default: cotracker2)"
    )


def tracker_of(args: argparse.Namespace, device: str) -> Tracker:
    """CoTracker, or the proxy.

    Raises:
        ShotError: a file that was named is not there, or is another one.
    """
    from backend.evaluation.trackers import CoTracker, LucasKanade

    if args.cotracker is None:
        return LucasKanade()
    return CoTracker(args.cotracker, args.cotracker_checkout, args.cotracker_model, device)


def measures(
    args: argparse.Namespace, resources: Resources, *, through_256: bool = False
) -> Measures:
    """The networks that were named; what is not is said, and its columns stay empty.

    Args:
        args: the parsed options.
        resources: of the networks, the depth network among them.
        through_256: how FVD's frames are resized.

    Raises:
        ShotError: a file that was named is not there, or is another one.
    """
    from backend.evaluation.recipes.controls import ClipDepth
    from backend.evaluation.recipes.measure import Measures

    found = networks(args, resources.device, through_256=through_256)
    return Measures(
        tracker=found.tracker,
        flow=found.flow,
        depth=ClipDepth(args.depth_model, resources),
        inception=found.inception,
        i3d=found.i3d,
        lpips=found.lpips,
        missing=found.missing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What measures.

    Attributes:
        tracker: of points.
        flow: of pixels.
        inception: of FID; None where it was not named.
        i3d: of FVD, likewise.
        lpips: likewise.
        missing: what is missing for FID and FVD, in a sentence each.
    """

    tracker: Tracker
    flow: Flow
    inception: Extractor | None
    i3d: Extractor | None
    lpips: LPIPS | None
    missing: Mapping[str, str]


def networks(args: argparse.Namespace, device: str, *, through_256: bool = False) -> Networks:
    """The networks that were named, and proxies.

    Args:
        args: the parsed options.
        device: of the networks.
        through_256: how FVD's frames are resized.

    Raises:
        ShotError: a file that was named is not there, or is another one.
    """
    from backend.evaluation.features import I3D400, Inception
    from backend.evaluation.flow import DIS, RAFT
    from backend.evaluation.lpips import LPIPS
    from protocol.errors import ShotError

    missing: dict[str, str] = {}
    inception = i3d = lpips = None
    try:
        inception = Inception(args.inception, device)
    except ShotError as error:
        missing["FID"] = _unless_named(args.inception, error)
    try:
        i3d = I3D400(args.i3d, device, through_256=through_256)
    except ShotError as error:
        missing["FVD"] = _unless_named(args.i3d, error)
    if args.alexnet is not None or args.lpips is not None:
        lpips = LPIPS(args.alexnet, args.lpips, device)
    return Networks(
        tracker=tracker_of(args, device),
        flow=DIS() if args.raft is None else RAFT(args.raft, device),
        inception=inception,
        i3d=i3d,
        lpips=lpips,
        missing=missing,
    )


def _unless_named(path: Path | None, error: Exception) -> str:
    """What is missing; a file that was named and cannot be used ends the command."""
    if path is not None:
        raise error
    return str(error)
