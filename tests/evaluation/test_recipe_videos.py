"""Clips become controls, controls videos: told as a shot is, made once, listed when they cannot."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from backend.engines import registry
from backend.evaluation.published import EngineRow, recipe_of
from backend.evaluation.recipes.controls import ClipDepth, control_of, region_boxes
from backend.evaluation.recipes.rendering import options_of, signal_without
from backend.evaluation.recipes.videos import encode_lossless
from backend.evaluation.recipes.workers import Job, Work, Worker, device_list, make_videos
from backend.evaluation.video_folders import read_clip
from backend.resources import Resources
from protocol.errors import ShotError
from tests.evaluation.clip_sets import FRAMES, HEIGHT, STEP, WIDTH, DrawnClips

CLIPS = DrawnClips()
NO_INSTANCE = EngineRow(engine="levitor", instance=False)
FLAT = ClipDepth("offline", Resources())


def work(clips=CLIPS):
    recipe = recipe_of("levitor-1")
    return Work(recipe=recipe, sets={"": clips}, resources=Resources(), depth="offline", seed=0)


def job(tmp_path, name="a/0", engine="draft"):
    row = EngineRow(engine=engine)
    return Job(
        row=row,
        weights=None,
        options=options_of(row, "multi"),
        set="",
        clip=name,
        out=tmp_path / f"{name}.mkv",
        fps=8.0,
    )


def real(name):
    return torch.from_numpy(CLIPS.clip(name).frames).movedim(-1, 1).float() / 255


def test_a_video_is_every_pixel_as_it_was_and_the_same_bytes_again(tmp_path):
    frames = torch.rand(3, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    encoded = encode_lossless(frames, 8.0)
    assert encoded == encode_lossless(frames, 8.0)
    (tmp_path / "a.mkv").write_bytes(encoded)
    np.testing.assert_allclose(read_clip(tmp_path / "a.mkv"), frames, atol=0.5 / 255 + 1e-6)


def test_a_clip_is_told_by_its_first_frames_things_and_its_own_tracks():
    clip = CLIPS.clip("a/0")
    late = clip.ids.copy()
    late[3:, :4, :4] = 7  # comes in later, and nothing tracks it
    control = control_of(replace(clip, ids=late), FLAT)
    assert control.masks().moving == 1
    assert set(control.masks().instance.unique().tolist()) == {0, 1}
    tracks = control.tracks(per_instance=4)
    assert tracks.instance.tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(tracks.xy[:, 0], clip.tracks[:, 0])
    assert tracks.depth[0].tolist() == [4.0, 4.0, 4.0, 4.0, 10.0]


def test_what_engines_cannot_be_told_is_a_sentence():
    clip = CLIPS.clip("a/0")
    with pytest.raises(ShotError, match="has no masks"):
        control_of(replace(clip, ids=None), FLAT)
    empty = replace(clip, instances=np.zeros(len(clip.instances), int))
    with pytest.raises(ShotError, match="nothing in its first frame"):
        control_of(empty, FLAT)


def test_a_region_is_as_wide_as_the_largest_circle_and_follows_its_track():
    clip = CLIPS.clip("a/0")
    control = control_of(clip, FLAT, regions=True)
    boxes = control.boxes()
    assert boxes.xyxy.shape == (1, FRAMES, 4)
    wide = (boxes.xyxy[0, :, 2] - boxes.xyxy[0, :, 0]).tolist()
    assert wide[3] == pytest.approx(18, abs=1.5)
    moved = (boxes.xyxy[0, 5] - boxes.xyxy[0, 3])[[0, 2]].tolist()
    assert moved == pytest.approx([2 * STEP, 2 * STEP])
    nothing = region_boxes(np.zeros((HEIGHT, WIDTH), int), control.tracks())
    assert nothing.xyxy.shape == (0, FRAMES, 4)


def test_the_draft_of_a_clip_is_nearly_the_clip_and_a_frozen_one_is_its_first_frame(tmp_path):
    worker = Worker(work(), "cpu")
    for engine in ("draft", "still"):
        assert worker.do(job(tmp_path / engine, engine=engine)) == ""
    draft, still = (read_clip(tmp_path / engine / "a/0.mkv") for engine in ("draft", "still"))
    thing = -F.max_pool2d(-torch.from_numpy(CLIPS.clip("a/0").ids).float()[:, None], 7, 1, 3) > 0
    off = (draft - real("a/0")).abs()[thing.expand(-1, 3, -1, -1)]
    assert float(off.mean()) < 0.005  # within the thing: its rim is softly seen through
    assert torch.equal(still, read_clip(tmp_path / "still/a/0.mkv")[:1].expand_as(still))
    assert float((still[0] - real("a/0")[0]).abs().max()) < 1e-6


def test_a_clip_that_cannot_be_made_is_listed_and_the_others_are_made(tmp_path):
    class Broken(DrawnClips):
        def clip(self, name):
            if name == "a/1":
                raise ShotError("dataset", "a/1: a frame is torn.", "Fetch it again.")
            return super().clip(name)

    jobs = [job(tmp_path, name) for name in CLIPS.names]
    seen = []
    failures = make_videos(work(Broken()), jobs, ["cpu"], lambda *step: seen.append(step))
    assert failures == {jobs[1].out: "a/1: a frame is torn. Fetch it again."}
    assert [one.out.is_file() for one in jobs] == [True, False, True]
    assert seen[-1] == ("videos", 3, 3)


@dataclass(frozen=True)
class Deadly(DrawnClips):
    """Clips of which one ends the process that reads it, as the system does for want of memory."""

    def clip(self, name):
        if name == "a/1":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().clip(name)


def test_processes_beside_each_other_share_the_jobs_and_outlive_one_that_dies(tmp_path):
    jobs = [job(tmp_path / "beside", name) for name in CLIPS.names]
    failures = make_videos(work(Deadly()), jobs, ["cpu", "cpu"], lambda *step: None)
    assert list(failures) == [jobs[1].out]
    assert "The process on cpu ended" in failures[jobs[1].out]
    alone = job(tmp_path / "alone", "b/0")
    assert Worker(work(), "cpu").do(alone) == ""
    assert jobs[0].out.is_file()
    assert jobs[2].out.read_bytes() == alone.out.read_bytes()


def test_devices_are_named_one_process_each():
    assert device_list("cuda:0,cuda:1") == ["cuda:0", "cuda:1"]
    assert device_list("cpu:2") == ["cpu", "cpu"]
    for wrong in ("tpu", "cuda:x", "cpu:0", ""):
        with pytest.raises(ShotError, match="names no devices"):
            device_list(wrong)


def test_an_ablation_is_told_nothing_of_what_it_was_trained_without():
    control = control_of(CLIPS.clip("a/0"), FLAT)
    options = options_of(EngineRow(engine="levitor"), "multi")
    signal = registry.signals("levitor").encode(control, options)
    assert signal.maps.flatten(2).amax((0, 2)).min() > 0
    for row, silent in ((EngineRow(engine="levitor", depth=False), 2), (NO_INSTANCE, 1)):
        told = signal_without(signal, row).maps
        assert told[:, silent].max() == 0
        others = [channel for channel in range(3) if channel != silent]
        assert torch.equal(told[:, others], signal.maps[:, others])


def test_one_point_a_mask_is_drawn_as_one_point():
    control = control_of(CLIPS.clip("a/0"), FLAT)
    row = EngineRow(engine="levitor")
    points = {
        said: registry.signals("levitor").encode(control, options_of(row, said)).points
        for said in ("single", "multi")
    }
    assert {len(frame) for frame in points["single"]} == {1}
    assert {len(frame) for frame in points["multi"]} == {5}  # by the area; eight at most
