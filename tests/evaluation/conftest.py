"""Videos of another system."""

from __future__ import annotations

import pytest
import torch

from backend.files.video import encode_video
from tests.evaluation.clip_sets import DrawnClips


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """A folder of another system's videos: the clips a little darker, compressed."""
    folder = tmp_path_factory.mktemp("baseline")
    clips = DrawnClips()
    for name in clips.names:
        frames = torch.from_numpy(clips.clip(name).frames).movedim(-1, 1).float() / 255
        path = folder / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_video(frames * 0.9, 8.0))
    return folder
