"""Takes in the sequencer: the right frames on a free channel, with what they were made from."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from .backend import in_backend, make_film
from .conftest import Page, drawn, film_length, link, module, rendered


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


class Buttons(Page):
    """A page that keeps the words on buttons too."""

    def operator(self, name, text="", **_):
        self.words.append(text)
        return super().operator(name)


def measured(addon, off=3.0625, names=None):
    """Numbers as a backend sends them, as they are kept with a take."""
    messages = module(addon, "link.wire").messages
    found = messages.Obedience(
        frames=7,
        centroid_error_px=off,
        centroid_error_percent=off / 6,
        mask_iou=0.8294,
        background_drift_px=0.25,
        instances=(
            messages.InstanceObedience(id=1, centroid_error_px=off, mask_iou=0.8294, in_sight=7),
        ),
    )
    return module(addon, "core.obedience").kept(found, {1: "Dahlia"})


def test_a_reopened_file_shows_its_takes_newest_first_with_how_they_obeyed(take, addon, tmp_path):
    sequencer, made = take
    seeds = {
        1: ("levitor", measured(addon)),
        2: ("levitor", measured(addon, 40.0)),
        3: ("draft", ""),
    }
    for seed, (engine, text) in seeds.items():
        strip = sequencer.place(
            replace(
                made,
                job=f"job{seed}",
                seed=seed,
                engine=engine,
                obedience=text,
                made=f"2026-11-28 12:0{seed}:33",
            )
        )
        assert strip.get(sequencer.OBEDIENCE, "") == text
    path = str(tmp_path / "takes.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert drawn(addon, "LEVITOR_PT_takes") == ""
    bpy.ops.wm.open_mainfile(filepath=path)
    said = drawn(addon, "LEVITOR_PT_takes", Buttons())
    assert " ".join(said.split()) == (
        "draft, seed 3, 11-28 12:03 levitor, seed 2, 11-28 12:02 "
        "Off 40 px (6.7%) · overlap 82% · order – levitor, seed 1, 11-28 12:01 "
        "Off 3.1 px (0.5%) · overlap 82% · order –"
    )
    assert module(addon, "ui.panels").LEVITOR_PT_takes.poll(bpy.context)


def test_the_tooltip_of_a_takes_numbers_has_units_and_why_one_is_a_dash(take, addon):
    sequencer, made = take
    sequencer.place(replace(made, obedience=measured(addon)))
    kind = module(addon, "ops.take_numbers").LEVITOR_OT_take_numbers
    lines = kind.description(bpy.context, SimpleNamespace(job="job1")).split("\n")
    assert lines[0].startswith("Off 3.1 px of the take, 0.51% of its diagonal")
    assert "Order: nothing visibly hides anything in the frames that were compared." in lines
    assert kind.description(bpy.context, SimpleNamespace(job="other")) == kind.__doc__
    assert bpy.ops.levitor.take_numbers(job="job1") == {"FINISHED"}
    with pytest.raises(RuntimeError, match="A draft has none"):
        bpy.ops.levitor.take_numbers(job="other")


def test_a_takes_numbers_cannot_be_keyed(take, addon):
    sequencer, made = take
    strip = sequencer.place(replace(made, obedience=measured(addon)))
    with pytest.raises(TypeError, match="not animatable"):
        strip.keyframe_insert(f'["{sequencer.OBEDIENCE}"]')


def test_numbers_that_somebody_changed_by_hand_leave_the_panel_whole(take, addon):
    sequencer, made = take
    strip = sequencer.place(replace(made, obedience=measured(addon)))
    for spoiled in ("{", 3.5):
        strip[sequencer.OBEDIENCE] = spoiled
        assert drawn(addon, "LEVITOR_PT_takes", Buttons()).split() == ["draft,", "seed", "3"]


def test_a_take_that_was_copied_has_one_row(take, addon):
    sequencer, made = take
    for _ in range(2):
        sequencer.place(made)
    assert drawn(addon, "LEVITOR_PT_takes").split() == ["draft,", "seed", "3"]
    assert link(addon).takes == {}


MAKE = """
import sys
from pathlib import Path
import torch
from backend.files import video
frames = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
Path(sys.argv[1]).write_bytes(video.encode_video(frames, float(sys.argv[2]), length=480))
"""


@pytest.mark.parametrize(("fps", "base"), [(24, 1.001), (30, 1.001), (60, 1.001), (25, 1.0)])
def test_a_take_of_a_broadcast_rate_has_a_frame_for_each_of_the_shots(take, tmp_path, fps, base):
    """Blender keeps the base in single precision; the backend's file has the exact rate."""
    sequencer, made = take
    render = bpy.context.scene.render
    render.fps, render.fps_base = fps, base
    film = tmp_path / "film.mp4"
    rate = repr(render.fps / render.fps_base)
    in_backend(MAKE, film, rate)
    strip = sequencer.place(replace(made, path=film, frame_start=1, frame_end=480))
    assert sequencer.span_of(strip) == sequencer.Span(1, 1, 481)
    assert film_length(strip) == 480
    assert strip.fps == pytest.approx(fps / base, rel=1e-7)


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
    with pytest.raises(stage.lifts.ShotError, match="is not in this file any more"):
        sequencer.place(replace(made, lift="another"))


def test_the_workspaces_sequencer_shows_the_scene_with_the_take(take):
    sequencer, made = take
    sequencer.place(made)
    if bpy.app.version >= (5, 0, 0):
        shown = bpy.context.workspace.sequencer_scene
    else:  # the sequencer shows the window's scene
        shown = bpy.context.window.scene
    assert [strip.name for strip in sequencer.strips_of(shown)[1]] == ["nine"]


