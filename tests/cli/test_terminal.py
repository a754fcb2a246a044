"""Terminals that cannot show a name: the work is done, and the line that says so is written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.cli.main import main
from protocol import content
from tests.cli.test_render import a_shot

ROOT = Path(__file__).resolve().parents[2]
NAME = "photo \u00e9 \u82b1".encode() + b"\xff"
"""Text that ASCII and Latin-1 lack, and a byte that is no UTF-8."""
TERMINALS = {
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture
def folder(tmp_path):
    """A folder with that name, with a photo and a shot of the same."""
    path = os.path.join(os.fsencode(tmp_path), NAME)
    os.mkdir(path)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    for suffix, data in ((b".png", buffer.getvalue()), (b".shot", content.pack_shot(*a_shot()))):
        with open(path + b"/" + NAME + suffix, "wb") as file:
            file.write(data)
    return path


def run(environment, *arguments):
    environment = {**os.environ, **environment}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"backend", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_lift_is_said_in_every_terminal(folder, terminal):
    photo, out = folder + b"/" + NAME + b".png", folder + b"/" + NAME + b".npz"
    done = run(TERMINALS[terminal], b"lift", photo, b"-o", out)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b"60 x 40 points" in done.stdout
    assert b"Traceback" not in done.stderr
    assert b"Logging error" not in done.stderr
    assert os.path.exists(out)


def encoded(monkeypatch, encoding):
    """The bytes of both streams of this process, from now on in an encoding without any mercy."""
    buffers = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, buffer in buffers.items():
        stream = io.TextIOWrapper(buffer, encoding, "strict", write_through=True)
        monkeypatch.setattr(sys, name, stream)
    return buffers


def test_what_is_wrong_is_one_sentence_in_an_ascii_terminal(folder, monkeypatch):
    streams = encoded(monkeypatch, "ascii")
    stem = os.fsdecode(folder)
    assert main(["lift", f"{stem}/none.png", "-o", f"{stem}/a.npz"]) == 1
    said = streams["stderr"].getvalue()
    assert said.startswith(b"levitor: ")
    assert said.count(b"\n") == 1
    assert rb"photo \xe9 \u82b1\udcff" in said


COMMANDS = {
    "lift": ("lift", "{}.png", "-o", "{}.npz"),
    "render": ("render", "{}.shot", "-o", "{}.mp4"),
    "control": ("control", "{}.shot", "-o", "{}_control.mp4"),
    "export": ("export", "{}.shot", "--format", "ati", "-o", "{}_ati"),
    "export masks": ("export", "{}.shot", "--format", "masks", "-o", "{}_masks"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_command_that_writes_says_so(folder, monkeypatch, command, encoding):
    streams = encoded(monkeypatch, encoding)
    stem = os.fsdecode(folder + b"/" + NAME)
    assert main([part.format(stem) for part in COMMANDS[command]]) == 0
    said = streams["stdout"].getvalue()
    assert b"photo " in said
    assert rb"\udcff" in said
    for trouble in (b"Traceback", b"Logging error"):
        assert trouble not in streams["stderr"].getvalue()


def test_other_programs_words_are_read_in_any_encoding(folder):
    """`levitor serve` names its folder on the one line that its starter reads."""
    from backend.cli import demo

    command = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(bytes(range(128, 256)))"]
    said = subprocess.run(command, capture_output=True, check=True, **demo.TEXT).stdout
    assert len(said) >= 128
