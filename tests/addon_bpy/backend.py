"""The backend's Python, which has torch; another one than Blender's."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import build_addon
from tests.home import folder as home_folder

ROOT = Path(build_addon.__file__).parent
READY = re.compile(r"LeviTor backend ready at (tcp://\S+)")


def backend_python() -> str:
    """The program."""
    return os.environ.get("LEVITOR_BACKEND_PYTHON") or str(ROOT / ".venv" / "bin" / "python")


def environment(state: Path) -> dict[str, str]:
    """What a backend is started with: this process' own, but with no weights to be found."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "XDG_DATA_HOME": str(state), "HF_HOME": str(state / "hf")}


_RUN = """
import json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the code prints is no answer
for line in sys.stdin:
    code, *sys.argv[1:] = json.loads(line)
    names = {"__name__": "__main__", "answer": None}
    try:
        exec(code, names)
        told = [names["answer"], ""]
    except BaseException:
        told = [None, traceback.format_exc()]
    print(json.dumps(told), file=answers, flush=True)
"""


@cache
def _backend_process() -> subprocess.Popen:
    """Ends with this process, as its input does."""
    return subprocess.Popen(
        [backend_python(), "-c", _RUN],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(home_folder()),
    )


def in_backend(code: str, *arguments: object) -> Any:
    """Run code in the backend's Python, whose ``sys.argv[1:]`` are the arguments.

    All is run by one process, since one that imports torch takes two seconds to start.

    Returns:
        what the code has made ``answer``.
    """
    process = _backend_process()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([code, *map(str, arguments)]) + "\n")
    process.stdin.flush()
    answer, error = json.loads(process.stdout.readline())
    assert not error, error
    return answer


def make_film(path, frames) -> Path:
    """Encode uint8 frames (F, H, W, 3), as the backend encodes a take."""
    code = (
        "import sys, numpy as np, torch\n"
        "from pathlib import Path\n"
        "from backend.files import video\n"
        "frames = torch.from_numpy(np.load(sys.argv[1])).movedim(-1, 1).float() / 255\n"
        "Path(sys.argv[2]).write_bytes(video.encode_video(frames, 24.0))"
    )
    np.save(path.with_suffix(".npy"), frames)
    in_backend(code, path.with_suffix(".npy"), path)
    return path
