"""What a start may not cost: seen in the modules that are loaded, never in wall time."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "zmq", "cv2", "sklearn", "skimage", "av", "scipy")


def loaded_by(code: str) -> set[str]:
    """Which of HEAVY are imported in a fresh Python that runs ``code``."""
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code\n"
    program += f"print('LOADED', *sorted(set({HEAVY!r}) & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["render", "--help"]])
def test_help_answers_without_any_heavy_library(arguments):
    assert loaded_by(f"from backend.cli.main import main; sys.exit(main({arguments!r}))") == set()


def test_the_protocol_needs_numpy_only():
    assert loaded_by("import protocol.codec, protocol.messages") == set()


def test_the_servers_loop_starts_without_torch():
    assert "torch" not in loaded_by("import backend.server.app")
