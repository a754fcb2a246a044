"""`levitor demo`: makes two shots of sample photos, with Blender and a backend server."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli import resource_options

if TYPE_CHECKING:
    from backend.session import Session

ROOT = Path(__file__).resolve().parents[2]
FRAMES, FPS = 48, 24
READY = "LeviTor backend ready at "
TEXT: dict[str, Any] = {"text": True, "errors": "backslashreplace"}
"""For the output of subprocesses, which may be in any encoding."""

FLOWER: dict[str, Any] = {
    "photo": "flower.jpg",
    "lift": {"scene_kind": "GROUND", "horizon": 0.5, "near": 2.0, "far": 20.0},
    "picks": [
        {"name": "Dahlia", "moving": True, "clicks": [[325, 200, True]]},
        {"name": "Bud", "moving": False, "clicks": [[365, 400, True]]},
    ],
    # Toward the camera along the ground, turning, until the bud in front hides its foot.
    "keys": [
        {"instance": "Dahlia", "frame": 1},
        {"instance": "Dahlia", "frame": 24, "move": [0.25, -0.2, 0.1], "turn": [0.0, 0.25, 0.7]},
        {"instance": "Dahlia", "frame": 48, "move": [0.1, -0.75, 0.0], "turn": [0.0, 0.5, -0.4]},
    ],
}
TINY: dict[str, dict[str, Any]] = {"levitor": {"width": 192, "height": 128, "steps": 4}}
"""Options with which an engine's tiny random networks take seconds."""