@pytest.mark.parametrize("switch", ["lock", "mute"])
def test_a_channel_that_is_locked_or_muted_is_left_alone(take, switch):
    sequencer, made = take
    editor = bpy.context.scene.sequence_editor_create()
    setattr(editor.channels["Channel 1"], switch, True)
    setattr(editor.channels["Channel 3"], switch, True)
    assert [sequencer.place(made).channel for _ in range(2)] == [2, 4]


def test_a_take_of_a_photo_that_is_not_worked_on_goes_to_the_scene_that_holds_it(take, stage):
    sequencer, made = take
    scene = bpy.context.scene
    stage.lift(name="second")
    assert scene.levitor.lift.levitor.uid != made.lift
    assert sequencer.place(made).channel == 1


def test_of_two_scenes_with_the_photo_the_one_that_asked_gets_the_take(take, stage):
    sequencer, made = take
    first = bpy.context.scene
    bpy.ops.scene.new(type="LINK_COPY")
    second = bpy.context.scene
    for asking in (first, second):
        asked = stage.lifts.Asked.in_scene(asking)
        asking.name = f"renamed {asking.name}"
        strip = sequencer.place(replace(made, asked_in=asked))
        assert strip.id_data == asking
    # In another file Blender numbers scenes anew; there the name has to do.
    again = stage.lifts.Asked(uid=0, name=second.name)
    assert sequencer.scene_for(replace(made, asked_in=again)) == second


def test_a_take_name_of_300_letters_is_cut_to_what_every_file_system_takes(addon, tmp_path):
    strips = module(addon, "core.strips")
    name = strips.take_name("ü" * 300, "e" * 300, 7, "0123456789ab")
    assert name == "ü" * 50 + "_" + "e" * 40 + "_seed7_01234567"
    assert len(f"{name}_99.mp4.part".encode()) <= 180
    (tmp_path / f"{name}.mp4.part").write_bytes(b"")


def test_saving_the_shot_without_a_name_is_told(stage):
    stage.lift()
    with pytest.raises(RuntimeError, match=r"No file is named.*flower\.shot"):
        bpy.ops.levitor.save_shot()


def test_saving_the_shot_to_a_folder_is_told(stage, tmp_path):
    stage.lift()
    with pytest.raises(RuntimeError, match=r"is no name of a file.*flower\.shot"):
        bpy.ops.levitor.save_shot(filepath=str(tmp_path))


@pytest.mark.parametrize("name", ["mine", "mine.shot"])
def test_a_saved_shot_is_called_shot(stage, tmp_path, name):
    stage.lift()
    stage.instance()
    bpy.ops.levitor.key_handle(instance="Box", frame=9, move=(0.5, 0, 0))
    bpy.ops.levitor.save_shot(filepath=str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.shot"]


def test_saving_the_shot_warns_of_a_file_that_is_there(stage):
    properties = bpy.ops.levitor.save_shot.get_rna_type().properties
    assert properties["check_existing"].default is True


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        pytest.param((64, 96), (), id="of the photo's size"),
        pytest.param((32, 48), (), id="small"),
        pytest.param((128, 192), (0.0, 0.0, 64.0, 96.0), id="large"),
        pytest.param((24, 48), (8.0, 0.0, 48.0, 96.0), id="small and cropped"),
        pytest.param((64, 64), (0.0, 16.0, 64.0, 64.0), id="a square from the middle"),
        pytest.param((48, 48), (8.0, 24.0, 48.0, 48.0), id="a part that is off the middle"),
        pytest.param((64, 64), (0.0, 0.0, 64.0, 96.0), id="squashed"),
    ],
)
def test_a_takes_pixels_lie_where_the_photos_are_whatever_its_size(
    take, stage, tmp_path, size, shown
):
    sequencer, made = take
    uid = stage.lift(width=96, height=64, fx=90.0, fy=90.0).levitor.uid
    photo = np.full((64, 96, 3), 128, np.uint8)
    photo[20:40, 30:60] = (255, 0, 0)
    top, left, height, width = shown or (0.0, 0.0, 64.0, 96.0)
    rows = (top + (np.arange(size[0]) + 0.5) * height / size[0]).astype(int)
    columns = (left + (np.arange(size[1]) + 0.5) * width / size[1]).astype(int)
    film = make_film(tmp_path / "part.mp4", np.stack([photo[rows][:, columns]] * 9))
    strip = sequencer.place(replace(made, lift=uid, path=film, shown=shown))
    scene = bpy.context.scene
    scene.frame_set(20)
    seen = rendered(scene, tmp_path / "seen")
    assert seen.shape == (64, 96, 3)
    red = np.argwhere(seen[..., 0] - seen[..., 1] > 0.5)
    found = (*red.min(0), *(red.max(0) + 1))
    right = min(60, left + width)
    assert np.abs(np.subtract(found, (20, max(30, left), 40, right))).max() <= 2
    grey = np.abs(seen - 128 / 255).max(-1) < 0.1
    covered = np.zeros((64, 96), bool)
    covered[round(top) : round(top + height), round(left) : round(left + width)] = True
    assert (grey & ~covered).sum() == 0
    covered[18:42, 28:62] = False
    assert (grey & covered).sum() > 0.9 * covered.sum()
    assert strip.transform.scale_x > 0
