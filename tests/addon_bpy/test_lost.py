"""A backend that stops answering in the middle of a render: what can be done then."""

import os
import signal
import sqlite3
import subprocess
import uuid
from contextlib import closing
from types import SimpleNamespace

import bpy
import pytest

from .conftest import READY, ROOT, backend_python, link, module


@pytest.fixture
def backend(scene, addon, tmp_path):
    """A backend of the test's own, which can be frozen: its process and its store of jobs."""
    command = [backend_python(), "-m", "backend", "serve", "--port", "0", "--state", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    owner = link(addon)
    owner.disconnect()
    try:
        endpoint = READY.search(process.stdout.readline())[1]
        client = module(addon, "link.client").Client
        # Noticing a silence takes 3 s with the extension's own heartbeat; here it takes 0.6 s.
        owner.client = client(endpoint, uuid.uuid4().hex, heartbeat_seconds=0.2)
        yield SimpleNamespace(process=process, endpoint=endpoint, store=tmp_path / "jobs.sqlite")
    finally:
        owner.disconnect()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture
def lost(stage, backend):
    """A render of minutes that is running at a backend that has just stopped answering."""
    stage.lift(width=640, height=480)
    stage.instance()
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0.5, 0, 0))
    bpy.context.scene.frame_end = 512
    owner, until = link(stage.addon), module(stage.addon, "link.pump").pump_until
    bpy.ops.levitor.render(wait=0.0)
    (task,) = owner.under_way()
    assert until(lambda: owner.jobs.get(task).phase == "draft", 60.0)
    backend.process.send_signal(signal.SIGSTOP)
    assert until(lambda: owner.status.phase == "lost", 20.0)
    return task


def state_at_the_backend(backend):
    with closing(sqlite3.connect(backend.store)) as store:
        return [state for (state,) in store.execute("SELECT state FROM jobs")]


@pytest.mark.skipif(os.name == "nt", reason="no process can be frozen there")
def test_a_job_is_cancelled_while_nobody_answers_and_the_backend_hears_of_it(lost, addon, backend):
    owner, until = link(addon), module(addon, "link.pump").pump_until
    assert bpy.ops.levitor.cancel(job=lost) == {"FINISHED"}
    assert until(lambda: not owner.under_way(), 1.0)
    assert owner.jobs.get(lost).state == "cancelled"
    backend.process.send_signal(signal.SIGCONT)
    assert until(lambda: state_at_the_backend(backend) == ["cancelled"], 60.0)
    assert until(lambda: not owner.client._tasks, 20.0)


@pytest.mark.skipif(os.name == "nt", reason="no process can be frozen there")
def test_connecting_again_while_nobody_answers_keeps_the_job(lost, addon, backend):
    owner, until = link(addon), module(addon, "link.pump").pump_until
    assert bpy.ops.levitor.connect(endpoint=backend.endpoint) == {"FINISHED"}
    assert owner.status.phase == "connecting"
    assert owner.under_way() == [lost]
    backend.process.send_signal(signal.SIGCONT)
    assert until(lambda: owner.connected, 20.0)
    assert owner.jobs.get(lost).state == "running"
    bpy.ops.levitor.cancel()
    assert until(lambda: owner.jobs.get(lost).state == "cancelled", 60.0)
