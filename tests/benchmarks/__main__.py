"""Measure, print a table, write ``build/bench.json``. Run on a quiet machine: `make bench`."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend import threads

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "bench.json"
REPEATS = 5


def seconds(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median wall time after one call that warms up."""
    call()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def peak_megabytes() -> float:
    """Largest resident size of this process so far (getrusage would count the parent's too)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1024


def quiet(*step: Any) -> None:
    """Progress that nobody looks at."""


def openmp() -> str:
    """Which OpenMP libraries run here, with how many threads, and how those wait."""
    from threadpoolctl import threadpool_info

    libraries = sorted(
        f"{pool['prefix']} of {Path(pool['filepath']).parents[0].parts[-1]}, {pool['num_threads']}"
        for pool in threadpool_info()
        if pool["user_api"] == "openmp"
    )
    return f"{'; '.join(libraries)}; {threads.described()}"


def draft_rows() -> list[tuple[str, float, str, str]]:
    from backend import pipeline
    from backend.control_sources import shot_masks
    from backend.engines import registry
    from backend.files import video
    from tests.benchmarks.scene import shot

    engine = registry.load("draft")
    rows = []
    for name, moves, target in (("still camera", False, "1.0 s"), ("moving camera", True, "")):
        subject = shot(camera_moves=moves)
        taken = seconds(lambda s=subject: pipeline.render(s, engine, quiet))
        rows.append((f"draft, {name}: whole render", taken, "s", target))
        masks = seconds(lambda s=subject: shot_masks(s))
        rows.append((f"id and depth maps of that shot, {name}", masks, "s", ""))
    frames = pipeline.render(subject, engine, quiet).frames
    rows.append(
        ("encode 16 frames as H.264", seconds(lambda: video.encode_video(frames, 24)), "s", "")
    )
    return rows


def splat_rows() -> list[tuple[str, float, str, str]]:
    """The exact splatter beside its rule written plainly, one point after the other, in one run."""
    from backend.geometry.lift import cloud_from_lift
    from backend.geometry.motion import camera_from_rest, move_cloud
    from backend.geometry.splat import render_masks
    from tests.benchmarks.reference_splat import reference_splat
    from tests.benchmarks.scene import shot

    subject = shot()
    cloud = cloud_from_lift(subject.lift, subject.instance)
    camera = subject.lift.camera
    points = move_cloud(cloud, camera_from_rest(subject.motion, camera)[8])
    fast = seconds(lambda: render_masks(points[None], cloud.instance, camera, 1.44))
    start = time.perf_counter()
    plain = reference_splat(points.numpy(), cloud.instance.numpy(), camera, 1.44)
    slow = time.perf_counter() - start
    same = (
        plain == render_masks(points[None], cloud.instance, camera, 1.44).instance[0].numpy()
    ).all()
    return [
        ("splat one frame, 147,456 points, r = 1.44", fast, "s", ""),
        (f"the same rule in plain Python ({'same' if same else 'OTHER'} ids)", slow, "s", ""),
        ("ratio", slow / fast, "x", ""),
    ]


def perception_rows() -> list[tuple[str, float, str, str]]:
    import numpy as np
    import sklearn.datasets

    from backend.images.photo import decode_photo
    from backend.perception import classical

    photo = Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg"
    pixels = decode_photo(photo.read_bytes(), 1280).pixels
    click, on = np.array([[325.0, 200.0]]), np.ones(1, np.uint8)
    return [
        (
            "pick with one click, 640 x 426",
            seconds(lambda: classical.grabcut_instance(pixels, click, on, None), 3),
            "s",
            "",
        ),
        (
            "automatic segments, 640 x 426",
            seconds(lambda: classical.static_segments(pixels), 3),
            "s",
            "",
        ),
    ]


def addon_rows() -> list[tuple[str, float, str, str]]:
    """Eleven million points, placed in Blender's meshes and read back."""
    import numpy as np

    from blender_addon.core import photo_cloud

    height, width = 2730, 4096
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    depth = rng.uniform(2, 20, (height, width)).astype(np.float32)
    segments = np.zeros((height, width), np.int32)
    lens = np.array([[4000.0, 0, 2048], [0, 4000, 1365], [0, 0, 1]])

    def there_and_back() -> None:
        photo_cloud.photo_of([photo_cloud.cloud_of(image, depth, segments, lens)], height, width)

    taken = seconds(there_and_back, 3)
    return [("a cloud of 4096 x 2730 made and read back", taken, "s", "3 s")]


