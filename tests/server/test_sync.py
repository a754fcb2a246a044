"""Which results are sent after their blobs are synced to the disk, and which before."""

import os
import types

import numpy as np
import pytest

from backend.server import worker
from backend.server.blobs import BlobStore
from protocol import ShotError, content, messages
from tests.server.support import scripted_shot


@pytest.fixture
def order(monkeypatch):
    """Syncs and sent messages, in order."""
    seen = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append("disk"), sync(handle)))
    return seen


def run_job(message, blobs, order):
    """Run a job that puts two files, as a worker does."""

    def run(session, message, *, job, blobs, on_step):
        blobs.put(b"one")
        blobs.put(b"two")
        return messages.State(job=job, seq=0, state="done")

    connection = types.SimpleNamespace(send=lambda message: order.append(message.state))
    handlers, session = (
        types.SimpleNamespace(run=run),
        types.SimpleNamespace(is_usable=lambda: True),
    )
    worker.run_job(connection, handlers, session, blobs, "j", message)


def test_a_take_is_told_when_its_files_are_on_the_disk(tmp_path, order):
    run_job(
        messages.RenderRequest(shot=scripted_shot()), BlobStore(tmp_path, deferred_sync=True), order
    )
    assert order == ["disk"] * 4 + ["done"]  # two files, and the two folders they lie in


def test_a_click_is_told_first_and_its_files_are_there(tmp_path, order):
    scene = scripted_shot().scene
    click = messages.SegmentRequest(
        scene=scene, points=np.ones((1, 2)), positive=np.ones(1, np.uint8)
    )
    blobs = BlobStore(tmp_path, deferred_sync=True)
    run_job(click, blobs, order)
    assert order == ["done"] + ["disk"] * 4
    assert BlobStore(tmp_path).get(content.sha256(b"two")) == b"two"


def test_a_click_whose_files_do_not_reach_the_disk_is_logged_once(tmp_path, monkeypatch, caplog):
    def full(handle):
        raise OSError(28, "No space left on device")

    order, scene = [], scripted_shot().scene
    monkeypatch.setattr(os, "fsync", full)
    click = messages.SegmentRequest(
        scene=scene, points=np.ones((1, 2)), positive=np.ones(1, np.uint8)
    )
    run_job(click, BlobStore(tmp_path, deferred_sync=True), order)
    assert order == ["done"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    run_job(
        messages.RenderRequest(shot=scripted_shot()),
        BlobStore(tmp_path / "new", deferred_sync=True),
        order,
    )
    assert order == ["done", "failed"]


def test_what_was_cleaned_up_meanwhile_needs_no_disk(tmp_path, order):
    blobs = BlobStore(tmp_path, deferred_sync=True)
    blobs.put(b"one")
    blobs.path(content.sha256(b"one")).unlink()
    blobs.sync()
    assert order == ["disk"]  # its folder
    with pytest.raises(ShotError):
        blobs.get(content.sha256(b"one"))


def test_what_a_power_cut_left_short_is_written_again(tmp_path):
    blobs, name = BlobStore(tmp_path), content.sha256(b"twelve")
    blobs.put(b"twelve")
    blobs.path(name).write_bytes(b"twe")
    blobs.put(b"twelve")
    assert blobs.get(name) == b"twelve"
