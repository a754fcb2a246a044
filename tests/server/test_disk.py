"""A job store that cannot be written, and files that cannot be removed: nothing hangs or ends."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest

from backend.server.blobs import RESERVE_BYTES, BlobStore
from backend.server.spool import ResultSpool
from backend.server.uploads import Uploads
from blender_addon.core.jobs import TaskFinished
from protocol import ShotError, content, messages
from tests.server.support import scripted_shot, wait_for

RETRY = ("--retry-seconds", "0.1")


def mount(folder, size):
    """A disk of ``size`` bytes; takes memory only as it is written to."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if not shutil.which("mount"):
        pytest.skip("this system has no mount")
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted: {made.stderr.strip()}")


def unmount(folder):
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Full:
    """A disk of 1 MB of its own for the job store; the blobs lie elsewhere."""

    code = "disk_full"

    def __init__(self, state):
        mount(state, 1 << 20)
        self.state, self.filler = state, state / "filler"
        (state.parent / "blobs").mkdir()
        (state / "blobs").symlink_to(state.parent / "blobs")

    def begin(self):
        with contextlib.suppress(OSError), self.filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def end(self):
        self.filler.unlink(missing_ok=True)

    def close(self):
        unmount(self.state)


class Locked:
    """Another program holds the job store."""

    code = "disk"

    def __init__(self, state):
        self.path, self.db = state / "jobs.sqlite", None

    def begin(self):
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("BEGIN IMMEDIATE")

    def end(self):
        if self.db is not None:
            self.db.close()

    close = end


@pytest.fixture(params=[Full, Locked])
def disk(request, tmp_path):
    one = request.param(tmp_path / "state")
    yield one
    one.close()


@pytest.fixture
def spooled_job(disk, make_server, connect, tmp_path):
    """A server whose store cannot be written, a peer, and its job whose result waits for that."""
    server, gate = make_server(*RETRY), tmp_path / "gate"
    peer = connect(server)
    job = peer.submit(until=str(gate)).job
    peer.until_running(job)
    disk.begin()
    gate.touch()
    peer.until(
        lambda m: isinstance(m, messages.State) and m.job == job and m.code == disk.code,
        "word of the result that waits",
    )
    return server, peer, job


def video_of(peer, job):
    result = peer.ask(messages.Fetch(job=job))
    assert isinstance(result, messages.Rendered)
    part = messages.BlobGet(sha256=result.video.sha256, offset=0, length=5)
    return peer.ask(part).data.tobytes()


def test_a_result_that_cannot_be_stored_waits_and_is_handed_over_when_it_can(spooled_job, disk):
    _, peer, job = spooled_job
    told = peer.ask(messages.GetState(job=job))
    assert (told.state, told.code) == ("running", disk.code)
    assert "The result is ready and waits for the disk." in told.sentence
    assert told.fix.endswith("Then it comes by itself.")
    assert peer.ask(messages.Fetch(job=job)).code == disk.code
    disk.end()
    peer.until_state(job, "done")
    kinds = [type(m) for m in peer.pushes if getattr(m, "job", "") == job][-2:]
    assert kinds == [messages.Rendered, messages.State]
    assert peer.ask(messages.GetState(job=job)).sentence == ""
    assert video_of(peer, job) == b"video"


def test_new_jobs_are_refused_with_the_reason_until_the_store_is_back(spooled_job, disk):
    _, peer, _ = spooled_job
    refused = peer.ask(messages.RenderRequest(shot=scripted_shot()), "refused")
    assert (refused.code, bool(refused.fix)) == (disk.code, True)
    assert peer.ask(messages.Ping()) == messages.Pong()
    disk.end()
    peer.until_state(peer.submit(request="refused").job, "done")


