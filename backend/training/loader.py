"""Examples of a process, in the order of the run, read ahead by any number of workers.

Step k of a run uses the examples with numbers k B to k B + B - 1; process r of P gets the r-th part
of them, which it works through in A parts one after the other.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator
from torch.utils.data import DataLoader, Dataset, Sampler

from backend.training.base import Example, Examples
from protocol.errors import ShotError


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An example that could not be read.

    Attributes:
        number: of the example.
        why: a sentence.
    """

    number: int
    why: str


Part = list[Example | Unreadable]
"""Examples of one forward pass of one process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Who gets which examples of a batch.

    Attributes:
        batch: examples of a step, a multiple of processes times accumulate.
        accumulate: parts of a process.
        processes: in all.
        process: this one.
    """

    batch: int
    accumulate: int = 1
    processes: int = 1
    process: int = 0

    @property
    def part(self) -> int:
        """Examples of one part."""
        return self.batch // self.processes // self.accumulate

    def parts(self, first: int) -> list[list[int]]:
        """Numbers of this process's parts of the batch that begins with ``first``."""
        start = first + self.process * self.part * self.accumulate
        begins = [start + index * self.part for index in range(self.accumulate)]
        return [list(range(begin, begin + self.part)) for begin in begins]


class _Numbered(Dataset[Example | Unreadable]):
    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __getitem__(self, number: int) -> Example | Unreadable:
        # As in a worker, which torch gives one thread: more may round sums otherwise
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._examples[number]
        except ShotError as problem:  # as text: this error does not pickle
            return Unreadable(number=number, why=str(problem))
        finally:
            torch.set_num_threads(threads)


class _Numbers(Sampler[list[int]]):
    def __init__(self, split: Split, first: int, steps: int) -> None:
        self._split, self._first, self._steps = split, first, steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._steps):
            yield from self._split.parts(self._first + step * self._split.batch)


def parts(
    examples: Examples, split: Split, first: int, steps: int, workers: int
) -> Iterator[list[Part]]:
    """The parts of each step of this process.

    Args:
        examples: by number.
        split: who gets which.
        first: number of the first example.
        steps: how many.
        workers: processes that read ahead; 0 reads in this one. Same examples for any number.
    """
    settings: dict[str, Any] = {}
    if workers:
        # Started anew rather than forked, which may hang beside torch's threads
        settings = {
            "multiprocessing_context": "spawn",
            "prefetch_factor": 2,
            "worker_init_fn": _leave_signals_to_the_trainer,
        }
    loader = DataLoader(
        _Numbered(examples),
        batch_sampler=_Numbers(split, first, steps),
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=False,
        generator=Generator(),  # else it draws from torch's own, which a checkpoint keeps
        **settings,
    )
    stream = iter(loader)
    for _ in range(steps):
        yield [next(stream) for _ in range(split.accumulate)]


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ctrl-C or a batch system's SIGTERM may go to every process of a run; the trainer answers it.

    A worker ends when the trainer asks it to, or is gone: torch's own loop looks for both.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(part: Part) -> Part:
    return part
