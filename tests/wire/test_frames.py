"""How many frames an engine makes: numbers by hand, and the integers of peers before 1.3."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import ProtocolError, decode, encode
from protocol.frames import ANY_NUMBER, LEAST, NO_LIMIT, FrameRule, integers_of, rule_of
from protocol.messages import EngineInfo
from tests.wire.samples import SAMPLES

WAN = FrameRule(min=1, max=81, step=4, default=49)
LEVITOR = FrameRule(min=2, max=64, default=16)


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        pytest.param(ANY_NUMBER, (1, 2, 500), (0, -1), id="any number"),
        pytest.param(WAN, (1, 5, 9, 13, 49, 81), (0, 2, 4, 8, 48, 50, 85), id="4k + 1"),
        pytest.param(LEVITOR, (2, 3, 63, 64), (0, 1, 65), id="from to"),
        pytest.param(FrameRule(min=14, max=14, default=14), (14,), (13, 15), id="one number"),
        pytest.param(FrameRule(min=5, step=8), (5, 13, 21, 805), (1, 6, 12), id="no end"),
        pytest.param(FrameRule(min=2, max=12, step=5), (2, 7, 12), (10, 17), id="ends on a step"),
        pytest.param(FrameRule(min=2, max=11, step=5), (2, 7), (11, 12), id="ends between steps"),
    ],
)
def test_the_allowed_numbers_go_from_the_least_in_steps(rule, allowed, refused):
    assert [n for n in (*allowed, *refused) if rule.allows(n)] == list(allowed)


@pytest.mark.parametrize(
    ("rule", "frames", "limit", "nearest"),
    [
        pytest.param(WAN, 14, None, 13, id="below"),
        pytest.param(WAN, 16, None, 17, id="above"),
        pytest.param(WAN, 15, None, 13, id="the smaller of two"),
        pytest.param(WAN, 13, None, 13, id="itself"),
        pytest.param(WAN, 0, None, 5, id="the least of a video"),
        pytest.param(WAN, 2, None, 5, id="not 1, which is no video"),
        pytest.param(WAN, 1, None, 5, id="nor where 1 is asked for"),
        pytest.param(FrameRule(min=3), 0, None, 3, id="the least"),
        pytest.param(FrameRule(max=1), 9, None, 1, id="an engine that makes no video"),
        pytest.param(WAN, 200, None, 81, id="the most"),
        pytest.param(WAN, 200, 40, 37, id="the most that the server takes"),
        pytest.param(WAN, 39, 40, 37, id="not above what the server takes"),
        pytest.param(FrameRule(min=50), 60, 40, 50, id="a server that takes none of them"),
        pytest.param(ANY_NUMBER, 700, 512, 512, id="any number up to the limit"),
    ],
)
def test_the_nearest_number_is_allowed_and_within_the_limit(rule, frames, limit, nearest):
    assert rule.nearest(frames, limit) == nearest


@pytest.mark.parametrize(
    ("rule", "wanted", "count"),
    [
        pytest.param(ANY_NUMBER, 24, 24, id="one a Blender frame"),
        pytest.param(replace(WAN, default=None), 24, 25, id="the nearest to it"),
        pytest.param(WAN, 24, 49, id="the default"),
        pytest.param(ANY_NUMBER, 0, 2, id="never less than a video"),
        pytest.param(FrameRule(default=1), 24, 2, id="whatever the default"),
    ],
)
def test_without_a_wish_the_default_counts_and_then_the_blender_frames(rule, wanted, count):
    assert rule.count(wanted) == count


@pytest.mark.parametrize(
    ("rule", "frames", "sentence", "fix"),
    [
        pytest.param(WAN, 14, "makes 1, 5, 9 ... 81 frames, the shot has 14", "13 or 17", id="4k"),
        pytest.param(WAN, 3, "makes 1, 5, 9 ... 81 frames, the shot has 3", "5", id="not 1"),
        pytest.param(WAN, 99, "makes 1, 5, 9 ... 81 frames, the shot has 99", "81", id="over"),
        pytest.param(LEVITOR, 65, "makes 2 to 64 frames, the shot has 65", "64", id="range"),
        pytest.param(FrameRule(min=3), 2, "makes 3 or more frames, the shot has 2", "3", id="more"),
        pytest.param(
            FrameRule(min=14, max=14), 9, "makes 14 frames, the shot has 9", "14", id="one"
        ),
        pytest.param(
            FrameRule(min=5, step=8), 6, "makes 5, 13, 21 ... frames, the shot has 6", "5 or 13"
        ),
        pytest.param(
            FrameRule(min=2, max=11, step=5), 3, "makes 2 or 7 frames, the shot has 3", "2 or 7"
        ),
    ],
)
def test_a_refusal_says_what_is_made_what_came_and_the_nearest(rule, frames, sentence, fix):
    error = rule.refusal("wan", frames)
    assert (error.code, error.sentence, error.fix) == (
        "frames",
        f"The engine 'wan' {sentence}.",
        f"Sample the shot in {fix} frames.",
    )
    assert rule.refusal("wan", rule.min) is None


@pytest.mark.parametrize(
    ("given", "what"),
    [
        pytest.param({"min": 0}, "begin at 0", id="no frames"),
        pytest.param({"step": 0}, "steps of 0", id="no step"),
        pytest.param({"min": 5, "max": 4}, "end at 4, below the least, 5", id="ends too soon"),
        pytest.param({"step": 4, "default": 16}, "16 frames is not among 1, 5, 9", id="default"),
    ],
)
def test_a_rule_that_no_number_keeps_is_none(given, what):
    with pytest.raises(ValueError, match=what):
        FrameRule(**given)


@st.composite
def rules(draw):
    least, step = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    most = draw(st.none() | st.integers(least, 300))
    allowed = [n for n in range(least, (most or 300) + 1) if (n - least) % step == 0]
    default = draw(st.none() | st.sampled_from(allowed))
    return FrameRule(min=least, max=most, step=step, default=default), allowed


@given(rules(), st.integers(-20, 300), st.none() | st.integers(1, 300))
def test_a_rule_is_what_its_list_of_numbers_says(made, frames, limit):
    rule, allowed = made
    assert rule.allows(frames) == (frames in allowed)
    videos = [n for n in allowed if n >= LEAST] or allowed[:1]
    taken = [n for n in videos if limit is None or n <= limit] or videos[:1]
    if frames <= 250:  # the list of a rule without an end stops there
        assert rule.nearest(frames, limit) == min(taken, key=lambda n: (abs(n - frames), n))
    error = rule.refusal("one", frames)
    assert (error is None) == rule.allows(frames)
    if error is not None:
        named = [int(word) for word in error.fix.split() if word.isdigit()]
        assert named
        assert all(map(rule.allows, named))


@pytest.mark.parametrize(
    ("integers", "rule"),
    [
        pytest.param((0, 0, 0), ANY_NUMBER, id="any number"),
        pytest.param((16, 2, 64), LEVITOR, id="LeviTor of 1.2"),
        pytest.param((14, 0, 0), FrameRule(min=14, max=14, default=14), id="no other number"),
        pytest.param((16, 2, 0), FrameRule(min=2, max=16, default=16), id="only fewer"),
        pytest.param((16, 20, 8), FrameRule(min=16, max=16, default=16), id="nonsense"),
        pytest.param((-3, 2, 64), ANY_NUMBER, id="more nonsense"),
    ],
)
def test_the_integers_of_a_server_before_1_3_are_read_as_a_rule(integers, rule):
    usual, least, most = integers
    told = EngineInfo(
        name="a", label="", help="", num_frames=usual, least_frames=least, most_frames=most
    )
    assert rule_of(told) == rule


@pytest.mark.parametrize(
    ("rule", "integers"),
    [
        pytest.param(ANY_NUMBER, (0, 0, 0), id="any number"),
        pytest.param(LEVITOR, (16, 2, 64), id="LeviTor as 1.2 had it"),
        pytest.param(WAN, (49, 1, 81), id="steps cannot be said"),
        pytest.param(FrameRule(default=16), (16, 1, NO_LIMIT), id="no end"),
    ],
)
def test_a_client_before_1_3_is_told_the_integers(rule, integers):
    assert integers_of(rule) == integers


def test_a_rule_goes_before_the_integers_beside_it():
    told = EngineInfo(name="a", label="", help="", num_frames=16, frames=WAN)
    assert rule_of(told) == WAN


def test_a_rule_that_cannot_be_is_an_error_of_the_wire():
    header, *rest = encode(SAMPLES["welcome"])
    sent = json.loads(bytes(header))
    sent["body"]["engines"][1]["frames"]["step"] = 0
    with pytest.raises(ProtocolError, match=r"engines\[1\].frames: frames begin at 1 in steps of"):
        decode([json.dumps(sent).encode(), *rest])
