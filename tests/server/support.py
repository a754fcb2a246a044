"""Real servers on real sockets, whose workers are scripted, and peers that connect to them."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import zmq

import protocol
from backend.server.app import Server
from blender_addon.core import jobs
from blender_addon.link.client import Client
from protocol import content, messages
from tests.server import launch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 240.0  # seconds after which nothing will come any more, however busy the machine is


def wait_for(found, what, seconds=PATIENCE):
    """Poll ``found()`` until it is true; fails with ``what`` after a timeout."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.002)
    return value


def workers_of(server):
    """Process ids of the workers, by role, of a server's process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        running = stat[0] != "Z" and int(stat[1]) == server.pid
        if running and b"backend.server.worker" in command:
            role = command[command.index(b"--role") + 1].decode()
            found[role] = int(folder.name)
    return found


@contextlib.contextmanager
def python_server(module, *arguments, environment=None):
    """``python -m MODULE`` that says its address when it is ready: a process with ``endpoint``."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={**(os.environ if environment is None else environment), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        process.endpoint = process.stdout.readline().split()[-1]
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)
    assert process.returncode == 0


class ServerProcess:
    """A server of the test's own, in a process of its own."""

    def __init__(self, state, *arguments, environment=None):
        self.state = state
        self.arguments = arguments
        self.environment = environment or {}
        self.endpoint = ""
        self.process = None

    def start(self):
        paths = os.pathsep.join([str(ROOT), str(HERE)])
        command = [sys.executable, str(HERE / "launch.py"), "--state", str(self.state)]
        with (self.state.parent / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                env={**os.environ, "PYTHONPATH": paths, **self.environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self.process.stdout.readline()
        assert line.startswith("LeviTor backend ready at tcp://127.0.0.1:"), self.log()
        self.endpoint = line.split()[-1]
        return self

    def again(self):
        """A new process at the same address and on the same state folder."""
        port = self.endpoint.rsplit(":", 1)[1]
        self.arguments = (*self.arguments, "--port", port)
        return self.start()

    def end(self, signal_number=signal.SIGTERM):
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(signal_number)
        self.process.stdout.close()
        return self.process.wait(PATIENCE)

    def stop(self):
        if self.process is not None and self.process.returncode is None:
            self.end(signal.SIGKILL)

    def log(self):
        return (self.state.parent / "server.log").read_text()

    def workers(self):
        """Process ids of the workers, by role, of this server."""
        return workers_of(self.process)

    def worker(self, role):
        """Process id of the worker of a role; a server is ready before its workers are."""
        return wait_for(lambda: self.workers().get(role), f"the {role} worker")


class ServerHere:
    """A server in a thread of the test's process, so that a test can make its parts fail."""

    def __init__(self, state, *arguments):
        self.state = state
        self.server = None
        self.endpoint = ""
        ready = threading.Event()

        def serve():
            self.server = Server(launch.settings(["--state", str(state), *arguments]))
            self.endpoint = self.server.endpoint
            self.server.run(lambda _: ready.set())

        self.thread = threading.Thread(target=serve)
        self.thread.start()
        assert ready.wait(PATIENCE)

    def stop(self):
        self.server.stop()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


class Peer:
    """A client made of nothing but the codec; it keeps every push."""

    def __init__(self, endpoint, client="tester", hello=True, rcvhwm=0):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, rcvhwm)
        self.socket.connect(endpoint)
        self.pushes = []
        self.welcome = None
        if hello:
            self.welcome = self.ask(messages.Hello(client=client, product="test"))

    def send(self, message, request=""):
        self.socket.send_multipart(protocol.encode(message, id=request))

    def receive(self, what="a message"):
        assert self.socket.poll(PATIENCE * 1000), f"waited {PATIENCE} s for {what}"
        return protocol.decode(self.socket.recv_multipart())

    def ask(self, message, request=None):
        request = request or uuid.uuid4().hex
        self.send(message, request)
        while (envelope := self.receive(f"the reply to {message!r:.80}")).re != request:
            self.pushes.append(envelope.message)
        return envelope.message

    def ask_until_answered(self, message, silence=1.0):
        """Send the request again after a timeout, as clients do that may have lost a reply."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            request = uuid.uuid4().hex
            self.send(message, request)
            while self.socket.poll(silence * 1000):
                envelope = protocol.decode(self.socket.recv_multipart())
                if envelope.re == request:
                    return envelope.message
                self.pushes.append(envelope.message)
        raise AssertionError(f"no reply to {message!r:.80} in {PATIENCE} s")

    def upload(self, data):
        ref = content.blob_of(data, "application/octet-stream")
        self.ask(messages.BlobOffer(sha256=ref.sha256, size=ref.size))
        chunk = self.welcome.limits.chunk_bytes
        for start in range(0, len(data), chunk):
            part = np.frombuffer(data[start : start + chunk], np.uint8)
            self.ask(messages.BlobPut(sha256=ref.sha256, offset=start, data=part))
        return ref

    def submit(self, request=None, **script):
        for data in SHOT_BLOBS.values():
            self.upload(data)
        return self.ask(messages.RenderRequest(shot=scripted_shot(**script)), request)

    def until(self, found, what):
        """The first push, past or coming, for which ``found`` is true."""
        looked = 0
        while True:
            for push in self.pushes[looked:]:
                if found(push):
                    return push
            looked = len(self.pushes)
            self.pushes.append(self.receive(what).message)

    def until_state(self, job, state):
        return self.until(
            lambda m: isinstance(m, messages.State) and m.job == job and m.state == state,
            f"job {job} to be {state}",
        )

    def until_running(self, job):
        return self.until(
            lambda m: isinstance(m, messages.Progress) and m.job == job, f"a step of job {job}"
        )

    def close(self):
        self.context.destroy(linger=0)


class Extension:
    """The extension's client, which records its events as the panel does."""

    def __init__(self, endpoint, client_id="artist", **parameters):
        self.client = Client(endpoint, client_id, **parameters)
        self.events = []
        self.rows = jobs.JobTable()

    def poll(self):
        events = self.client.poll()
        self.events += events
        for event in events:
            self.rows.take(event)

    def until(self, found, what="the event", seconds=PATIENCE):
        def look():
            self.poll()
            return found()

        return wait_for(look, what, seconds)

    def until_phase(self, phase, seconds=PATIENCE):
        return self.until(lambda: self.client.status.phase == phase, f"phase {phase}", seconds)

    def of(self, task, *kinds):
        return [e for e in self.events if getattr(e, "task", "") == task and isinstance(e, kinds)]

    def until_event(self, task, *kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        return self.until(lambda: self.of(task, *kinds), f"{names} of {task}")[-1]

    def until_running(self, task):
        """Until a worker has it: the first state told may be "queued", after a short silence."""
        return self.until(
            lambda: any(state.state == "running" for state in self.of(task, jobs.TaskState)),
            f"{task} to run",
        )

    def until_end(self, task):
        return self.until_event(task, jobs.TaskFinished, jobs.TaskFailed, jobs.TaskCancelled)

    def render(self, **script):
        return self._row(
            self.client.start(messages.RenderRequest(shot=scripted_shot(**script)), SHOT_BLOBS)
        )

    def _row(self, task):
        self.rows.add(jobs.JobRow(task=task, kind="submit", label="Take"))
        return task

    def lift(self, **script):
        data = json.dumps(script).encode()
        image = content.blob_of(data, "application/json")
        return self.client.start(messages.LiftRequest(image=image), {image.sha256: data})


def _shot():
    """4 x 4 pixels, two frames; one instance goes one unit to the right."""
    image, pixels = content.array_blob_of(np.zeros((4, 4, 3), np.uint8))
    depth, planes = content.array_blob_of(np.full((4, 4), 5.0, np.float32))
    ids, labels = content.array_blob_of(np.ones((4, 4), np.int32))
    lens = np.array([[4.0, 0.0, 2.0], [0.0, 4.0, 2.0], [0.0, 0.0, 1.0]])
    moved = np.tile(np.eye(4), (2, 1, 1, 1))
    moved[1, 0, 0, 3] = 1.0
    shot = messages.ShotMessage(
        scene=messages.Scene(image=image, depth=depth, intrinsics=lens, near=1.0, far=9.0),
        instance_map=ids,
        instances=(messages.Instance(id=1, name="A", moving=True, handle=(0.0, 0.0, 5.0)),),
        moved_from_rest=moved,
        camera_from_world=np.tile(np.eye(4), (2, 1, 1)),
        intrinsics=np.tile(lens, (2, 1, 1)),
        frame_start=1,
        frame_end=2,
        fps=24.0,
        engine="scripted",
    )
    return shot, {image.sha256: pixels, depth.sha256: planes, ids.sha256: labels}


SHOT, SHOT_BLOBS = _shot()


def scripted_shot(**script):
    return dataclasses.replace(SHOT, options=script)
