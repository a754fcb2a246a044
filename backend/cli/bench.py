"""`levitor bench`: measures an engine's networks on this device, with random weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.resources import is_out_of_memory

if TYPE_CHECKING:
    import torch

    from backend.benchmark.svd import Subject, Took, Trial

PEAK_TFLOPS = 790.0
"""What a data-centre GPU does in half precision with dense matrices (NVIDIA H100 and H200, run)."""
TINY_SIZE = 64
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "bench", help="time an engine's networks on this device, without their weights"
    )
    parser.add_argument("--engine", default="levitor", help="which engine's (default levitor)")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default cuda)")
    parser.add_argument("--dtype", choices=DTYPES, help="default bf16, on a CPU fp32")
    parser.add_argument("--steps", type=int, default=25, help="of denoising (default 25)")
    parser.add_argument("--frames", type=int, default=16, help="of the clip (default 16)")
    parser.add_argument("--size", default="512x288", help="width x height (default 512x288)")
    parser.add_argument("--guidance", type=float, default=3.0, help="1 is none (default 3)")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--channels-last", action="store_true", help="channels innermost")
    parser.add_argument(
        "--presets", default="high,balanced,low", help="of memory (default high,balanced,low)"
    )
    parser.add_argument(
        "--peak-tflops",
        type=float,
        default=PEAK_TFLOPS,
        help="what the device can do at best, for the floor (default %(default)g)",
    )
    parser.add_argument("--tiny", action="store_true", help="tiny networks, to try this command")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")


def run(args: argparse.Namespace) -> int:
    """Measure each memory preset; 1 if none fits."""
    from backend.cli.outputs import check_outputs
    from backend.files.atomic import write_atomically

    if args.json:
        check_outputs([args.json], [], (".json",))
    trial, presets = trial_of(args)
    found = measure(trial, presets, args.tiny, args.peak_tflops, print)
    if args.json:
        write_atomically(args.json, json.dumps(found, indent=1).encode())
        print(f"written to {args.json}")
    return 0 if any("step" in row for row in found["presets"]) else 1


def trial_of(args: argparse.Namespace) -> tuple[Trial, list[str]]:
    """The trial to run, and its memory presets.

    Raises:
        ShotError: an option is wrong, or the device cannot do it.
    """
    import torch

    from backend.benchmark.svd import Trial
    from backend.config import checked_device
    from backend.engines.svd.memory import PLANS
    from protocol.errors import ShotError

    def wrong(sentence: str, fix: str) -> ShotError:
        return ShotError("bench", sentence, fix)

    if args.engine != "levitor":
        raise wrong(f"'{args.engine:.40}' has no networks to time.", "Use --engine levitor.")
    known = [plan.preset for plan in PLANS]
    presets = args.presets.split(",")
    if strange := [preset for preset in presets if preset not in known]:
        raise wrong(
            f"There is no memory preset '{strange[0]:.40}'.", f"Choose of {','.join(known)}."
        )
    try:
        width, height = map(int, args.size.split("x"))
    except ValueError:
        width = height = 0
    if min(width, height) < 64 or width % 8 or height % 8:
        raise wrong(
            f"A size of '{args.size:.40}' is not two multiples of 8 from 64.", "Use 512x288."
        )
    if args.frames < 2 or args.steps < 1 or args.peak_tflops <= 0:
        raise wrong(
            f"{args.frames} frames, {args.steps} steps and {args.peak_tflops:g} TFLOP/s are to be "
            "2, 1 and above 0 at least.",
            "Leave them out.",
        )
    name = checked_device(args.device)
    gpu = torch.cuda.is_available()
    if name.startswith("cuda") and not gpu:
        fix = "Add --device cpu." if args.tiny else "Try the command with --tiny --device cpu."
        raise wrong("There is no CUDA GPU that torch sees.", fix)
    device = torch.device(("cuda" if gpu else "cpu") if name == "auto" else name)
    trial = Trial(
        device=device,
        dtype=getattr(torch, DTYPES[args.dtype or ("fp32" if device.type == "cpu" else "bf16")]),
        frames=args.frames,
        height=TINY_SIZE if args.tiny else height,
        width=TINY_SIZE if args.tiny else width,
        steps=args.steps,
        guidance=args.guidance,
        compile=args.compile,
        channels_last=args.channels_last,
    )
    if device.type == "cpu" and not args.tiny:
        raise wrong(
            f"A shot is {trial.tflop:,.0f} TFLOP, which a CPU works on for an hour or more.",
            "Use --device cuda, or try the command with --tiny --device cpu.",
        )
    return trial, presets


def measure(
    trial: Trial, presets: list[str], tiny: bool, peak_tflops: float, say: Any
) -> dict[str, Any]:
    """Everything, said line by line as it is known.

    Args:
        trial: what is run.
        presets: of memory.
        tiny: with the tiny networks, whose work is not reckoned.
        peak_tflops: what the device can do at best.
        say: takes a line.

    Returns:
        The same, as JSON takes it.
    """
    import torch

    from backend.benchmark.svd import Subject, disagreement
    from backend.engines.svd import memory

    device = trial.device
    cuda = device.type == "cuda"
    named = torch.cuda.get_device_name(device) if cuda else "CPU"
    floor = None if tiny else trial.tflop / peak_tflops
    found: dict[str, Any] = {
        "device": named,
        "torch": torch.__version__,
        "dtype": str(trial.dtype).removeprefix("torch."),
        "tiny": tiny,
        "frames": trial.frames,
        "size": [trial.width, trial.height],
        "steps": trial.steps,
        "guidance": trial.guidance,
        "compile": trial.compile,
        "channels_last": trial.channels_last,
        "tflop": None if tiny else trial.tflop,
        "floor": floor,
        "presets": [],
    }
    say(
        f"{named}, torch {torch.__version__}, {found['dtype']}"
        f"{', compiled' if trial.compile else ''}{', channels last' if trial.channels_last else ''}"
    )
    say(
        f"{'tiny networks' if tiny else 'SVD-XT and LeviTor'}, random weights: {trial.frames} "
        f"frames of {trial.width} x {trial.height}, {trial.steps} steps, "
        f"guidance up to {trial.guidance:g}"
    )
    if floor:
        say(f"{trial.tflop:,.0f} TFLOP at {peak_tflops:g} TFLOP/s: a floor of {floor:.2f} s")
    found["disagreement"] = disagreement(trial)
    say(f"a tiny step differs from the CPU's in fp32 by {found['disagreement']:.1e} of its mean")
    try:
        subject = Subject(trial, tiny)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        say("the weights alone are too much for the memory of the device")
        return found
    fitting: memory.Plan | None = None
    for preset in presets:
        plan = memory.plan_of(preset)
        reckoned = subject.needed_bytes(plan)
        row: dict[str, Any] = {"preset": preset, "reckoned": reckoned}
        found["presets"].append(row)
        took = _tried(subject, plan)
        if took is None:
            say(f"{preset}: out of memory, {reckoned / 1e9:.1f} GB reckoned{free_words(device)}")
            continue
        fitting = fitting or plan
        row |= facts(took, trial, floor)
        for line in lines(preset, row):
            say(line)
    if fitting is not None:
        found["kinds"] = subject.kinds(fitting)
        whole = sum(found["kinds"].values())
        say(
            f"a step of '{fitting.preset}' by kind: "
            + ", ".join(f"{kind} {part / whole:.0%}" for kind, part in found["kinds"].items())
        )
    return found


def _tried(subject: Subject, plan: Any) -> Took | None:
    """Run a shot after a warm-up; None if it runs out of memory."""
    try:
        subject.run(plan, steps=2)
        return subject.run(plan)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


def free_words(device: torch.device) -> str:
    """How much of a device's own memory is free; nothing of a CPU, which has none."""
    import torch

    if device.type != "cuda":
        return ""
    free, whole = torch.cuda.mem_get_info(device)
    return f", {free / 1e9:.1f} of {whole / 1e9:.1f} GB free"


