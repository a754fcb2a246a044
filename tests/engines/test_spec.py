"""A specification: what it refuses to be, what an option may be told, and the weights it needs."""

from __future__ import annotations

import pytest

from backend.engines.base import EngineSpec
from protocol.errors import ShotError
from protocol.frames import FrameRule, rule_of
from protocol.messages import EngineOption
from tests.toy.spec import SPEC


def option(name="one", default="", **more) -> EngineOption:
    return EngineOption(name=name, label="One", help="Helps", default=default, **more)


def spec(*options, **more) -> EngineSpec:
    return EngineSpec(name="a", label="A", help="", options=options, **more)


PROMPT = option("prompt", kind="text")


@pytest.mark.parametrize(
    ("options", "more", "what"),
    [
        pytest.param([option(), option()], {}, "taken", id="a name twice"),
        pytest.param([option("one two")], {}, "no identifier", id="a name with a space"),
        pytest.param([option(default=5, high=4)], {}, "allowed -inf to 4", id="default too high"),
        pytest.param([option(choices=("b", "c"))], {}, "allowed b, c", id="default no choice"),
        pytest.param([option(kind="curve")], {}, "kind 'curve'", id="a kind nobody knows"),
        pytest.param([option(default=1, kind="text")], {}, "kind 'text'", id="a number as text"),
        pytest.param(
            [option(default="b", choices=("b",), kind="text")], {}, "kind 'text'", id="text, choice"
        ),
        pytest.param([option(default="abc", kind="text", length=2)], {}, "3 characters", id="long"),
        pytest.param([option(kind="text", length=0)], {}, "holds no text", id="no length"),
        pytest.param([option(default="1", kind="instances")], {}, "not known", id="an instance"),
        pytest.param([option(visible_if=("two", 1))], {}, "option before it", id="of no option"),
        pytest.param(
            [option(visible_if=("two", 1)), option("two", 1)], {}, "option before it", id="of later"
        ),
        pytest.param(
            [option(visible_if=("one", ""))], {}, "option before it", id="of the option itself"
        ),
        pytest.param(
            [option("two", 1), option(visible_if=("two",))], {}, "then its values", id="no values"
        ),
        pytest.param(
            [option("two", 1, high=4), option(visible_if=("two", 2, 7))],
            {},
            "Option 'two' is 7, allowed",
            id="a value that the other cannot have",
        ),
        pytest.param(
            [option("two", 1), option(visible_if=("two", "1"))], {}, "a whole number", id="a type"
        ),
        pytest.param([PROMPT], {}, "go together", id="a prompt that is not required"),
        pytest.param([], {"requires": frozenset({"prompt"})}, "go together", id="no prompt"),
        pytest.param(
            [option("prompt")], {"requires": frozenset({"prompt"})}, "go together", id="a line"
        ),
        pytest.param(
            [],
            {"requires": frozenset({"flow"})},
            "requires flow; it may require",
            id="flow",
        ),
        pytest.param([], {"requires": ("draft",)}, r"requires is \('draft',\), not a", id="tuple"),
        pytest.param([], {"requires": "draft"}, "requires is 'draft', not a", id="one name"),
        pytest.param([], {"frames": 5}, "frames is 5, not a FrameRule", id="frames"),
        pytest.param([], {"weights": "svd-xt"}, "weights is 'svd-xt', not", id="one weight"),
        pytest.param([], {"weights": ["svd-xt"]}, r"weights is \['svd-xt'\], not", id="list"),
        pytest.param([], {"weights": (1,)}, r"weights is \(1,\), not", id="number"),
        pytest.param(["one"], {}, r"options is \('one',\), not a tuple", id="options"),
    ],
)
def test_a_specification_that_breaks_a_rule_is_none(options, more, what):
    with pytest.raises(ValueError, match=what):
        spec(*options, **more)


def test_a_specification_travels_with_its_rule_and_what_it_requires():
    info = SPEC.info()
    assert rule_of(info) == SPEC.frames
    assert info.requires == ("boxes", "prompt")
    assert info.options == SPEC.options
    older = spec(frames=FrameRule(min=2, max=64, default=16)).info()
    assert (older.num_frames, older.least_frames, older.most_frames) == (16, 2, 64)


@pytest.mark.parametrize(
    ("given", "instances", "sentence"),
    [
        pytest.param({"prompt": "x" * 61}, (), "has 61 characters, allowed 60. Shorten it by 1"),
        pytest.param({"prompt": 3}, (), "'prompt' is 3, which is not text"),
        pytest.param({"seeds": 3.0}, (), "'seeds' is 3.0, which is not a whole number"),
        pytest.param({"which": "1,4"}, (1, 2), "names instance 4; the shot has 1, 2"),
        pytest.param({"which": "1"}, (), "names instance 1; the shot has none"),
        pytest.param({"which": "first"}, (1,), "'first' is no list of instances like 1,3"),
        pytest.param({"mode": "slow"}, (), "'mode' is 'slow', allowed quick, soft, fine"),
        pytest.param({"tint": 1.5}, (), "'tint' is 1.5, allowed 0 to 1"),
        pytest.param({"colour": 1}, (), "has no option 'colour'. Its options are: prompt"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_what_can(given, instances, sentence):
    with pytest.raises(ShotError) as caught:
        SPEC.completed(given, instances)
    assert sentence in f"{caught.value.sentence} {caught.value.fix}"


def test_a_text_has_lines_and_an_instance_of_the_shot_may_be_named():
    given = {"prompt": "a\nb" + "c" * 57, "which": "2,1", "tint": 1}
    assert SPEC.completed(given, {1, 2}) == {
        "prompt": given["prompt"], "mode": "quick", "softness": 0.5, "which": "2,1", "tint": 1.0,
        "mirror": False, "seeds": 1, "note": "",
    }  # fmt: skip
    assert SPEC.completed({"which": "9"})["which"] == "9"  # where no shot is known


def test_the_weights_depend_on_the_options_and_by_default_on_their_defaults():
    assert SPEC.needs({}) == ()
    assert SPEC.needs({"mode": "fine"}) == ("toy", "toy-fine")
    assert spec(weights=("svd-xt",)).needs({}) == ("svd-xt",)
    with pytest.raises(ShotError, match="allowed quick, soft, fine"):
        SPEC.needs({"mode": "slow"})
