"""Takes in the sequencer: the right frames on a free channel, with what they were made from."""

import json
from dataclasses import replace
from pathlib import Path

import bpy
import pytest

from .conftest import film_length, module


@pytest.fixture(scope="session")
def movie(addon, tmp_path_factory) -> Path:
    """A film of 9 frames, 64 x 48 pixels."""
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    scene.collection.objects.link(scene.camera)
    scene.frame_start, scene.frame_end = 1, 9
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.render.resolution_x, scene.render.resolution_y = 64, 48
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"  # since 5.0
    settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MPEG4", "H264"
    path = tmp_path_factory.mktemp("movie") / "nine.mp4"
    scene.render.filepath = str(path)
    bpy.ops.render.render(animation=True)
    return path


@pytest.fixture
def take(stage, movie):
    """A take of frames 20 to 28 of a lifted photo, and the module that places it."""
    uid = stage.lift().levitor.uid
    sequencer = module(stage.addon, "scene.sequencer")
    return sequencer, sequencer.Take(
        job="job1",
        lift=uid,
        path=movie,
        frame_start=20,
        frame_end=28,
        engine="draft",
        seed=3,
        options={"softness": 1.0},
        shot="ab" * 32,
    )


def test_a_take_spans_exactly_its_frames_and_says_what_it_was_made_from(take):
    sequencer, made = take
    strip = sequencer.place(made)
    assert sequencer.span_of(strip) == sequencer.Span(1, 20, 29)
    assert film_length(strip) == 9
    assert strip["levitor_engine"] == "draft"
    assert strip["levitor_seed"] == 3
    assert json.loads(strip["levitor_options"]) == {"softness": 1.0}
    assert strip["levitor_shot"] == "ab" * 32
    assert strip["levitor_job"] == "job1"


def test_a_second_take_goes_above_the_first_and_a_later_one_beside_it(take):
    sequencer, made = take
    channels = [
        sequencer.place(one).channel
        for one in (made, made, replace(made, frame_start=29, frame_end=37))
    ]
    assert channels == [1, 2, 1]


@pytest.mark.parametrize("end", [24, 40])
def test_a_film_of_another_length_is_trimmed_or_held_to_the_shots_frames(take, end):
    sequencer, made = take
    strip = sequencer.place(replace(made, frame_end=end))
    assert sequencer.span_of(strip) == sequencer.Span(1, 20, end + 1)


def test_a_missing_film_is_told_and_leaves_no_strip(take, stage, tmp_path):
    sequencer, made = take
    with pytest.raises(stage.lifts.ShotError, match=r"gone\.mp4 is not there"):
        sequencer.place(replace(made, path=tmp_path / "gone.mp4"))
    assert sequencer.strips_of(bpy.context.scene)[1] == []


def test_a_film_that_is_none_is_told_and_leaves_no_strip(take, stage, tmp_path):
    sequencer, made = take
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(stage.lifts.ShotError, match="cannot read the take"):
        sequencer.place(replace(made, path=tmp_path / "text.mp4"))
    assert sequencer.strips_of(bpy.context.scene)[1] == []


def test_a_take_of_a_lift_that_is_not_in_the_file_is_not_placed(take, stage):
    sequencer, made = take
    with pytest.raises(stage.lifts.ShotError, match="not being worked on in this file"):
        sequencer.place(replace(made, lift="another"))


def test_the_workspaces_sequencer_shows_the_scene_with_the_take(take):
    sequencer, made = take
    sequencer.place(made)
    workspace = bpy.context.workspace
    if hasattr(workspace, "sequencer_scene"):  # since 5.0
        assert workspace.sequencer_scene == bpy.context.scene