def wire_rows() -> list[tuple[str, float, str, str]]:
    from protocol import decode, encode
    from tests.wire.samples import SAMPLES

    def round_trip() -> None:
        for _ in range(100):
            decode(encode(SAMPLES["submit"]))

    return [("encode and decode a shot message", seconds(round_trip) / 100 * 1000, "ms", "")]


def command_rows() -> list[tuple[str, float, str, str]]:
    def help_text() -> None:
        subprocess.run(
            [sys.executable, "-m", "backend", "--help"], cwd=ROOT, capture_output=True, check=True
        )

    return [("levitor --help", seconds(help_text), "s", "0.3 s")]


def memory_rows() -> list[tuple[str, float, str, str]]:
    """Peak memory above the imports, each in a process of its own."""
    rows = []
    for what, name, target in (
        ("draft", "draft: peak memory above the imports", "500 MB"),
        ("fast", "control, fast: peak memory above the imports", ""),
        ("exact", "control, exact: peak memory above the imports", ""),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks", "--memory", what],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        rows.append((name, float(done.stdout), "MB", target))
    return rows


def measure_memory(what: str) -> None:
    from backend import pipeline
    from backend.engines import registry
    from tests.benchmarks import control
    from tests.benchmarks.scene import shot, with_segments

    if what == "draft":
        engine, before = registry.load("draft"), peak_megabytes()
        pipeline.render(shot(), engine, quiet)
    else:
        # A short shot first: what libraries load when they are first used is no more than imports
        control.signal(with_segments(shot(frames=2, height=72, width=128)), what == "exact")
        subject, before = with_segments(shot()), peak_megabytes()
        control.signal(subject, what == "exact")
    print(round(peak_megabytes() - before, 1))


def main() -> None:
    if "--memory" in sys.argv:
        measure_memory(sys.argv[-1])
        return
    from tests.benchmarks import evaluation

    if "--evaluation-memory" in sys.argv:
        evaluation.print_memory(peak_megabytes)
        return
    from tests.benchmarks import control, denoising, footprint, perception, training, waiting

    if "--growth" in sys.argv:
        control.print_growth()
        return
    if "--waiting-here" in sys.argv:
        waiting.print_here()
        return
    if "--waiting" in sys.argv:
        waiting.print_waiting(beside=int(sys.argv[-1]))
        return
    if "--footprint" in sys.argv:
        footprint.print_footprint()
        return
    if "--denoising" in sys.argv:
        for name, value, unit, _ in denoising.rows():
            print(f"{name:<60} {value:.3g} {unit}")
        return
    if "--evaluation" in sys.argv:
        for name, value, unit, _ in evaluation.rows(ROOT):
            print(f"{name:<60} {value:.3g} {unit}")
        return
    if "--training" in sys.argv:
        training.print_rows()
        return
    rows = [
        *command_rows(),
        *control.rows(seconds),
        *draft_rows(),
        *memory_rows(),
        *splat_rows(),
        *denoising.rows(),
        *training.rows(),
        *evaluation.rows(ROOT),
        *perception_rows(),
        *perception.rows(seconds),
        *wire_rows(),
        *addon_rows(),
    ]
    width = max(len(row[0]) for row in rows)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}, "
        f"Python {platform.python_version()}"
    )
    print(f"threads: {openmp()}")
    for name, value, unit, target in rows:
        wanted = f"  (at most {target})" if target else ""
        print(f"{name:<{width}}  {value:9.3g} {unit}{wanted}")
    OUT.parent.mkdir(exist_ok=True)
    table = [{"what": n, "value": v, "unit": u, "target": t} for n, v, u, t in rows]
    table.append({"what": "threads", "value": openmp(), "unit": "", "target": ""})
    OUT.write_text(json.dumps(table, indent=1))
    print(f"written to {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