def test_a_job_accepted_before_waits_in_the_queue_with_the_reason(
    disk, make_server, connect, tmp_path
):
    server, gate = make_server(*RETRY), tmp_path / "gate"
    peer = connect(server)
    job = peer.submit(until=str(gate)).job
    waits = peer.submit(request="waits").job
    peer.until_running(job)
    disk.begin()
    gate.touch()
    wait_for(lambda: peer.ask(messages.GetState(job=job)).code == disk.code, "word of the result")
    queued = peer.ask(messages.GetState(job=waits))
    assert (queued.state, queued.code) == ("queued", disk.code)
    disk.end()
    peer.until_state(job, "done")
    peer.until_state(waits, "done")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_result_that_waits_outlasts_the_server(spooled_job, disk, connect, number):
    server, _, job = spooled_job
    server.end(number)
    disk.end()
    peer = connect(server.again())
    assert peer.ask(messages.GetState(job=job)).state == "done"
    assert video_of(peer, job) == b"video"
    assert list((server.state / "blobs" / "results").iterdir()) == []


def test_a_result_that_waits_and_is_not_wanted_any_more_is_dropped(spooled_job, disk, connect):
    server, peer, job = spooled_job
    assert peer.ask(messages.Cancel(job=job)).state == "cancelled"
    disk.end()
    peer.until_state(peer.submit().job, "done")
    server.end(signal.SIGKILL)
    assert connect(server.again()).ask(messages.GetState(job=job)).state == "cancelled"


def test_the_artist_reads_in_the_row_what_her_result_waits_for(
    disk, make_server, extension, tmp_path
):
    server, gate = make_server(*RETRY), tmp_path / "gate"
    one = extension(server, ask_seconds=0.2)
    task = one.render(until=str(gate))
    one.until(lambda: one.rows.get(task).phase == "step", "a step")
    disk.begin()
    gate.touch()
    row = one.until(lambda: (row := one.rows.get(task)).sentence and row, "word of the result")
    assert row.sentence.startswith("The result is ready and waits for the disk.")
    assert not row.final
    disk.end()
    assert isinstance(one.until_end(task), TaskFinished)


def test_a_result_is_kept_in_memory_where_no_file_can_be_made_either(tmp_path):
    (tmp_path / "results").touch()  # a file stands where its folder should be
    spool = ResultSpool(tmp_path / "results")
    assert not spool.put("job", b"result")
    assert spool.pending == {"job": b"result"}
    assert spool.load("job") is None
    assert spool.discard("job")


@pytest.fixture
def uploads(tmp_path):
    """Uploads to a disk with room for 1 MB beside the reserve."""
    mount(tmp_path / "disk", RESERVE_BYTES + (1 << 20))
    yield Uploads(BlobStore(tmp_path / "disk"), 1 << 30)
    unmount(tmp_path / "disk")


def test_what_one_upload_was_promised_is_not_promised_to_another(uploads):
    first, second = (bytes([n]) * 700_000 for n in (1, 2))
    name, other = content.sha256(first), content.sha256(second)
    assert uploads.offer(name, len(first)) == 0
    assert uploads.add(name, 0, memoryview(first)[:500_000]) == 500_000
    with pytest.raises(ShotError, match=r"no room for 0\.7 MB"):
        uploads.offer(other, len(second))
    assert uploads.offer(name, len(first)) == 500_000
    assert uploads.add(name, 500_000, memoryview(first)[500_000:]) == 700_000
    assert uploads.offer(content.sha256(b"small"), 5) == 0


def test_old_files_are_removed_around_a_folder_that_should_not_be_there(make_server, connect):
    server = make_server()
    server.end()
    folder = server.state / "blobs" / "ab"
    (folder / "a folder").mkdir(parents=True)
    (folder / "z file").touch()
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    peer = connect(server.again())
    wait_for(lambda: not (folder / "z file").exists(), "the file to be removed")
    assert peer.ask(messages.Ping()) == messages.Pong()


def test_a_job_is_cancelled_while_the_store_cannot_be_written(disk, make_server, connect):
    peer = connect(make_server(*RETRY))
    job = peer.submit(steps=0).job
    peer.until_running(job)
    disk.begin()
    assert peer.ask(messages.Cancel(job=job)).state == "cancel_requested"
    peer.until_state(job, "cancelled")
    disk.end()
    peer.until_state(peer.submit().job, "done")
