"""A backend that stops answering in the middle of a render: what can be done then."""

import os
import signal
import sqlite3
import subprocess
import uuid
from contextlib import closing

import bpy
import pytest

from protocol.messages import FINAL_STATES

from .backend import READY, ROOT, backend_python
from .conftest import link, module
from .test_held import drawn


class Backend:
    """A backend of this file's own, which can be frozen, killed and started again."""

    def __init__(self, folder):
        self.folder, self.store = folder, folder / "jobs.sqlite"
        self.start(0)

    def start(self, port):
        options = ["--port", str(port), "--state", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [backend_python(), "-m", "backend", "serve", *options],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.endpoint = READY.search(self.process.stdout.readline())[1]

    def again(self):
        """A new process at the same address and on the same folder."""
        self.start(self.endpoint.rpartition(":")[2])

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(240)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One for all tests: each leaves it with no job under way, or a new process on its folder."""
    one = Backend(tmp_path_factory.mktemp("lost"))
    yield one
    one.end()


@pytest.fixture
def backend(scene, addon, server):
    owner = link(addon)
    owner.disconnect()
    if server.process.returncode is not None:
        server.again()
    try:
        client = module(addon, "link.client").Client
        server.client = uuid.uuid4().hex
        # Noticing a silence takes 3 s with the extension's own heartbeat; here it takes 0.6 s.
        owner.client = client(server.endpoint, server.client, heartbeat_seconds=0.2)
        yield server
    finally:
        owner.disconnect()
        if server.process.returncode is None:
            server.process.send_signal(signal.SIGCONT)
            if set(states_at_the_backend(server)) - FINAL_STATES:  # the test has failed
                server.end(signal.SIGKILL)


@pytest.fixture
def running(stage, backend):
    """A render of minutes that is running at the backend."""
    stage.lift(width=640, height=480)
    stage.instance()
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0.5, 0, 0))
    bpy.context.scene.frame_end = 512
    owner, until = link(stage.addon), module(stage.addon, "link.pump").pump_until
    bpy.ops.levitor.render(wait=0.0)
    (task,) = owner.under_way()
    assert until(lambda: owner.jobs.get(task).phase == "draft", 240.0)
    return task


@pytest.fixture
def lost(running, addon, backend):
    """A render of minutes that is running at a backend that has just stopped answering."""
    owner, until = link(addon), module(addon, "link.pump").pump_until
    backend.process.send_signal(signal.SIGSTOP)
    assert until(lambda: owner.status.phase == "lost", 240.0)
    return running


def states_at_the_backend(backend):
    """Of the jobs of the test's client."""
    ours = (backend.client,)
    with closing(sqlite3.connect(backend.store)) as store:
        rows = store.execute("SELECT state FROM jobs WHERE client = ?", ours)
        return [state for (state,) in rows]


@pytest.mark.skipif(os.name == "nt", reason="no process can be frozen there")
def test_a_job_is_cancelled_while_nobody_answers_and_the_backend_hears_of_it(lost, addon, backend):
    owner, until = link(addon), module(addon, "link.pump").pump_until
    assert bpy.ops.levitor.cancel(job=lost) == {"FINISHED"}
    assert until(lambda: not owner.under_way(), 1.0)
    assert owner.jobs.get(lost).state == "cancelled"
    backend.process.send_signal(signal.SIGCONT)
    assert until(lambda: states_at_the_backend(backend) == ["cancelled"], 240.0)
    assert until(lambda: not owner.client._tasks, 240.0)


@pytest.mark.skipif(os.name == "nt", reason="no process can be frozen there")
def test_connecting_again_while_nobody_answers_keeps_the_job(lost, addon, backend):
    owner, until = link(addon), module(addon, "link.pump").pump_until
    assert bpy.ops.levitor.connect(endpoint=backend.endpoint) == {"FINISHED"}
    assert owner.status.phase == "connecting"
    assert owner.under_way() == [lost]
    backend.process.send_signal(signal.SIGCONT)
    assert until(lambda: owner.connected, 240.0)
    assert owner.jobs.get(lost).state == "running"
    bpy.ops.levitor.cancel()
    assert until(lambda: owner.jobs.get(lost).state == "cancelled", 240.0)


def test_rows_read_lost_when_the_backend_dies_and_what_became_of_them_when_it_is_back(
    running, addon, backend
):
    owner, until = link(addon), module(addon, "link.pump").pump_until
    bpy.ops.levitor.render(wait=0.0)
    _, waiting = owner.under_way()
    assert until(lambda: owner.jobs.get(waiting).state == "queued", 240.0)
    assert until(lambda: owner.jobs.get(running).eta is not None, 240.0)
    assert "s left" in drawn(addon, "LEVITOR_PT_render")
    backend.end(signal.SIGKILL)
    assert until(lambda: owner.status.phase == "lost", 240.0)
    words = drawn(addon, "LEVITOR_PT_render")
    assert words.count(", lost") == 2
    assert "s left" not in words
    assert f"No backend answers at {backend.endpoint}." in words
    backend.again()
    assert until(lambda: owner.jobs.get(running).final, 240.0)
    row = owner.jobs.get(running)
    assert (row.state, row.sentence, row.fix) == (
        "failed",
        "The server ended while it worked on this job.",
        "Send it again.",
    )
    assert until(lambda: owner.jobs.get(waiting).phase == "draft", 240.0)
    words = drawn(addon, "LEVITOR_PT_render")
    assert "lost" not in words
    assert "The server ended while it worked on this job. Send it again." in words
    bpy.ops.levitor.cancel(job=waiting)
    assert until(lambda: owner.jobs.get(waiting).state == "cancelled", 240.0)


def test_a_job_that_the_backend_no_longer_knows_is_said_to_be_unknown(running, addon, backend):
    owner, until = link(addon), module(addon, "link.pump").pump_until
    backend.end(signal.SIGKILL)
    assert until(lambda: owner.jobs.get(running).lost, 240.0)
    for file in backend.folder.glob("jobs.sqlite*"):
        file.unlink()
    backend.again()
    assert until(lambda: owner.jobs.get(running).final, 240.0)
    row = owner.jobs.get(running)
    assert (row.state, row.sentence) == ("failed", "The server does not know this job.")
