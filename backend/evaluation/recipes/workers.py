"""Makes the videos that are missing, one process a device; a clip that fails is listed."""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from backend.contracts import Scalar
from backend.evaluation.clip_sets import ClipSet
from backend.evaluation.published import EngineRow, Recipe
from backend.evaluation.recipes.rendering import Renderer
from backend.evaluation.recipes.videos import encode_lossless
from backend.files.atomic import write_atomically
from backend.resources import Resources, is_broken_device, is_out_of_memory
from protocol.errors import ShotError

log = logging.getLogger(__name__)

OnClip = Callable[[str, int, int], None]
"""Called with (phase, done, total)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A video to make.

    Attributes:
        row: the engine, and what it is told.
        weights: of the engine, by name.
        options: of the engine, all of them.
        set: the set that the clip is of.
        clip: its name.
        out: the video's file.
        fps: of the video.
    """

    row: EngineRow
    weights: Any
    options: Mapping[str, Scalar]
    set: str
    clip: str
    out: Path
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a process needs to do jobs.

    Attributes:
        recipe: the table's.
        sets: of clips, by name.
        resources: memory and weights; the device is the process's own.
        depth: which network.
        seed: of the measurement.
    """

    recipe: Recipe
    sets: Mapping[str, ClipSet]
    resources: Resources
    depth: str
    seed: int


class Worker:
    """Does jobs one after the other."""

    def __init__(self, work: Work, device: str) -> None:
        self._sets = work.sets
        resources = replace(work.resources, device=device)
        self._renderer = Renderer(work.recipe, resources, work.depth, work.seed)

    def do(self, job: Job) -> str:
        """Make a video; the reason why there is none, or nothing.

        Raises:
            RuntimeError: the device is lost.
        """
        try:
            clip = self._sets[job.set].clip(job.clip)
            frames = self._renderer.frames(job.row, job.weights, clip, job.options)
            write_atomically(job.out, encode_lossless(frames, job.fps))
        except ShotError as error:
            return str(error)
        except (ValueError, OSError, RuntimeError, KeyError) as error:
            if is_broken_device(error):
                raise
            if is_out_of_memory(error):
                return "The memory is not enough: choose --memory low, or another device."
            log.exception("%s: no video", job.clip)
            return f"{type(error).__name__}: {error!s:.200}"
        return ""


def make_videos(
    work: Work, jobs: Sequence[Job], devices: Sequence[str], on_clip: OnClip
) -> dict[Path, str]:
    """Make the videos of ``jobs``.

    Args:
        work: what every process needs.
        jobs: of one row after the other, so that engines are loaded once.
        devices: one process each; a single one is this process.
        on_clip: progress.

    Returns:
        Why a video was not made, by its file.
    """
    failures: dict[Path, str] = {}
    made = _here(work, jobs, devices[0]) if len(devices) == 1 else _beside(work, jobs, devices)
    for done, (job, why) in enumerate(made, 1):
        if why:
            failures[job.out] = why
        on_clip("videos", done, len(jobs))
    return failures


def device_list(text: str) -> list[str]:
    """``cuda:0,cuda:1`` or ``cpu:2``: the device of each process.

    Raises:
        ShotError: it is neither.
    """
    found: list[str] = []
    for part in text.split(","):
        name, _, number = part.strip().partition(":")
        if name == "cpu" and (number == "" or (number.isdecimal() and int(number) > 0)):
            found += ["cpu"] * int(number or 1)
        elif name == "cuda" and (number == "" or number.isdecimal()):
            found.append(part.strip())
        else:
            raise ShotError(
                "device",
                f"--devices {text:.60} names no devices.",
                "Write --devices cuda:0,cuda:1, or cpu:2 for two processes.",
            )
    return found


def _here(work: Work, jobs: Sequence[Job], device: str) -> Iterator[tuple[Job, str]]:
    worker = Worker(work, device)
    for job in jobs:
        yield job, worker.do(job)


def _beside(work: Work, jobs: Sequence[Job], devices: Sequence[str]) -> Iterator[tuple[Job, str]]:
    """A process for each device, which takes the next job when it is done with one."""
    # Spawned: a forked process would share CUDA and OpenMP, which neither survives
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // len(devices))
    waiting = deque(jobs)

    def pool(device: str) -> concurrent.futures.ProcessPoolExecutor:
        return concurrent.futures.ProcessPoolExecutor(
            1, mp_context=context, initializer=_start, initargs=(work, device, threads)
        )

    pools = [pool(device) for device in devices]
    running: dict[concurrent.futures.Future[str], tuple[int, Job]] = {}
    try:
        for index in range(len(devices)):
            if waiting:
                job = waiting.popleft()
                running[pools[index].submit(_do, job)] = (index, job)
        while running:
            ready, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in ready:
                index, job = running.pop(future)
                try:
                    why = future.result()
                except BrokenProcessPool:
                    why = f"The process on {devices[index]} ended; is its memory enough?"
                    pools[index] = pool(devices[index])
                except RuntimeError as error:  # a lost device stays lost in its process
                    why = f"{error!s:.200}"
                    pools[index].shutdown(wait=False)
                    pools[index] = pool(devices[index])
                yield job, why
                if waiting:
                    following = waiting.popleft()
                    running[pools[index].submit(_do, following)] = (index, following)
    finally:
        for one in pools:
            one.shutdown(wait=False, cancel_futures=True)


_worker: list[Worker] = []
"""This process's; filled when it starts."""


def _start(work: Work, device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    _worker[:] = [Worker(work, device)]


def _do(job: Job) -> str:
    return _worker[0].do(job)
