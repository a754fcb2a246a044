"""Tests, and the programs they start, leave the user's home folder alone."""

import subprocess
import sys
from pathlib import Path

from backend import config
from tests import home


def test_home_is_a_folder_of_the_tests_own_here_and_in_every_program_that_they_start():
    command = [sys.executable, "-c", "import pathlib; print(pathlib.Path.home())"]
    started = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path(started.stdout.strip()) == Path.home() == home.folder()


def test_what_is_kept_in_a_home_folder_would_be_kept_in_that_one():
    for place in (config.data_folder(), config.config_folder()):
        assert home.folder() in place.parents
