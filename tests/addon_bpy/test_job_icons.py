"""A take in the making is an icon in the panel, the right way up, and gone with the extension."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import module

pytestmark = pytest.mark.usefixtures("home")


def test_a_picture_becomes_an_icon_with_its_first_row_on_top(addon):
    jobs, pictures = module(addon, "core.jobs"), module(addon, "scene.job_icons")
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[0] = (255, 0, 0)
    job = jobs.JobRow(task="t", kind="submit", label="levitor")
    assert pictures.icon_of(job) is None
    job = job.after(jobs.TaskProgress(task="t", phase="levitor", done=1, total=4, picture=picture))
    pictures.load(job)
    icon = pictures.icon_of(job)
    assert icon is not None  # 0 in a Blender without a window
    shown = pictures._shown["icons"]["t"]
    assert tuple(shown.image_size) == (6, 4)
    pixels = np.array(shown.image_pixels_float[:]).reshape(4, 6, 4)
    assert (pixels[3, :, 0] > 0.9).all()  # Blender's last row is the top
    assert (pixels[:3, :, :3] == 0).all()
    # A step without a picture keeps the last one, under the same icon
    job = job.after(jobs.TaskProgress(task="t", phase="levitor", done=2, total=4))
    pictures.load(job)
    assert pictures.icon_of(job) == icon
    pictures.forget()
    assert pictures._shown == {}
