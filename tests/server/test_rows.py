"""The job rows of the panel, as values."""

import pytest

from blender_addon.core.jobs import (
    JobRow,
    JobTable,
    Status,
    StatusChanged,
    TaskAccepted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskProgress,
    TaskState,
)

ROW = JobRow(task="t", kind="submit", label="Take 1")


def after(*events):
    row = ROW
    for event in events:
        row = row.after(event)
    return row


def test_a_row_follows_its_task_to_the_result():
    events = [
        TaskProgress(task="t", phase="upload", done=10, total=40),
        TaskAccepted(task="t", job="j", place=0),
        TaskState(task="t", state="running"),
        TaskProgress(task="t", phase="draft", done=4, total=16, eta_seconds=3.0),
        TaskState(task="t", state="done"),
        TaskFinished(task="t", result=None, blobs={}),
    ]
    states = [after(*events[: n + 1]).state for n in range(len(events))]
    assert states == ["waiting", "queued", "running", "running", "running", "done"]
    assert after(*events[:1]).factor == 0.25
    assert (after(*events[:4]).factor, after(*events[:4]).eta) == (0.25, 3.0)


def test_a_failure_leaves_its_sentence_and_its_fix():
    row = after(TaskFailed(task="t", code="too_dark", sentence="It is black.", fix="Use light."))
    assert (row.state, row.sentence, row.fix) == ("failed", "It is black.", "Use light.")


def test_nothing_changes_a_row_that_is_at_its_end():
    row = after(TaskCancelled(task="t"), TaskState(task="t", state="running"))
    assert row.state == "cancelled"


def test_events_of_other_tasks_change_nothing():
    assert after(TaskCancelled(task="another")) is ROW


def test_the_table_keeps_open_rows_and_forgets_ended_ones():
    table = JobTable()
    table.add(ROW)
    table.forget("t")
    assert [row.task for row in table.open] == ["t"]
    table.take(TaskCancelled(task="t"))
    assert table.open == []
    table.forget("t")
    assert len(table) == 0


LOST = StatusChanged(
    status=Status(phase="lost", endpoint="tcp://h:1", reason="No backend answers at tcp://h:1.")
)
RUNNING = (
    TaskAccepted(task="t", job="j", place=0),
    TaskState(task="t", state="running"),
    TaskProgress(task="t", phase="draft", done=4, total=16, eta_seconds=9.0),
)


def table_of(*rows):
    table = JobTable()
    for row in rows:
        table.add(row)
    return table


def test_every_open_row_reads_lost_and_none_has_seconds_left_once_the_server_is_lost():
    ended = JobRow(task="ended", kind="lift", label="", state="done", sentence="A note.")
    table = table_of(after(*RUNNING), JobRow(task="new", kind="lift", label=""), ended)
    table.take(LOST)
    for task in ("t", "new"):
        row = table.get(task)
        assert (row.activity, row.eta) == ("lost", None)
        assert row.sentence == "No backend answers at tcp://h:1."
        assert "asked what became" in row.fix
    assert table.get("ended") is ended


def test_a_row_whose_result_is_here_already_needs_no_server():
    row = after(*RUNNING)
    table = table_of(row)
    table.take(LOST, here={"t"})
    assert table.get("t") is row


@pytest.mark.parametrize(
    ("event", "reads"),
    [
        (TaskState(task="t", state="queued"), "queued"),
        (TaskState(task="t", state="running"), "draft"),
        (TaskProgress(task="t", phase="upload", done=1, total=4), "upload"),
        (TaskAccepted(task="t", job="j", place=0), "queued"),
        (TaskFailed(task="t", code="interrupted", sentence="The server ended."), "failed"),
    ],
)
def test_a_lost_row_says_what_became_of_it_with_the_first_word_of_it(event, reads):
    table = table_of(ROW if reads == "queued" else after(*RUNNING))
    table.take(LOST)
    table.take(event)
    row = table.get("t")
    assert row.state == "failed" if row.final else row.activity == reads
    assert not row.lost
    assert "backend" not in row.sentence


def test_what_holds_a_job_up_stands_in_its_row_until_the_next_state():
    rests = TaskState(task="t", state="queued", sentence="The disk is full.", fix="Free space.")
    assert (after(rests).sentence, after(rests).fix) == ("The disk is full.", "Free space.")
    assert after(rests, TaskState(task="t", state="running")).sentence == ""