CHINA: dict[str, Any] = {
    "photo": "china.jpg",
    "lift": {
        "scene_kind": "GROUND",
        "horizon": 0.48,
        "near": 2.0,
        "far": 40.0,
        "horizontal_fov": 60.0,
    },
    "picks": [
        {
            "name": "Trees",
            "moving": False,
            "box": [535, 125, 640, 426],
            "clicks": [[600, 200, True], [600, 300, True], [620, 390, True]],
        },
        {
            "name": "Pagoda",
            "moving": True,
            "box": [60, 25, 372, 400],
            "clicks": [
                [206, 40, True],
                [210, 120, True],
                [210, 200, True],
                [210, 270, True],
                [210, 330, True],
                [300, 340, True],
                [330, 335, True],
            ],
        },
    ],
    # Away over the lake, turning, and behind the trees that stay.
    "keys": [
        {"instance": "Pagoda", "frame": 1},
        {"instance": "Pagoda", "frame": 24, "move": [0.9, 1.0, 0.0], "turn": [0.0, 0.0, 0.35]},
        {"instance": "Pagoda", "frame": 48, "move": [2.75, 2.4, 0.0], "turn": [0.0, 0.0, 0.6]},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The files made of one photo."""

    name: str
    blender: str
    seconds: float
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("demo", help="make two demo shots (needs a checkout)")
    parser.add_argument("--out", type=Path, help="folder for what is made (default: build/demo)")
    parser.add_argument("--engine", default="draft", help="engine of the takes (default: draft)")
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="tiny networks with random weights: tries the whole way, the takes are noise",
    )
    resource_options.add_arguments(parser)
    parser.add_argument(
        "--blender-python",
        type=Path,
        default=ROOT / ".venv-blender" / "bin" / "python",
        help="a Python with the bpy module",
    )


def run(args: argparse.Namespace) -> int:
    """Make all files, then print a report."""
    from tqdm import tqdm

    from backend.cli.contact_sheet import contact_sheet
    from backend.cli.outputs import check_folder, check_outputs
    from backend.engines import registry
    from backend.files.atomic import write_atomically
    from backend.session import Session
    from protocol.errors import ShotError

    registry.spec_of(args.engine)
    if args.out is not None:
        check_folder(args.out)
    named = f"demo-{args.engine}{'-tiny' if args.tiny else ''}"
    out = args.out or ROOT / "build" / ("demo" if args.engine == "draft" else named)
    out, blender = out.resolve(), args.blender_python
    if not blender.exists() or not (ROOT / "build_addon.py").exists():
        raise ShotError(
            "demo",
            f"The demo needs a checkout with Blender's Python at {blender}.",
            "Run `make demo` in the checkout.",
        )
    check_outputs([out / "contact_sheet.png"], [], (".png",))
    out.mkdir(parents=True, exist_ok=True)
    # Takes of earlier runs would pile up: each has a name of its own
    shutil.rmtree(out / "levitor_takes", ignore_errors=True)
    started = time.monotonic()
    made: list[Made] = []
    photos = _photos()
    with tqdm(total=1.0, disable=None, bar_format="{percentage:3.0f}% |{bar:32}| {desc}") as bar:
        bar.set_description("build the extension")
        extension = _build_extension()
        if args.tiny:
            args.weights = [*(args.weights or ()), *_tiny_weights(out / "tiny")]
        told = resource_options.parse_resource_options(args)
        setting = {"engine": args.engine, "options": TINY.get(args.engine, {}) if args.tiny else {}}
        bar.set_description("start the server")
        session = Session(told.resources)
        with _server(out, told) as endpoint:
            for index, plan in enumerate((FLOWER, CHINA)):

                def show(fraction: float, what: str, index: int = index) -> None:
                    bar.n = min((index + fraction) / 2, 1.0)
                    bar.set_description(what, refresh=True)

                full = plan | setting
                made.append(
                    _make(full, photos, out, blender, extension, endpoint, told, session, show)
                )
        bar.n = 1.0
        bar.set_description("contact sheet")
        sheet = out / "contact_sheet.png"
        names = [item.name for item in made]
        write_atomically(sheet, contact_sheet(out, names, photos))
        bar.set_description("done")
    _print_report(made, sheet, time.monotonic() - started)
    if args.tiny:
        print("These takes are noise: their networks are tiny and hold random weights.")
    return 0


def _make(
    plan: dict[str, Any],
    photos: dict[str, Path],
    out: Path,
    blender: Path,
    extension: Path,
    endpoint: str,
    told: resource_options.ResourceOptions,
    session: Session,
    show: Any,
) -> Made:
    """Make .blend, shot and take of a photo in Blender, then render the shot without Blender."""
    from backend import convert
    from backend.control.preview import Look, look_at_masks
    from backend.control_sources import shot_masks
    from backend.files.atomic import write_atomically
    from backend.files.shot import read_shot
    from backend.files.video import encode_video

    began = time.monotonic()
    name = Path(plan["photo"]).stem
    paths = {kind: out / f"{name}{end}" for kind, end in _ENDINGS.items()}
    for path in paths.values():
        path.unlink(missing_ok=True)
    full = plan | {
        "photo": str(photos[plan["photo"]]),
        "zip": str(extension),
        "endpoint": endpoint,
        "blend": str(paths["blend"]),
        "shot": str(paths["shot"]),
        "frames": FRAMES,
        "fps": FPS,
    }
    plan_file = out / f"{name}_plan.json"
    plan_file.write_text(json.dumps(full, indent=1))
    result = _in_blender(blender, plan_file, out / f"{name}_blender.log", name, show)
    plan_file.unlink()
    take = Path(result["take"]).read_bytes()
    write_atomically(paths["take"], take)

    show(0.85, f"{name}: the same shot without Blender")
    shot, blobs = read_shot(paths["shot"])
    video, _ = session.render_video(shot, blobs.__getitem__, lambda *step: None)
    if video != take:
        raise _failed(f"{paths['shot']} alone gives another video than the server", "")
    masks = shot_masks(convert.shot_from_message(shot, blobs.__getitem__))
    preview = look_at_masks(masks, Look())
    write_atomically(paths["control"], encode_video(preview, FPS, FRAMES))
    properties = result["properties"]
    return Made(
        name=name,
        blender=result["blender"],
        seconds=time.monotonic() - began,
        files=tuple(paths.values()),
        notes=(
            f"depth from {result['depth_model']}, clicks answered by {result['click_model']}, "
            f"segments from {result['segment_model']}, field of view {result['fov']}",
            f"take on frames {result['start']}..{result['end']}, engine "
            f"{properties['levitor_engine']}, seed {properties['levitor_seed']}, "
            f"shot {properties['levitor_shot'][:12]}",
            f"`source .venv/bin/activate; levitor render {shown(paths['shot'])} -o again.mp4"
            f"{''.join(f' --weights {_shown_weights(each)}' for each in told.weights)}` "
            "gives the same bytes",
        ),
    )


_ENDINGS = {"blend": ".blend", "take": ".mp4", "control": "_control.mp4", "shot": ".shot"}


def shown(path: Path) -> Path:
    """A path relative to the working directory, if it is inside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _shown_weights(given: str) -> str:
    name, _, path = given.partition("=")
    return f"{name}={shown(Path(path))}"


def _photos() -> dict[str, Path]:
    """The two sample photos of scikit-learn."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return {name: folder / name for name in ("flower.jpg", "china.jpg")}


def _tiny_weights(folder: Path) -> list[str]:
    """Make tiny random weights; returns ``--weights`` options."""
    from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER, make_tiny_weights

    shutil.rmtree(folder, ignore_errors=True)
    make_tiny_weights(folder)
    return [f"svd-xt={folder / BASE_FOLDER}", f"levitor={folder / CONTROL_FOLDER}"]


def _build_extension() -> Path:
    built = subprocess.run(
        [sys.executable, str(ROOT / "build_addon.py"), "--out", str(ROOT / "dist")],
        capture_output=True,
        check=False,
        **TEXT,
    )
    if built.returncode:
        raise _failed("The extension could not be built", built.stdout + built.stderr)
    return max((ROOT / "dist").glob("levitor-*.zip"), key=lambda path: path.stat().st_mtime)


@contextlib.contextmanager
def _server(out: Path, told: resource_options.ResourceOptions) -> Iterator[str]:
    """Run a server on a free port; yields its endpoint."""
    command = [
        sys.executable,
        "-m",
        "backend",
        "serve",
        "--port",
        "0",
        "--state",
        str(out / "state"),
        f"--device={told.device}",
        f"--memory={told.memory}",
        *(f"--weights={given}" for given in told.weights),
    ]
    with (out / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, **TEXT)
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line.startswith(READY):
                process.wait(10)
                said = (out / "server.log").read_text(errors="backslashreplace")
                raise _failed("The server did not start", said + line)
            yield line.removeprefix(READY)
        finally:
            process.terminate()
            process.wait(20)


def _in_blender(blender: Path, plan: Path, log: Path, name: str, show: Any) -> dict[str, Any]:
    """Run the plan in Blender; returns its report."""
    command = [str(blender), str(ROOT / "scripts" / "demo_in_blender.py"), str(plan)]
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **TEXT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            match line.split(maxsplit=3):
                case ["STEP", done, total, what]:
                    show(0.85 * int(done) / int(total), f"{name}: {what.strip()}")
                case _:
                    pass
    log.write_text("".join(lines), errors="backslashreplace")
    for line in lines:
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise _failed(f"Blender did not finish {name}", "".join(lines))


def _failed(what: str, output: str) -> Exception:
    from protocol.errors import ShotError

    tail = " | ".join(line for line in output.strip().splitlines()[-3:])
    return ShotError("demo", f"{what}: {tail}", "The logs are in the demo's folder.")


def _print_report(made: list[Made], sheet: Path, seconds: float) -> None:
    for item in made:
        print(f"\n{item.name} (Blender {item.blender}, {item.seconds:.1f} s)")
        for path in item.files:
            print(f"  {shown(path)}  {path.stat().st_size / 1e6:.2f} MB")
        for note in item.notes:
            print(f"  {note}")
    print(f"\nLook at {shown(sheet)}  ({seconds:.1f} s in all)")
