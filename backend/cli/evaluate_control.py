"""`levitor evaluate control`: whether what a small model was trained on makes its videos obey."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from backend.cli import resource_options

DESCRIPTION = """\
Measure whether the control of a run of tiny-cpu is obeyed: on clips of photos that no run learns
from, drawn from another seed. Rows: trained; zeroed (maps of zeros), shuffled (the next clip's
maps), frozen (the first frame, repeated), carried (what the ControlNet is handed, pasted where the
points are, with no network); and a row for every --compare.

centroid_error_px   how far things are from where they should be: each thing's exact look is
                    searched for in every frame (ObjMC, first frames and hidden things left out)
change_iou          pixels that change, of those that do or should
occlusion_accuracy  share of occlusions with the right thing in front; even odds are 0.5
Each is a mean over clips with its 95 % bootstrap interval. Beside FILE come a table (.md), curves
of the run (-curves.png; matplotlib draws them) and a contact sheet (-sheet.png)."""
ROWS = ("trained", "zeroed", "shuffled", "frozen", "carried")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = subparsers.add_parser(
        "control",
        help="whether the control that a run of tiny-cpu trained is obeyed",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="DIR", help="the run's folder, or a checkpoint's")
    parser.add_argument("--clips", type=int, default=128, metavar="N", help="default: 128")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of clips and noise")
    parser.add_argument(
        "--steps",
        type=int,
        default=2,
        metavar="K",
        help="of the sampler (default: 2; more are sharper, and noisier after an hour of training)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="another run, as a row of that name; may be given several times",
    )
    resource_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the files."""
    import torch

    from backend.cli.outputs import check_outputs
    from backend.cli.progress import progress_bar
    from backend.device import choose
    from backend.evaluation.control_run import load_run, measure
    from backend.files.atomic import write_atomically

    if args.json is not None:
        check_outputs([args.json], [], (".json",))
    resources = resource_options.parse_resource_options(args).resources
    others = {name: load_run(folder) for name, folder in _compared(args.compare).items()}
    trained = load_run(args.run)
    with progress_bar() as on_step:
        report = measure(
            trained,
            others,
            args.clips,
            args.seed,
            args.steps,
            torch.device(choose(resources.device)),
            on_step,
        )
    table = markdown_table(report.values)
    print(table)
    if args.json is not None:
        from backend.cli import control_pictures

        args.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report.values, indent=1, allow_nan=False) + "\n"
        write_atomically(args.json, text.encode())
        write_atomically(args.json.with_suffix(".md"), (table + "\n").encode())
        stem = args.json.with_suffix("")
        shown = {name: clips for name, clips in report.made.items() if name != "frozen"}
        sheet = control_pictures.contact_sheet(report.truth, shown)
        write_atomically(stem.with_name(f"{stem.name}-sheet.png"), sheet)
        run_folder = args.run if (args.run / "metrics.jsonl").exists() else args.run.parent
        runs = {"trained": run_folder, **_compared(args.compare)}
        drawn = control_pictures.curves(
            {name: control_pictures.lines(d) for name, d in runs.items()}
        )
        if drawn is None:
            print("No curves: `pip install levitor[train]` brings matplotlib.")
        else:
            write_atomically(stem.with_name(f"{stem.name}-curves.png"), drawn)
    return 0


def _compared(texts: list[str]) -> dict[str, Path]:
    from protocol.errors import ShotError

    found: dict[str, Path] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not (equals and name and place) or name in ROWS or name in found:
            raise ShotError(
                "option",
                f"--compare {text:.60} is no NAME=DIR with a name of its own.",
                "Write --compare no-depth=runs/no-depth.",
            )
        found[name] = Path(place)
    return found


def markdown_table(values: dict[str, Any]) -> str:
    """The rows with their intervals, and what the errors are relative to one another."""
    lines = [
        "| row | centroid error, px | % of diagonal | one object, px | several, px | change IoU | "
        "occlusion order |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in values["rows"].items():
        one, several = row["one_object"], row["several_objects"]
        lines.append(
            f"| {name} | {_with_interval(row, 'centroid_error_px')} | "
            f"{_plain(row['centroid_error_percent'])} | {_plain(one['centroid_error_px'])} | "
            f"{_plain(several['centroid_error_px'])} | {_with_interval(row, 'change_iou')} | "
            f"{_with_interval(row, 'occlusion_accuracy')} |"
        )
    trained = values["rows"]["trained"]
    lines += [
        "",
        f"{values['clips']} clips ({trained['one_object']['clips']} of one object), "
        f"{trained['intervals']['occlusion_accuracy']['count']} with an occlusion; "
        f"{trained['places']} places compared, {trained['places_left_out']} hidden. In brackets: "
        "95 % of resampled sets of clips.",
        "",
        "| centroid error | one object | all clips |",
        "|---|---|---|",
    ]
    for name, groups in values["ratios_of_centroid_error"].items():
        cells = [
            f"{_plain(groups[group]['mean'])} [{_plain(groups[group]['low'])}, "
            f"{_plain(groups[group]['high'])}]"
            for group in ("one_object", "all")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_interval(row: dict[str, Any], name: str) -> str:
    found = row["intervals"][name]
    return f"{_plain(found['mean'])} [{_plain(found['low'])}, {_plain(found['high'])}]"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
