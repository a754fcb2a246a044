"""Which rows of jobs the artist sees, and which go by themselves."""

from dataclasses import replace

from blender_addon.core import jobs
from blender_addon.core.jobs import (
    JobRow,
    JobTable,
    TaskAccepted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
)


def table(*rows):
    known = JobTable()
    for row in rows:
        known.add(row)
    return known


def fail(known, task):
    known.take(TaskFailed(task=task, code="x", sentence="It went wrong."))


def finish(known, task, note=""):
    known.take(TaskFinished(task=task, result=None, blobs={}, note=note))


def test_a_click_that_is_done_or_cancelled_leaves_no_row_but_a_failed_one_does():
    known = table(*(JobRow(task=task, kind="segment", label="photo") for task in "abcd"))
    assert [job.task for job in known.shown("segment", 0)] == ["a", "b", "c", "d"]
    finish(known, "a")
    known.take(TaskCancelled(task="b"))
    fail(known, "c")
    finish(known, "d", note="Something to know.")
    assert [job.task for job in known.shown("segment", 0)] == ["d"]  # and the error is mended


def test_an_error_goes_when_the_same_is_done_and_stays_while_it_is_not():
    def shown():
        return {job.task for job in known.shown("submit", 0)}

    draft = JobRow(task="a", kind="submit", label="draft", subject="draft")
    known = table(draft, replace(draft, task="b", subject="levitor"))
    fail(known, "a")
    fail(known, "b")
    known.add(replace(draft, task="c"))
    assert shown() == {"a", "b", "c"}  # that it is tried again mends nothing
    finish(known, "c")
    assert shown() == {"b", "c"}


def test_what_ended_for_another_file_is_not_shown_and_what_runs_for_it_is():
    known = table(*(JobRow(task=task, kind="submit", label="draft", opened=3) for task in "abc"))
    finish(known, "a")
    fail(known, "b")
    assert [job.task for job in known.shown("submit", 4)] == ["c"]
    known.brought("c", 4)
    finish(known, "c", note="Kept elsewhere.")
    assert [job.task for job in known.shown("submit", 4)] == ["c"]


def test_clicks_do_not_drive_out_the_rows_of_takes():
    known = table(JobRow(task="take", kind="submit", label="draft"))
    finish(known, "take")
    for n in range(3 * jobs.KEPT):
        known.add(JobRow(task=str(n), kind="segment", label="photo"))
        finish(known, str(n))
    assert known.get("take") is not None
    assert len(known) <= jobs.KEPT


def test_a_row_knows_what_the_server_calls_its_job():
    known = table(JobRow(task="a", kind="submit", label="draft"))
    known.take(TaskAccepted(task="a", job="j1", place=0))
    finish(known, "a")
    assert known.shown("submit", 0)[0].job == "j1"
