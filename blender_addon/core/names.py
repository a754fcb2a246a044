"""Unique names, numbered as Blender numbers them."""

from __future__ import annotations

from collections.abc import Collection


def unique(wanted: str, taken: Collection[str]) -> str:
    """``wanted``, or the same with the first free number: Flower, Flower.001, Flower.002."""
    wanted = wanted.strip() or "Instance"
    if wanted not in taken:
        return wanted
    stem, dot, number = wanted.rpartition(".")
    if not (dot and stem and number.isdigit()):
        stem = wanted
    count = 1
    while (name := f"{stem}.{count:03d}") in taken:
        count += 1
    return name
