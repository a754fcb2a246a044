"""What a session keeps between jobs, and what it lets go of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.engines import registry
from backend.resources import Resources, no_weights
from backend.session import Session
from protocol.errors import ShotError
from tests.toy.spec import SPEC as TOY


class Recorded:
    """An engine that only remembers whether it holds networks."""

    def __init__(self, name):
        self.spec = registry.spec_of(name)
        self.held = True

    def release(self):
        self.held = False


@pytest.fixture
def session(monkeypatch):
    """A session with two engines on weights, ``levitor`` and ``other``, and the toy.

    The toy needs weights in its fine mode alone.
    """
    levitor, known = registry.spec_of("levitor"), registry.spec_of
    more = {"other": replace(levitor, name="other"), "toy": TOY}
    monkeypatch.setattr(registry, "spec_of", lambda name: more.get(name) or known(name))
    monkeypatch.setattr(registry, "load", lambda name, resources: Recorded(name))
    return Session()


def test_an_engine_is_made_once_and_loading_is_told(session):
    told = []
    first = session.engine("levitor", on_step=lambda *step: told.append(step))
    assert session.engine("levitor", on_step=lambda *step: told.append(step)) is first
    assert told == [("loading weights", 0, 1)]


def test_another_engine_with_weights_gets_the_room_of_the_one_before(session):
    levitor = session.engine("levitor")
    other = session.engine("other")
    assert (levitor.held, other.held) == (False, True)
    assert session.engine("levitor").held
    assert not other.held


def test_a_draft_between_two_takes_costs_nobody_the_loading_again(session):
    levitor = session.engine("levitor")
    session.engine("draft")
    session.engine("levitor")
    assert levitor.held


def test_options_that_need_no_weights_cost_nobody_the_loading_again(session):
    levitor = session.engine("levitor")
    session.engine("toy", {"mode": "quick"})
    assert levitor.held
    assert session.engine("levitor") is levitor


def test_loading_is_told_when_options_need_weights_that_those_before_did_not(session):
    told = []

    def steps(mode):
        told.clear()
        session.engine("toy", {"mode": mode}, lambda *step: told.append(step))
        return list(told)

    session.engine("toy")
    assert steps("quick") == []
    assert steps("fine") == [("loading weights", 0, 1)]
    assert steps("quick") == steps("fine") == []


def test_options_that_need_weights_get_the_room_of_the_engine_before(session):
    quick, levitor = session.engine("toy"), session.engine("levitor")
    assert quick.held  # it had no weights to give back
    assert session.engine("toy", {"mode": "fine"}) is quick
    assert (levitor.held, quick.held) == (False, True)
    session.engine("toy", {"mode": "quick"})
    session.engine("levitor")
    assert not quick.held  # it kept the weights of its fine mode until then


def test_an_option_that_cannot_be_makes_no_room(session):
    levitor = session.engine("levitor")
    with pytest.raises(ShotError, match="'mode' is 'slow'"):
        session.engine("toy", {"mode": "slow"})
    assert levitor.held


def test_an_engine_that_nobody_knows_makes_no_room(session):
    levitor = session.engine("levitor")
    with pytest.raises(ShotError, match="no engine 'mine'"):
        session.engine("mine")
    assert levitor.held


def test_an_engine_whose_release_fails_is_forgotten_and_said_in_the_log(session, caplog):
    """A worker lives for many jobs: the next one finds an engine as if nothing had been there."""
    levitor = session.engine("levitor")

    def broken():
        raise RuntimeError("scripted")

    levitor.release = broken
    other = session.engine("other")
    assert session.engine("other") is other
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError]
    assert "engine 'levitor' failed to release" in caplog.text
    again = session.engine("levitor")
    assert again is not levitor
    assert not other.held


def test_two_sessions_of_one_process_have_engines_of_their_own():
    """What engines hold together, such as a base, lies in their ``Resources.shared``."""
    resources = Resources()
    one, other = Session(resources), Session(resources)
    assert one.engine("draft") is not other.engine("draft")


def test_an_engine_without_its_weights_is_asked_for_anew_each_time():
    """What was fetched meanwhile is found."""
    asked = []

    def weights(name):
        asked.append(name)
        return no_weights(name)

    session = Session(Resources(weights=weights))
    for _ in range(2):
        with pytest.raises(ShotError, match="weights 'svd-xt' are not here"):
            session.engine("levitor")
    assert asked == ["svd-xt"] * 2


def test_auto_becomes_a_device_that_is_here_and_one_that_is_not_is_refused():
    assert Session(Resources(device="auto")).device_label.startswith(("cpu (", "cuda ("))
    with pytest.raises(ShotError, match="cuda:99"):
        Session(Resources(device="cuda:99"))
