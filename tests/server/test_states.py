"""The state table of a job, as values."""

import pytest

from backend.server.jobs import FINAL, TRANSITIONS, Job, eta_seconds, next_job, queue_position
from protocol.messages import FINAL_STATES

RENDER = Job(id="a", number=1, client="c", request="r", kind="submit", created=0.0)


def job(number, kind="submit", state="queued"):
    return Job(
        id=f"j{number}",
        number=number,
        client="c",
        request=f"r{number}",
        kind=kind,
        created=0.0,
        state=state,
    )


def test_a_job_counts_its_pushes_from_one():
    running = RENDER.with_state("running")
    assert (
        running.seq,
        running.with_next_seq().seq,
        running.with_next_seq().with_state("done").seq,
    ) == (1, 2, 3)


def test_final_states_lead_nowhere():
    assert all(not TRANSITIONS[state] for state in FINAL)
    assert {*FINAL, "unknown"} == FINAL_STATES


@pytest.mark.parametrize(
    ("state", "then"),
    [
        ("queued", "done"),
        ("queued", "interrupted"),
        ("done", "running"),
        ("cancelled", "queued"),
        ("failed", "running"),
    ],
)
def test_a_step_that_is_not_in_the_table_is_an_error(state, then):
    with pytest.raises(ValueError, match=f"from {state} to {then}"):
        job(1, state=state).with_state(then)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("queued", "cancelled"),
        ("running", "cancel_requested"),
        ("cancel_requested", "cancel_requested"),
        ("cancelled", "cancelled"),
        ("done", "done"),
        ("failed", "failed"),
        ("interrupted", "interrupted"),
    ],
)
def test_cancel_has_an_answer_in_every_state(state, after):
    assert job(1, state=state).after_cancel_request().state == after


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("queued", "queued"),
        ("running", "interrupted"),
        ("cancel_requested", "cancelled"),
        ("done", "done"),
    ],
)
def test_a_new_server_finds_a_job_as_the_old_one_left_it(state, after):
    assert job(1, state=state).after_restart().state == after


@pytest.mark.parametrize(
    ("state", "report", "after"),
    [
        pytest.param("running", "failed", "failed", id="a failure is a failure"),
        pytest.param(
            "cancel_requested", "failed", "cancelled", id="but not of a job being stopped"
        ),
        pytest.param("cancel_requested", "done", "done", id="a result that was first stays"),
        pytest.param("running", "cancelled", "cancelled", id="a worker may stop by itself"),
    ],
)
def test_what_a_worker_reports_ends_a_job(state, report, after):
    assert job(1, state=state).after_stop(report).state == after


def test_each_role_takes_its_oldest_job():
    jobs = [job(3), job(1, "segment"), job(2), job(4, "lift"), job(0, state="running")]
    assert next_job("render", jobs).number == 2
    assert next_job("interactive", jobs).number == 1


def test_a_place_counts_the_queued_jobs_of_the_same_role_ahead():
    jobs = [job(1, state="running"), job(2), job(3, "lift"), job(4), job(5)]
    assert queue_position(jobs[4], jobs) == 2
    assert queue_position(jobs[1], jobs) == 0


def test_ten_of_forty_steps_in_two_seconds_leave_six():
    assert eta_seconds(2.0, 10, 40) == 6.0
    assert eta_seconds(2.0, 0, 40) is None
