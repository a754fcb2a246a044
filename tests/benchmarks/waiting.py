"""How OpenMP's threads should wait for each other: every setting, alone and beside busy loops.

Each setting is measured in processes of its own, since OpenMP reads it once; the settings take
turns, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from backend import threads

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3
SETTINGS: dict[str, dict[str, str]] = {
    "as the backend sets it": {},
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 100": {"GOMP_SPINCOUNT": "100"},
    "spin 300": {"GOMP_SPINCOUNT": "300"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def print_waiting(beside: int) -> None:
    """Print the medians of every setting with so many busy loops beside it."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SETTINGS}
    with ExitStack() as stack:
        for _ in range(beside):
            loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(loop.wait)
            stack.callback(loop.kill)
        for _ in range(ROUNDS):
            for name, environment in SETTINGS.items():
                found[name].append(_measured_apart(environment))
    tasks = list(next(iter(found.values()))[0])
    print(f"{os.cpu_count()} cores, {beside} busy loops beside, load {os.getloadavg()[0]:.1f}")
    print(f"{'seconds':<24}" + "".join(f"{task:>16}" for task in tasks))
    for name, rounds in found.items():
        medians = (statistics.median(one[task] for one in rounds) for task in tasks)
        print(f"{name:<24}" + "".join(f"{median:>16.3f}" for median in medians))


def _measured_apart(environment: dict[str, str]) -> dict[str, float]:
    kept = {name: text for name, text in os.environ.items() if name not in threads.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--waiting-here"],
        cwd=ROOT,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def print_here() -> None:
    """Measure in this process, and print JSON."""
    from backend import pipeline
    from backend.control.levitor import points_from_masks
    from backend.control_sources import shot_masks
    from backend.engines import registry
    from tests.benchmarks import control
    from tests.benchmarks.scene import shot, with_segments

    subject, still, moving = with_segments(shot()), shot(), shot(camera_moves=True)
    draft = registry.load("draft")

    def quiet(*step: object) -> None:
        pass

    masks = shot_masks(subject)
    calls: dict[str, Callable[[], object]] = {
        "splat": lambda: shot_masks(subject),
        "cluster, exact": lambda: points_from_masks(masks, control.MOVING, 2.0, 20.0),
        "draft": lambda: pipeline.render(still, draft, quiet),
        "camera moves": lambda: pipeline.render(moving, draft, quiet),
        "network": transformer(),
    }
    print(json.dumps({name: _seconds(call) for name, call in calls.items()}))


def transformer() -> Callable[[], object]:
    """Four layers of a small vision transformer on a thousand tokens."""
    import torch

    layer = torch.nn.TransformerEncoderLayer(384, 6, batch_first=True, norm_first=True)
    network = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False).eval()
    tokens = torch.zeros(1, 1000, 384)

    def call() -> object:
        with torch.inference_mode():
            return network(tokens)

    return call


def _seconds(call: Callable[[], object]) -> float:
    call()
    taken: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
