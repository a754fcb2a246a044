"""Measured numbers beside a paper's own, as Markdown and as comma-separated values."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping

from backend.evaluation.intervals import Interval
from backend.evaluation.published import Key, Recipe

OTHER_PROTOCOL = "published, other protocol"
MEASURED = "measured"
PROXY = "proxy, not comparable"
"""What is said of every number that comes from a tracker or flow that no paper has used."""
HEADER = ("setting", "method", "N")


def table_of(
    recipe: Recipe,
    measured: Mapping[Key, Mapping[str, Interval]],
    replaced: Collection[Key] = (),
    proxies: Collection[str] = (),
) -> list[tuple[str, ...]]:
    """Header and rows as text: ours beside the published ones.

    A row that was measured stands above the published one of its name.

    Args:
        recipe: whose table.
        measured: by row, then by metric; a metric that is missing is a dash.
        replaced: rows whose published numbers are left out, since the same system's videos were
            measured.
        proxies: metrics that were measured by what no paper has used.
    """
    ours = [name for name in recipe.ours if any(name in found for found in measured.values())]
    columns = (*recipe.metrics, *ours)
    rows: list[tuple[str, ...]] = [(*HEADER, *columns, "numbers")]
    for key in [*measured, *(key for key in recipe.rows if key not in measured)]:
        if (found := measured.get(key)) is not None:
            counts = sorted({found[name].count for name in columns if name in found})
            number = "/".join(str(count) for count in (*counts[:1], *counts[1:][-1:])) or "0"
            cells = [interval_text(found.get(name)) for name in columns]
            weak = ", ".join(name for name in columns if name in found and name in proxies)
            rows.append(
                (*key, number, *cells, f"{MEASURED}; {weak}: {PROXY}" if weak else MEASURED)
            )
        if (published := recipe.rows.get(key)) is not None and key not in replaced:
            cells = ["-" if value is None else f"{value:g}" for value in published]
            rows.append((*key, "-", *cells, *("-" for _ in ours), OTHER_PROTOCOL))
    return rows


def markdown(rows: list[tuple[str, ...]]) -> str:
    """A table of :func:`table_of` as Markdown."""
    header, *body = rows
    lines = [header, tuple("---" for _ in header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def comma_separated(rows: list[tuple[str, ...]]) -> str:
    """A table of :func:`table_of` as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def interval_text(found: Interval | None) -> str:
    """A cell: ``1.23 [1.10, 1.40]``, or a dash."""
    if found is None or math.isnan(found.mean):
        return "-"
    if math.isnan(found.low):
        return f"{found.mean:.4g}"
    return f"{found.mean:.4g} [{found.low:.4g}, {found.high:.4g}]"
