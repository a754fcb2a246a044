"""A handler module whose jobs do what the test says: step, wait, fail, hang, exit.

The script is a dict: a submit or a preview carries it as its options, a lift as the JSON bytes of
its image.

    steps   how many steps to make; 0 goes on until cancelled
    until   path of a file; after its steps a job goes on stepping until it exists
    ran     path of a file to which a line is added when the job starts
    phase   a phase that is told first
    silent  path of a file; no step comes until it exists
    weights name of weights whose place is told, as what went wrong
    past    path of a file that is made after the last step: no cancel is looked for from then on
    end     result, shot_error, memory, cuda_memory, torch_memory, cv2_memory, bug, exit, kill,
            hang, or one of LOST: the device fails, and as with CUDA whatever this process does
            from then on fails too
"""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from protocol import content, messages
from protocol.errors import ShotError

PACE = 0.005


class OutOfMemoryError(RuntimeError):
    """Stands for that of torch, which is recognised by its name."""


LOST = {
    "illegal_access": "an illegal memory access was encountered",
    "device_assert": "device-side assert triggered",
    "launch_failure": "unspecified launch failure",
    "told_as_shot_error": "misaligned address",
    "device_gone": "unknown error",
}


class Session:
    def __init__(self, resources):
        self.device_label = f"scripted {resources.device} {resources.memory}"
        self.weights = resources.weights
        self.lost = None

    def warm_up(self):
        if (path := os.environ.get("SCRIPTED_START")) and not Path(path).exists():
            os._exit(7)

    def is_usable(self):
        return self.lost is None


def run(session, message, *, job, blobs, on_step):
    if session.lost is not None:
        raise RuntimeError(f"CUDA error: {session.lost}")
    script = _script(message, blobs)
    if ran := script.get("ran"):
        with Path(ran).open("a") as file:
            file.write(f"{job}\n")
    if phase := script.get("phase"):
        on_step(phase, 0, 1)
    while (silent := script.get("silent")) and not Path(silent).exists():
        time.sleep(PACE)
    step, steps = 0, script.get("steps", 3)
    until = script.get("until")
    while step < steps or steps == 0 or (until and not Path(until).exists()):
        step += 1
        on_step("step", step, max(step, steps))
        time.sleep(PACE)
    if name := script.get("weights"):
        raise ShotError("here", str(session.weights(name)), "")
    if past := script.get("past"):
        Path(past).touch()
    _end(session, script.get("end", "result"))
    return _result(message, job, blobs)


def _script(message, blobs):
    if isinstance(message, messages.RenderRequest | messages.PreviewRequest):
        return message.shot.options
    return json.loads(blobs.get(message.image.sha256)) if hasattr(message, "image") else {}


def _end(session, how):
    if how in LOST:
        session.lost = LOST[how]
    match how:
        case "illegal_access" | "device_assert" | "launch_failure":
            said = "CUDA kernel errors might be asynchronous"
            raise RuntimeError(f"CUDA error: {session.lost}\n{said}")
        case "told_as_shot_error":
            try:
                raise RuntimeError(f"CUDA error: {session.lost}")
            except RuntimeError as error:
                raise ShotError("odd", "The engine explains it.", "Try again.") from error
        case "device_gone":
            raise KeyError("a consequence that does not name its cause")
        case "shot_error":
            raise ShotError("too_dark", "The photo is black.", "Use another one.")
        case "memory":
            raise MemoryError("wanted 9 GB")
        case "cuda_memory":
            raise OutOfMemoryError("wanted 90 GB of the device")
        case "torch_memory":
            import torch

            torch.empty(1 << 50, dtype=torch.uint8)
        case "cv2_memory":
            import cv2

            cv2.resize(np.zeros((2, 2), np.uint8), (1 << 24, 1 << 24))
        case "bug":
            raise KeyError("scripted")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            threading.Event().wait()


def _result(message, job, blobs):
    if isinstance(message, messages.RenderRequest):
        # Larger than a chunk, so that the download takes several, the last one short.
        video = b"video" * 500_000
        blobs.put(video)
        return messages.Rendered(
            job=job,
            video=content.blob_of(video, "video/mp4"),
            frames=2,
            height=4,
            width=4,
            fps=24.0,
            engine=message.shot.engine,
            seed=message.shot.seed,
            shot=content.shot_hash(message.shot),
        )
    if isinstance(message, messages.PreviewRequest):
        video = b"preview"
        blobs.put(video)
        return messages.Previewed(
            job=job,
            video=content.blob_of(video, "video/mp4"),
            frames=2,
            height=4,
            width=8,
            fps=24.0,
            shot=content.shot_hash(message.shot),
        )
    plane, data = content.array_blob_of(np.zeros((4, 4), np.float32))
    image, pixels = content.array_blob_of(np.zeros((4, 4, 3), np.uint8))
    segments, ids = content.array_blob_of(np.zeros((4, 4), np.int32))
    for part in (data, pixels, ids):
        blobs.put(part)
    scene = messages.Scene(image=image, depth=plane, intrinsics=np.eye(3), near=1.0, far=2.0)
    return messages.Lifted(
        job=job,
        scene=scene,
        segments=segments,
        depth_model="scripted",
        segment_model="scripted",
        upright=True,
    )
