"""The papers' tables, and ours printed beside them."""

from __future__ import annotations

import pytest

from backend.evaluation.metrics import bootstrap_interval
from backend.evaluation.published import RECIPES, recipe_of
from backend.evaluation.tables import (
    MEASURED,
    OTHER_PROTOCOL,
    comma_separated,
    markdown,
    table_of,
)


def test_every_row_has_a_number_for_every_column():
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    for recipe in RECIPES:
        assert recipe.rows
        assert all(len(row) == len(recipe.metrics) for row in recipe.rows.values())


@pytest.mark.parametrize(
    ("name", "key", "numbers"),
    [
        ("levitor-1", ("Multi-Points", "LeviTor"), (25.41, 190.44, 25.97)),
        ("sgi2v-1", ("zero-shot", "SG-I2V"), (28.87, 298.10, 14.43)),
        ("conductor-1", ("", "Image Conductor"), (209.74, 1116.17, 33.49, 42.38)),
        ("thesis-4.2", ("unseen objects", "the thesis"), (114.62, 0.895, 235.40, 0.122)),
    ],
)
def test_numbers_are_the_papers(name, key, numbers):
    assert recipe_of(name).rows[key] == numbers


def test_ours_stand_above_the_published_ones_with_their_number_of_clips():
    key = ("Multi-Points", "LeviTor")
    measured = {key: {"ObjMC": bootstrap_interval([20.0, 30.0, float("nan")])}}
    rows = table_of(recipe_of("levitor-1"), measured)
    assert rows[0] == ("setting", "method", "N", "FID", "FVD", "ObjMC", "numbers")
    assert rows[1][:5] == (*key, "2", "-", "-")
    assert rows[1][5].startswith("25 [")
    assert rows[1][6] == MEASURED
    assert rows[2] == (*key, "-", "25.41", "190.44", "25.97", OTHER_PROTOCOL)
    assert len(rows) == 1 + 1 + 6
    assert markdown(rows).splitlines()[1] == "| --- | --- | --- | --- | --- | --- | --- |"
    assert comma_separated(rows).splitlines()[2].endswith('"published, other protocol"')
