"""Options of engines as fields: kinds, limits, and values that follow a change of the engine."""

from dataclasses import replace

import numpy as np
import pytest

from blender_addon.core import options
from blender_addon.link.wire import messages


def option(default, low=None, high=None, choices=()) -> messages.EngineOption:
    return messages.EngineOption(
        name="x", label="X", help="", default=default, low=low, high=high, choices=choices
    )


@pytest.mark.parametrize(
    ("default", "choices", "kind"),
    [
        pytest.param(True, (), "BOOL", id="true is no number"),
        pytest.param(1, (), "INT", id="whole"),
        pytest.param(1.0, (), "FLOAT", id="number"),
        pytest.param("a", (), "TEXT", id="text"),
        pytest.param("a", ("b", "a"), "CHOICE", id="one of two"),
        pytest.param("c", ("b", "a"), "TEXT", id="a default that is no choice"),
    ],
)
def test_the_kind_of_a_field_is_that_of_its_default(default, choices, kind):
    assert options.kind_of(option(default, choices=choices)) == kind


def test_text_of_lines_and_instances_have_fields_and_what_a_newer_backend_has_does_not():
    made = [replace(option(""), kind=kind) for kind in ("text", "instances", "curve")]
    assert [options.kind_of(one) for one in made] == ["TEXT", "INSTANCES", ""]
    assert [options.fits(one) for one in made] == [True, True, False]


def test_options_stand_under_their_headings_and_advanced_ones_apart():
    made = [
        replace(option(1.0), name=name, group=group, advanced=advanced, visible_if=condition)
        for name, group, advanced, condition in (
            ("a", "Look", False, ()),
            ("b", "", False, ()),
            ("c", "Look", True, ()),
            ("d", "Look", False, ("b", 2.0)),
            ("e", "Look", False, ("b", 1.0)),
        )
    ]
    found = options.groups(made, dict.fromkeys("abcde", 1.0))
    assert [
        (group.heading, group.advanced, "".join(one.name for one in group.options))
        for group in found
    ] == [("Look", False, "ae"), ("", False, "b"), ("Look", True, "c")]


def test_limits_of_whole_numbers_are_whole_and_of_32_bits():
    assert options.limits(option(3, 0.5, 7.9)) == (1, 7)
    assert options.limits(option(3)) == (-(2**31), 2**31 - 1)
    assert options.limits(option(3.0, 0.5))[0] == 0.5


def test_what_32_bits_cannot_hold_gets_no_field():
    assert not options.fits(option(2**31))
    assert options.fits(option(2**31 - 1))
    assert options.fits(option(0.1, 0.0, 1.0))
    assert options.fits(option(True))


@pytest.mark.parametrize(
    ("new", "value", "old", "expected"),
    [
        pytest.param(option(2.0, 0, 4), 1.0, option(1.0, 0, 4), 2.0, id="follows the default"),
        pytest.param(option(2.0, 0, 4), 3.0, option(1.0, 0, 9), 3.0, id="what was set stays"),
        pytest.param(option(2.0, 0, 4), 7.0, option(1.0, 0, 9), 4.0, id="within the limits"),
        pytest.param(option(2, 0, 4), 7.0, option(1.0, 0, 9), 2, id="another kind"),
        pytest.param(option(2, 0, 4), 7, option(1, 0, 9), 4, id="whole stays whole"),
        pytest.param(option("b", choices=("a", "b")), "c", option("a", choices=("a", "c")), "b"),
        pytest.param(option("b", choices=("a", "b")), "a", option("c", choices=("a", "c")), "a"),
        pytest.param(option(True), False, option(True), False, id="a switch stays"),
        pytest.param(option("b"), "mine", option("a"), "mine", id="text stays"),
    ],
)
def test_a_value_is_carried_over_to_the_engine_as_it_is_now(new, value, old, expected):
    found = options.carried(new, value, old)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("typed", [0.3, 0.02, 1.0, 12345.678, 1e-5, 0.0, -2.5])
def test_a_number_is_what_was_typed_though_blender_keeps_32_bits(typed):
    assert options.shortest(float(np.float32(typed))) == typed
    assert options.shortest(typed) == typed


def test_an_option_is_the_same_after_it_was_kept_as_text():
    one = option("b", choices=("a", "b"))
    assert options.unpacked(options.packed(one)) == one
    later = options.packed(one)[:-1] + ', "unit": "px"}'
    assert options.unpacked(later) == one


def test_the_signature_changes_with_any_part_of_an_option():
    def sign(one):
        return options.signature(
            [messages.EngineInfo(name="draft", label="", help="", options=(one,))]
        )

    assert sign(option(1.0)) == sign(option(1.0))
    assert len({sign(option(1.0)), sign(option(1)), sign(option(1.0, 0)), sign(option(2.0))}) == 4
