"""A worker measures what it has rendered; whatever fails there, the take comes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.cancelled import Cancelled
from backend.contracts import RenderedTake
from backend.server import handlers
from backend.session import Session
from protocol import decode, encode
from protocol.messages import RenderRequest
from tests.evaluation.shots import FRAMES, HEIGHT, WIDTH, crossing_message


class Blobs:
    """A job's blobs in memory."""

    def __init__(self, files):
        self.files, self.stored = files, []
        self.get = files.__getitem__
        self.put = self.stored.append


@pytest.fixture(scope="module")
def session():
    return Session()


def render(session, engine, on_step=lambda *step: None):
    message, files = crossing_message(engine=engine)
    blobs, phases = Blobs(files), []

    def told(phase, done, total, picture=None):
        phases.append(phase)
        on_step(phase)

    result = handlers.run(session, RenderRequest(shot=message), job="j", blobs=blobs, on_step=told)
    assert len(blobs.stored) == 1
    return result, phases


def test_a_take_that_stands_still_comes_with_what_its_things_should_have_gone(session):
    """14, 28 and 42 pixels of one thing, 4, 8 and 12 of the other."""
    result, phases = render(session, "still")
    assert phases[-1] == "measure"
    found = decode(encode(result)).message.obedience
    assert found.frames == FRAMES - 1
    assert found.centroid_error_px == pytest.approx(18, abs=0.4)
    diagonal = float(np.hypot(HEIGHT, WIDTH))
    assert found.centroid_error_percent == pytest.approx(1800 / diagonal, abs=0.3)
    assert found.mask_iou < 0.5
    assert (found.occlusion_events > 0, found.occlusion_accuracy) == (True, 0)
    assert found.background_drift_px < 0.1
    assert [(one.id, one.in_sight, one.lost) for one in found.instances] == [(1, 3, 0), (2, 3, 0)]
    assert found.instances[0].centroid_error_px == pytest.approx(28, abs=0.4)


def test_a_draft_is_what_takes_are_measured_against_and_has_no_numbers(session):
    result, phases = render(session, "draft")
    assert (result.obedience, result.notes) == (None, ())
    assert "measure" not in phases


def a_take(**changes):
    take = RenderedTake(
        frames=torch.zeros(FRAMES, 3, HEIGHT, WIDTH),
        options={},
        shown=(0.0, 0.0, float(HEIGHT), float(WIDTH)),
    )
    return replace(take, **changes)


def measure(session, take, on_step=lambda *step: None):
    message, files = crossing_message(engine="still")
    return session.measure(message, files.__getitem__, take, on_step)


def test_what_cannot_be_measured_is_a_note_of_one_sentence(session):
    found, notes = measure(session, a_take(shown=(0.0, 0.0, 10.0, 90.0)))
    assert found is None
    (note,) = notes
    assert note.startswith("How well this take obeyed its shot could not be measured (ShotError: ")
    assert note.endswith("the take itself is whole.")


def test_a_broken_take_has_numbers_that_can_travel(session):
    found, _ = measure(session, a_take(frames=torch.full((FRAMES, 3, HEIGHT, WIDTH), torch.nan)))
    result, _ = render(session, "draft")
    assert decode(encode(replace(result, obedience=found))).message.obedience == found


def test_a_black_take_loses_every_thing(session):
    found, _ = measure(session, a_take())
    assert [one.lost for one in found.instances] == [3, 3]
    assert found.centroid_error_percent == pytest.approx(100, abs=0.1)
    assert found.mask_iou == 0


def test_a_take_of_one_frame_is_the_photo_and_not_measured(session):
    assert measure(session, a_take(frames=torch.zeros(1, 3, HEIGHT, WIDTH))) == (None, ())


def test_who_cancels_while_a_take_is_measured_has_cancelled_its_job(session):
    def stop(phase):
        if phase == "measure":
            raise Cancelled

    with pytest.raises(Cancelled):
        render(session, "still", stop)
