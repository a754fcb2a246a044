"""A tqdm progress bar driven by the pipeline's phases."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error; yields the ``OnPhase`` callback."""
    from tqdm import tqdm

    # disable=None: a log file gets no bar
    form = "{desc:<8} {bar:30} {n_fmt}/{total_fmt}"
    with tqdm(total=1, leave=False, bar_format=form, disable=None) as bar:

        def on_step(phase: str, done: int, total: int) -> None:
            bar.set_description(phase, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        yield on_step
