"""``levitor weights``: lists, checks and downloads weights."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.weights.search import Search
    from backend.weights.table import WeightSet


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand and its subcommands."""
    parser = subparsers.add_parser("weights", help="list, find and fetch the models' weights")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all sets of weights, and which are here")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.add_argument("--check", action="store_true", help="also check the files' checksums")
    path = actions.add_parser("path", help="print where a set of weights lies")
    path.add_argument("name", metavar="NAME")
    fetch = actions.add_parser("fetch", help="download sets of weights")
    fetch.add_argument("names", metavar="NAME", nargs="+")
    fetch.add_argument("--to", type=Path, metavar="FOLDER", help="put them into FOLDER/NAME")
    fetch.add_argument(
        "--again", action="store_true", help="fetch what is here already, since it is damaged"
    )
    fetch.add_argument("--yes", action="store_true", help="do not ask: the licence is fine")


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; 1 if weights are missing or a checksum differs."""
    from backend.weights.search import Search

    search = Search.here()
    match args.action:
        case "list":
            return _list(search, as_json=args.json, check=args.check)
        case "path":
            print(search.require(args.name))
        case _:
            _fetch(search, args)
    return 0


def facts_of(weights: WeightSet, search: Search, device: str) -> dict[str, Any]:
    """The facts of one weight set as JSON values."""
    found = search.find(weights.name)
    state = "missing" if found is None else "incomplete" if found.missing else "ready"
    return {
        "name": weights.name,
        "label": weights.label,
        "task": weights.task,
        "help": weights.help,
        "state": state,
        "path": None if found is None else str(found.path),
        "where": None if found is None else found.where,
        "lacks": [] if found is None else list(found.missing),
        "size": weights.size,
        "licence": weights.licence,
        "terms": weights.terms,
        "page": weights.page,
        "memory": weights.bytes_on(device),
        "dtype": "float16" if device.startswith("cuda") else "float32",
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The table as text: a row per weight set, then the terms of each licence."""
    from backend.weights.table import human

    dtype = rows[0]["dtype"]
    lines = [f"{'':10} {'name':<24} {'fetch':>7}  {'in ' + dtype:>10}  licence"]
    for row in rows:
        sizes = f"{human(row['size']):>7}  {human(row['memory']):>10}"
        lines.append(f"{row['state']:<10} {row['name']:<24} {sizes}  {row['licence']}")
        if row["path"]:
            lines.append(f"{'':10} {row['path']} ({row['where']})")
        if row["lacks"]:
            lines.append(f"{'':10} lacks {', '.join(row['lacks'])}")
    lines.append("")
    for licence, terms in {row["licence"]: row["terms"] for row in rows}.items():
        lines += textwrap.wrap(f"{licence}: {terms}.", 98, subsequent_indent="  ")
    return "\n".join(lines)


def _list(search: Search, *, as_json: bool, check: bool) -> int:
    from backend.weights.table import TABLE

    rows = [facts_of(weights, search, "cpu") for weights in TABLE]
    wrong = [row for row in rows if check and not _whole(row)]
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        print(table(rows))
        for row in wrong:
            print(f"levitor: {row['wrong']}", file=sys.stderr)
    return 1 if wrong else 0


def _whole(row: dict[str, Any]) -> bool:
    """Check the files of a row against their record; prints differences."""
    import hashlib

    from backend.weights.record import known_files, wrong_files
    from backend.weights.table import weights_of

    weights = weights_of(row["name"])
    if row["path"] is None:
        return True
    path = Path(row["path"])
    if path.is_file():
        if weights.original is None:
            return True
        with path.open("rb") as file:
            row["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        if row["sha256"] == weights.original.sha256:
            return True
        row["wrong"] = f"{path} is not the file its authors released."
        return False
    known = known_files(weights, path)
    row["checked"] = sorted(known)
    wrong = wrong_files(path, known)
    if wrong:
        told = "; ".join(f"{name}: {trouble}" for name, trouble in wrong.items())
        again = f"`levitor weights fetch {weights.name} --again` gets it anew."
        row["wrong"] = f"{path} is not as it should be: {told}. {again}"
    return not wrong


def _fetch(search: Search, args: argparse.Namespace) -> None:
    from backend.weights.fetch import check_room, fetch
    from backend.weights.table import human, weights_of
    from protocol.errors import ShotError

    to: Path | None = args.to
    wanted = [weights_of(name) for name in dict.fromkeys(args.names)]
    parent = (to or search.target()).expanduser().absolute()
    for weights in wanted:
        found = search.find(weights.name)
        if to is None and found is not None and not found.missing and not args.again:
            print(f"{weights.name} is here already: {found.path}")
            continue
        folder = parent / weights.name
        if to is None and found is not None and found.refillable:
            folder = found.path
        if not args.again:
            check_room(weights, folder)
        print(f"{weights.label}: about {human(weights.size)} into {folder}")
        print(f"  Licence: {weights.licence}; {weights.terms}. {weights.page}")
        if not args.yes and not _agreed():
            raise ShotError(
                "weights",
                f"'{weights.name}' was not fetched: nobody agreed to its licence.",
                "Answer y, or add --yes.",
            )
        fetch(weights, folder, search, again=args.again)
        print(f"{weights.name} is at {folder}")
        found = search.find(weights.name)
        if found is None or found.path != folder:
            print(f"  Tell LeviTor so: --weights {weights.name}={folder}, or in levitor.toml:")
            print(f'  [weights]\n  "{weights.name}" = "{folder}"')


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Fetch it under this licence? [y/N] ").strip().lower() in ("y", "yes")
