"""How OpenMP's threads wait is set in one place, and for every process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend import threads

ROOT = Path(__file__).parents[2]


def seen_by(*command, **environment):
    """What OpenMP would find in the environment of a new Python that runs ``command``."""
    kept = {name: text for name, text in os.environ.items() if name not in threads.VARIABLES}
    code = "\n".join(["import json, os", *command, "print(json.dumps(dict(os.environ)))"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return {name: found[name] for name in threads.VARIABLES if name in found}


@pytest.mark.parametrize("name", ["backend.cli.main", "backend.server.worker", "tests.conftest"])
def test_commands_workers_and_tests_all_have_it(name):
    assert seen_by(f"import {name}") == threads.DEFAULTS


@pytest.mark.parametrize("name", threads.VARIABLES)
def test_what_the_user_has_set_is_left_alone_and_nothing_is_added(name):
    assert seen_by("import backend", **{name: "7"}) == {name: "7"}


def test_it_is_there_before_the_library_that_reads_it():
    assert seen_by("import sys, backend", "assert 'torch' not in sys.modules") == threads.DEFAULTS
