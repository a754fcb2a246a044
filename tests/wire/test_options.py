"""Options of an engine on the wire: their kinds, the instances they name, where they are of use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import EngineOption
from protocol.options import ids_of, kind_of, text_of, visible


def option(default, name="x", **more) -> EngineOption:
    return EngineOption(name=name, label="", help="", default=default, **more)


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        pytest.param(option(True), "switch", id="true is no number"),
        pytest.param(option(1), "whole", id="whole"),
        pytest.param(option(1.0), "number", id="number"),
        pytest.param(option("a", choices=("a", "b")), "choice", id="one of two"),
        pytest.param(option("c", choices=("a", "b")), "line", id="a default that is no choice"),
        pytest.param(option("a"), "line", id="one line, as before 1.3"),
        pytest.param(option("a", kind="text"), "text", id="text"),
        pytest.param(option("", kind="instances"), "instances", id="instances"),
        pytest.param(option("", kind="curve"), "curve", id="of a newer server"),
        pytest.param(option(1, kind="instances"), "whole", id="a number is a number"),
    ],
)
def test_the_kind_is_what_the_type_says_and_of_a_text_what_it_says_itself(one, kind):
    assert kind_of(one) == kind


@pytest.mark.parametrize(
    ("text", "ids"),
    [("", ()), ("  ", ()), ("3", (3,)), ("3,1", (1, 3)), (" 2 , 2,10 ", (2, 10))],
)
def test_a_text_names_instances_and_none_means_all(text, ids):
    assert ids_of(text) == ids


@pytest.mark.parametrize("text", ["a", "1,", ",", "1;2", "-1", "1.5", "١", "1" * 10])
def test_what_is_no_list_of_numbers_names_no_instances(text):
    with pytest.raises(ValueError, match="is no list of instances"):
        ids_of(text)


@given(st.sets(st.integers(1, 255)))
def test_the_text_of_instances_names_them(ids):
    assert set(ids_of(text_of(ids))) == ids


def test_an_option_is_of_use_where_the_other_has_one_of_its_values():
    one, two, three = (
        option("off", "mode", choices=("off", "soft", "hard")),
        option(1.0, "amount", visible_if=("mode", "soft", "hard")),
        option(True, "extra", visible_if=("amount", 1.0)),
    )
    every = (one, two, three)
    assert visible(every, {"mode": "off", "amount": 1.0}) == (one,)
    assert visible(every, {"mode": "hard", "amount": 1.0}) == every
    assert visible(every, {"mode": "hard", "amount": 2.0}) == (one, two)


def test_a_condition_on_an_option_that_is_not_there_is_not_met():
    assert visible((option(1, visible_if=("gone", 1)),), {"x": 1}) == ()
