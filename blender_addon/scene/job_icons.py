"""Preview icons of running jobs, for panels to draw; nothing of it is in the file."""

from __future__ import annotations

from typing import Any

import bpy.utils.previews
import numpy as np
import numpy.typing as npt

from ..core.jobs import JobRow

Array = npt.NDArray[Any]
_shown: dict[str, Any] = {}
"""Blender's collection under "icons", and the picture that each icon shows under its task."""


def load(job: JobRow) -> None:
    """Make an icon of the job's last picture, if it has one that is new."""
    if job.picture is None:
        return
    if "icons" not in _shown:
        _shown["icons"] = bpy.utils.previews.new()
    icons = _shown["icons"]
    icon = icons[job.task] if job.task in icons else icons.new(job.task)
    if _shown.get(job.task) is not job.picture:
        height, width = job.picture.shape[:2]
        icon.image_size = (width, height)
        icon.image_pixels_float.foreach_set(_rgba_upwards(job.picture).ravel())
        _shown[job.task] = job.picture


def icon_of(job: JobRow) -> int | None:
    """The icon that was made for a job last; ``None`` where there is none."""
    icons = _shown.get("icons", {})
    return icons[job.task].icon_id if job.task in icons else None


def forget() -> None:
    """Free every icon."""
    if (icons := _shown.pop("icons", None)) is not None:
        bpy.utils.previews.remove(icons)
    _shown.clear()


def _rgba_upwards(picture: Array) -> npt.NDArray[np.float32]:
    """Float pixels with alpha, the lowest row first, as Blender has them."""
    rgba = np.ones((*picture.shape[:2], 4), np.float32)
    rgba[:, :, :3] = picture[::-1] / 255.0
    return rgba
