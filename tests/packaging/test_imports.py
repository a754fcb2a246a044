"""What a start may not cost: seen in the modules that are loaded, never in wall time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


def test_what_fits_and_segments_is_imported_where_it_is_called():
    """With what they import they take as long as torch, and few commands and workers need it."""
    late = {"skimage", "sklearn"}
    early = []
    for path in sorted((ROOT / "backend").rglob("*.py")):
        for one in ast.parse(path.read_text("utf-8")).body:
            if isinstance(one, ast.ImportFrom):
                names = [one.module or ""]
            elif isinstance(one, ast.Import):
                names = [alias.name for alias in one.names]
            else:
                continue
            early += [(path.name, name) for name in names if name.split(".")[0] in late]
    assert early == []


def test_a_process_of_the_backend_ends_without_a_search_for_cycles():
    code = "import atexit, gc, backend; atexit._run_exitfuncs(); print(gc.get_freeze_count() > 0)"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "True\n"
