"""``levitor doctor``: reports what works on this computer, what is missing, and versions."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.engines.base import EngineSpec

SVD_PARTS = {
    "image_encoder": 632_000_000,
    "vae": 97_700_000,
    "unet": 1_524_600_000,
    "controlnet": 682_000_000,
}
"""Parameters of each network of Stable Video Diffusion XT with a ControlNet."""
SVD_FRAMES, SVD_SIDES = 16, (512, 288)
"""Frames and size for which memory is estimated, unless the engine has its own."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "doctor", help="what works on this computer, and what is missing"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 only if the installation itself is broken."""
    from backend.engines.registry import specs

    found = gather(specs())
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(report(found)))
    return 1 if found["broken"] else 0


def gather(engines: Sequence[EngineSpec]) -> dict[str, Any]:
    """Gather the facts as JSON values.

    Args:
        engines: the registered engines.
    """
    from backend.cli.weights import facts_of
    from backend.perception.model_names import perception_infos
    from backend.weights.search import Search
    from backend.weights.table import TABLE

    broken: list[str] = []
    torch = _torch(broken)
    search = Search.here()
    device = "cpu"
    if search.config.device != "cpu" and torch.get("gpus"):
        device = "cuda"
    found: dict[str, Any] = {
        "levitor": version("levitor"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory": _memory(),
        "torch": torch,
        "driver": _driver(),
        "video": _video(broken),
        "config": None if search.config.file is None else str(search.config.file),
        "device": device,
        "memory_mode": search.config.memory,
        "weights_folder": str(search.target()),
        "disk_free": _disk_free(search.target()),
        "weights": [facts_of(weights, search, device) for weights in TABLE],
        "engines": [
            {
                "name": spec.name,
                "label": spec.label,
                "help": spec.help,
                "frames": spec.frames.default,
                "takes": _takes(spec, device),
                "needs": list(spec.needs({})),
                "lacks": [name for name in spec.needs({}) if not search.has(name)],
            }
            for spec in engines
        ],
        "perception": [
            {"task": info.task, "name": info.name, "note": info.note}
            for info in perception_infos(search.has)
        ],
        "broken": broken,
    }
    found["advice"] = advice(found)
    return found


def advice(found: dict[str, Any]) -> list[str]:
    """What to do next: a paragraph each, commands on lines of their own."""
    from backend.perception.model_names import DEPTH, SEGMENTS, SUGGESTED_DEPTH, SUGGESTED_SEGMENTS
    from backend.weights.search import and_list
    from backend.weights.table import human

    rows = {row["name"]: row for row in found["weights"]}
    ready = {name for name, row in rows.items() if row["state"] == "ready"}
    said: list[str] = [f"Broken: {what}" for what in found["broken"]]
    models = [engine for engine in found["engines"] if engine["needs"]]
    works = [engine["label"] for engine in models if not engine["lacks"]]
    can = "You can draft now, without a GPU and without weights"
    can += f", and render real video with {and_list(works)}." if works else "."
    depth = next((rows[name]["label"] for name in DEPTH if name in ready), None)
    segments = next((rows[name]["label"] for name in SEGMENTS if name in ready), None)
    by_depth = f"comes from {depth}" if depth else "is a flat ground or a map of your own"
    by_segments = f"is by {segments}" if segments else "goes by colour"
    said.append(f"{can} Depth {by_depth}; picking {by_segments}.")
    wished = [SUGGESTED_DEPTH] * (depth is None) + [SUGGESTED_SEGMENTS] * (segments is None)
    if wished:
        what = and_list(["depth"] * (depth is None) + ["picking"] * (segments is None))
        size = human(sum(rows[name]["size"] for name in wished))
        licences = and_list(list(dict.fromkeys(rows[name]["licence"] for name in wished)))
        said.append(f"For better {what}, {size} ({licences}):\n{_command(wished)}")
    for engine in models:
        if engine["lacks"]:
            said.append(_for_engine(engine, [rows[name] for name in engine["lacks"]]))
    said += [_on_device(engine, found) for engine in models if engine["takes"]]
    for row in rows.values():
        if row["state"] == "incomplete":
            said.append(
                f"{row['label']} at {row['path']} is incomplete, it lacks"
                f" {and_list(row['lacks'])}:\n{_command([row['name']])}"
            )
    return said


def _for_engine(engine: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    from backend.weights.table import human

    size = human(sum(row["size"] for row in rows))
    licences = "\n".join(
        f"  {row['name']}, {human(row['size'])}, licence {row['licence']}: {row['terms']}."
        for row in rows
    )
    names = [row["name"] for row in rows]
    return f"For real video with {engine['label']}, {size}:\n{_command(names)}\n{licences}"


def _on_device(engine: dict[str, Any], found: dict[str, Any]) -> str:
    from backend.weights.table import human

    takes, label = engine["takes"], engine["label"]
    what = f"a take of {engine['frames'] or SVD_FRAMES} frames of {SVD_SIDES[0]} x {SVD_SIDES[1]}"
    if found["device"] == "cpu":
        free, most = found["memory"]["available"], takes["balanced"]
        fits = f"; {human(free)} are free" if free else ""
        short = ", too little" if free and free < most else ""
        return (
            f"Without a CUDA GPU {label} runs on the CPU, very slowly: {what} takes about"
            f" {human(most)} of memory (reckoned, not measured){fits}{short}."
        )
    gpu = found["torch"]["gpus"][0]
    if gpu["free"] >= takes["high"]:
        hint = ""
    elif gpu["free"] >= takes["low"]:
        hint = "; memory auto chooses what fits"
    else:
        hint = ", too little: close other programs"
    return (
        f"On the {gpu['name']}, {what} with {label} takes about {human(takes['high'])}, and"
        f" {human(takes['low'])} with memory low (reckoned, not measured);"
        f" {human(gpu['free'])} are free{hint}."
    )


def _takes(spec: EngineSpec, device: str) -> dict[str, int]:
    """Bytes that a take on Stable Video Diffusion needs, by memory preset; else empty."""
    if "svd-xt" not in spec.needs({}):
        return {}
    from dataclasses import replace

    from backend.engines.svd.memory import PLANS, needed_bytes, svd_stages

    on_gpu = device.startswith("cuda")
    element = 2 if on_gpu else 4
    sizes = {name: count * element for name, count in SVD_PARTS.items()}
    width, height = SVD_SIDES
    stages = svd_stages(
        {name: sizes.pop(name) for name in ("image_encoder", "vae")},
        sizes,
        frames=spec.frames.default or SVD_FRAMES,
        height=height,
        width=width,
        guided=True,
        element_size=element,
    )
    return {
        # Main memory is where networks are offloaded to
        plan.preset: needed_bytes(replace(plan, offload=plan.offload and on_gpu), stages)
        for plan in PLANS
    }


def report(found: dict[str, Any]) -> list[str]:
    """The report as lines of text."""
    from backend.cli.weights import table
    from backend.weights.table import human

    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    lines: list[str] = []
    for paragraph in found["advice"]:
        for line in paragraph.split("\n"):
            indent = " " * (len(line) - len(line.lstrip()))
            lines += textwrap.wrap(
                line, width, subsequent_indent=indent, break_on_hyphens=False
            ) or [""]
        lines.append("")
    torch, memory, video = found["torch"], found["memory"], found["video"]
    gpus = [
        f"{gpu['name']}, {human(gpu['free'])} of {human(gpu['memory'])} free"
        for gpu in torch.get("gpus", [])
    ]
    cuda = f"CUDA {torch['cuda']}" if torch.get("cuda") else "without CUDA"
    h264 = ", ".join(video["h264"]) or "no H.264 encoder"
    facts = {
        "LeviTor": f"{found['levitor']}, Python {found['python']}, {found['platform']}",
        "torch": f"{torch['version']}, {cuda}" if torch["version"] else "cannot be imported",
        "GPU": "; ".join(gpus) or "none that torch sees",
        "driver": found["driver"] or "no NVIDIA driver",
        "CPU": f"{found['cores']} cores"
        + (f", {human(memory['available'])} of memory free" if memory["available"] else ""),
        "video": f"PyAV {video['version']}: {h264}" if video["version"] else "cannot be imported",
        "settings": f"{found['config'] or 'no levitor.toml'}; computes on {found['device']},"
        f" memory {found['memory_mode']}",
        "weights": f"new ones go to {found['weights_folder']}, where {human(found['disk_free'])}"
        " of disk are free",
    }
    lines += [f"{name:<10} {value}" for name, value in facts.items()]
    lines += ["", table(found["weights"])]
    return lines


def _torch(broken: list[str]) -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: one of its libraries does not load
        broken.append(f"torch cannot be imported ({error}); install LeviTor anew.")
        return {"version": None, "cuda": None, "gpus": []}
    gpus: list[dict[str, Any]] = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            name = torch.cuda.get_device_name(number)
            gpus.append({"name": name, "memory": total, "free": free})
    return {"version": str(torch.__version__), "cuda": torch.version.cuda, "gpus": gpus}


def _video(broken: list[str]) -> dict[str, Any]:
    try:
        import av
        from av.codec import codecs_available
    except (ImportError, OSError) as error:
        broken.append(f"PyAV cannot be imported ({error}); install LeviTor anew.")
        return {"version": None, "h264": []}
    h264 = [name for name in ("libx264", "h264_nvenc") if name in codecs_available]
    if "libx264" not in h264:
        broken.append("PyAV has no libx264, with which takes are written; install av from PyPI.")
    return {"version": av.__version__, "h264": h264}


def _memory() -> dict[str, int]:
    """Total and free bytes of memory; 0 if unknown."""
    told: dict[str, int] = {}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            told[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass  # not a Linux
    return {"total": told.get("MemTotal", 0), "available": told.get("MemAvailable", 0)}


def _driver() -> str | None:
    """The version of NVIDIA's driver, if there is one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(said.stdout.split()), None)


def _disk_free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _command(names: list[str]) -> str:
    return f"    levitor weights fetch {' '.join(names)}"