def facts(took: Took, trial: Trial, floor: float | None) -> dict[str, Any]:
    """The results of a preset as JSON values."""
    return {
        "whole": took.whole,
        "photo": took.photo,
        "sampling": took.sampling,
        "decoding": took.decoding,
        "step": took.step,
        "unet": took.unet / trial.steps,
        "controlnet": took.controlnet / trial.steps,
        "embedding": took.embedding,
        "images_per_second": trial.frames / took.whole,
        "peak": took.peak,
        "floors": took.whole / floor if floor else None,
    }


def lines(preset: str, row: dict[str, Any]) -> list[str]:
    """The results of a preset as lines of text."""
    peak = "" if row["peak"] is None else f", peak {row['peak'] / 1e9:.2f} GB"
    floors = f", {row['floors']:.1f} floors" if row["floors"] else ""
    return [
        f"{preset}: {row['whole']:.2f} s a shot{floors}, {row['images_per_second']:.1f} images/s"
        f"{peak} (reckoned {row['reckoned'] / 1e9:.2f} GB)",
        f"  step {row['step'] * 1000:.1f} ms: UNet {row['unet'] * 1000:.1f}, ControlNet "
        f"{row['controlnet'] * 1000:.1f}; photo {row['photo'] * 1000:.0f} ms, control's embedding "
        f"{row['embedding'] * 1000:.0f} ms, decoding {row['decoding'] * 1000:.0f} ms",
    ]
