"""The job rows of the panel, as values."""

from blender_addon.core.jobs import (
    Job,
    Jobs,
    TaskAccepted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskProgress,
    TaskState,
)

ROW = Job(task="t", kind="submit", label="Take 1")


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
    table = Jobs()
    table.add(ROW)
    table.forget("t")
    assert [row.task for row in table.open] == ["t"]
    table.take(TaskCancelled(task="t"))
    assert table.open == []
    table.forget("t")
    assert len(table) == 0
