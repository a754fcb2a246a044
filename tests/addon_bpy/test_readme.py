"""The README's script runs as it stands there."""

import re
import runpy
import shutil

import bpy

from .backend import ROOT
from .conftest import last_job, strips


def test_the_script_of_the_readme_makes_all_that_it_says(
    connected, addon, endpoint, flower, home, tmp_path
):
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    home.mkdir()
    shutil.copy(flower, home)
    file = tmp_path / "readme.py"
    file.write_text(script.replace("tcp://127.0.0.1:5599", endpoint))
    runpy.run_path(str(file))
    lift = bpy.context.scene.levitor.lift.levitor
    assert lift.instances["Dahlia"].thickness > 0
    assert last_job(addon).state == "done"
    assert len(strips(addon)) == 2  # the take, and the preview above it
    assert (home / "dahlia.shot").stat().st_size > 100_000
    assert list(home.glob("*/**/*.npy"))
