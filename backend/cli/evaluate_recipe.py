"""`levitor evaluate RECIPE`: a table of the papers, made and measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli import evaluation_networks, resource_options
from backend.evaluation.published import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend.evaluation.clip_sets import KnownClipSet
    from backend.evaluation.published import Recipe
    from backend.evaluation.recipes.plan import Weights

NAMES = tuple(recipe.name for recipe in RECIPES)
DESCRIPTION = """\
Renders every clip of a prepared set with each engine named, scores these videos and those of other
systems in one protocol, and writes the table beside the published numbers. docs/evaluation.md has
the commands for each table.

Below --out: results.json (everything, every clip), table.md, table.csv, bars.png, sheets/ (the
best, median and worst clips of a row), videos/ (lossless). Run it again to go on where it was
stopped: a video that is there is not made again; another seed, engine, option or weights is
refused. A row without its weights, and a clip that cannot be made, is listed; the rest goes on. The
first frame, repeated ("frozen"), is always a row."""


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare an action for each table."""
    parser = actions.add_parser(
        NAMES[0],
        aliases=NAMES[1:],
        help="make and measure a table of the papers (--list says which)",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--clips",
        action="append",
        required=True,
        metavar="[SET=]FOLDER",
        help="what `levitor evaluate prepare` made, or Image Conductor's folder of trajectories; "
        "SET where the table has several, as in Single-Point=FOLDER",
    )
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="NAME[=CHECKPOINT]",
        help="an engine, or a row of the table that one makes; may be given several times",
    )
    parser.add_argument(
        "--videos",
        action="append",
        default=[],
        metavar="[SET/]METHOD=FOLDER",
        help="videos of another system, each with its clip's name; may be given several times",
    )
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FOLDER",
        help="write each clip's first frame (PNG) and trajectories (JSON) there, for other systems",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of everything")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of all noise (default: 0)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips of each set")
    parser.add_argument(
        "--reference", type=Path, metavar="FOLDER", help="videos that conductor-1 compares with"
    )
    parser.add_argument("--depth-model", default="auto", help="which network, auto or offline")
    parser.add_argument(
        "--devices",
        metavar="LIST",
        help="a process each: cuda:0,cuda:1, or cpu:2 (default: --device)",
    )
    evaluation_networks.add_arguments(parser)
    resource_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make, measure, print the table, write the files."""
    from dataclasses import replace

    from backend.cli.console import counted
    from backend.cli.outputs import check_folder
    from backend.cli.phase_times import PhaseTimes
    from backend.cli.progress import progress_bar
    from backend.device import choose, describe
    from backend.evaluation.published import recipe_of
    from backend.evaluation.recipes.inputs import write_inputs
    from backend.evaluation.recipes.plan import parsed_engines, parsed_videos
    from backend.evaluation.recipes.report import page_of, write_report
    from backend.evaluation.recipes.run import Request, run_recipe
    from backend.evaluation.recipes.workers import device_list
    from backend.evaluation.tables import comma_separated, markdown
    from backend.files.atomic import write_atomically
    from protocol.errors import ShotError

    check_folder(args.out)
    if args.limit is not None and args.limit < 1:
        raise ShotError("option", f"--limit {args.limit} leaves no clip.", "Give 1 or more.")
    recipe = recipe_of(args.action)
    options = resource_options.parse_resource_options(args)
    devices = (
        [choose(name) for name in device_list(args.devices)]
        if args.devices
        else [choose(options.device)]
    )
    measures = evaluation_networks.measures(
        args, replace(options.resources, device=devices[0]), through_256=recipe.through_256
    )
    sets = opened_sets(recipe, args.clips)
    request = Request(
        recipe=recipe,
        sets=sets,
        engines=parsed_engines(recipe, args.engine, _weights(options)),
        videos=parsed_videos(recipe, args.videos, list(sets)),
        out=args.out,
        resources=options.resources,
        devices=devices,
        depth=args.depth_model,
        seed=args.seed,
        limit=args.limit,
        reference=args.reference,
    )
    if args.inputs is not None:
        check_folder(args.inputs)
        written = write_inputs(request, args.inputs)
        print(f"{args.inputs}: first frame and trajectories of {counted(written, 'clip')}")
    with progress_bar() as on_step:
        times = PhaseTimes(on_step)
        measured = run_recipe(request, measures, times)
        said = write_report(measured, measures, [describe(name) for name in devices])
    speed = times.table()
    write_atomically(args.out / "speed.csv", comma_separated(speed).encode())
    print(page_of(measured, measures))
    print("\nIn this run, of clips that were not done before:\n\n" + markdown(speed) + "\n")
    print("\n".join([*said, f"{args.out}: results.json, table.md, table.csv, sheets, videos"]))
    return 0


def opened_sets(recipe: Recipe, given: list[str]) -> dict[str, KnownClipSet]:
    """The sets of clips of ``--clips``, by name, in the table's order.

    Raises:
        ShotError: one cannot be opened, or it is not said which of the table's it is.
    """
    from backend.evaluation.prepared_clips import PreparedClips
    from backend.evaluation.recipes.trajectories import TrajectoryClips
    from protocol.errors import ShotError

    found: dict[str, KnownClipSet] = {}
    for text in given:
        name, equals, place = text.partition("=")
        if not equals or name not in recipe.sets:
            name, place = next(iter(recipe.sets)) if len(recipe.sets) == 1 else "", text
        folder = Path(place)
        if TrajectoryClips.recognises(folder):
            for kind in recipe.sets if name == "" else (name,):
                found[kind] = TrajectoryClips(folder, kind)
            continue
        if name not in recipe.sets or name in found:
            written = " and ".join(f'--clips "{one}=FOLDER"' for one in recipe.sets)
            raise ShotError(
                "option",
                f"--clips {text:.80} does not say which set it is, or names it again.",
                f"Write {written}.",
            )
        found[name] = PreparedClips.open(folder)
    return {name: found[name] for name in recipe.sets if name in found}


def _weights(options: resource_options.ResourceOptions) -> Callable[[str, Path | None], Weights]:
    """Finds the weights of an engine, of which one set may be a checkpoint."""
    from backend.engines import registry
    from backend.evaluation.recipes.rendering import CheckpointWeights, checkpoint_folder
    from protocol.errors import ShotError

    def weights_of(engine: str, checkpoint: Path | None) -> Weights:
        others = options.search.require
        if checkpoint is None:
            return others
        needs = registry.spec_of(engine).needs({})
        if not needs:
            raise ShotError(
                "checkpoint",
                f"The engine '{engine}' has no weights, so {checkpoint} is none of its.",
                "Leave the checkpoint out.",
            )
        name = engine if engine in needs else needs[-1]
        return CheckpointWeights(name=name, path=checkpoint_folder(checkpoint), others=others)

    return weights_of
