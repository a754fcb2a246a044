"""`levitor render`: the same frames as a server's worker, sentences for what is wrong."""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from backend.cli import shots
from backend.cli.main import main
from backend.cli.shots import parse_options
from backend.engines import registry
from backend.images.depth_map import decode_depth_map
from backend.session import Session
from protocol import content
from protocol.messages import Instance, PreviewRequest, Scene, ShotMessage
from tests.toy.spec import SPEC as TOY

HEIGHT, WIDTH, FRAMES = 32, 48, 4


def a_shot(depth=5.0, map_id=1, segment=False, **changes):
    """A grey wall with a white square that slides to the right by 4 pixels."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    ids[10:20, 10:20] = map_id
    image[ids == 1] = 255
    if segment:
        ids[24:28, 4:8] = 2
    depths = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    depths[0, 0] = depth
    arrays = (image, depths, ids)
    refs, data = zip(*(content.array_blob_of(array) for array in arrays), strict=True)
    k = np.array([[40.0, 0, 24], [0, 40.0, 16], [0, 0, 1]])
    moved = np.tile(np.eye(4), (FRAMES, 1, 1, 1))
    moved[:, 0, 0, 3] = np.linspace(0, 0.5, FRAMES)
    shot = ShotMessage(
        **{
            "scene": Scene(image=refs[0], depth=refs[1], intrinsics=k, near=2.0, far=20.0),
            "instance_map": refs[2],
            "instances": (Instance(id=1, name="Square", moving=True, handle=(-1.1, -0.1, 5.0)),),
            "moved_from_rest": moved,
            "camera_from_world": np.tile(np.eye(4), (FRAMES, 1, 1)),
            "intrinsics": np.tile(k, (FRAMES, 1, 1)),
            "frame_start": 10,
            "frame_end": 17,
            "fps": 12.0,
            "engine": "draft",
        }
        | changes
    )
    return shot, {ref.sha256: blob for ref, blob in zip(refs, data, strict=True)}


@pytest.fixture
def shot_file(tmp_path):
    def write(**changes) -> Path:
        path = tmp_path / "a.shot"
        path.write_bytes(content.pack_shot(*a_shot(**changes)))
        return path

    return write


POINTED = {"engine": "levitor", "options": {"width": 96, "height": 64}}
"""A shot for an engine that is told control points, in a frame twice as large as the photo."""


def frames_of(path):
    with av.open(io.BytesIO(path.read_bytes())) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_shot_file_becomes_a_video_of_its_blender_frames(shot_file, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    assert main(["render", str(shot_file()), "-o", str(out)]) == 0
    frames = frames_of(out)
    assert len(frames) == 8  # frames 10 to 17, from 4 samples
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    brightest = [np.nonzero(frame[15, :, 0] > 180)[0].mean() for frame in (frames[0], frames[-1])]
    assert brightest[1] - brightest[0] == pytest.approx(4.0, abs=0.6)
    assert "4 frames made, 8 in the video, 48 x 32 pixels" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["render", "control"])
def test_where_every_frame_is_made_they_are_counted_once(shot_file, tmp_path, capsys, command):
    out = tmp_path / "out.mp4"
    assert main([command, str(shot_file(frame_end=13)), "-o", str(out)]) == 0
    assert "out.mp4: 4 frames, " in capsys.readouterr().out


@pytest.mark.parametrize("command", ["render", "control"])
def test_what_goes_behind_the_scene_is_told_by_name_and_frame(shot_file, tmp_path, capsys, command):
    shot, _ = a_shot()
    moved = shot.moved_from_rest.copy()
    moved[2:, 0, 2, 3] = 1.0  # from the wall at 5, of which it is a part, to 6
    path = shot_file(scene=replace(shot.scene, kind="backdrop"), moved_from_rest=moved)
    assert main([command, str(path), "-o", str(tmp_path / "out.mp4")]) == 0
    told = "'Square' goes behind the backdrop on frames 14.67 to 17, where up to 100 % of it is"
    assert told in capsys.readouterr().out


def test_it_gives_the_very_bytes_that_a_worker_gives(shot_file, tmp_path):
    out = tmp_path / "out.mp4"
    main(["render", str(shot_file()), "-o", str(out)])
    shot, blobs = a_shot()
    video, _ = Session().render_video(shot, blobs.__getitem__, lambda *step: None)
    assert out.read_bytes() == video


def test_a_bug_in_what_a_scene_hides_costs_no_take(shot_file, tmp_path, capsys, monkeypatch):
    def buggy(shot, names, times):
        raise KeyError("scripted")

    monkeypatch.setattr("backend.control.scene_occlusion.occlusion_notes", buggy)
    out = tmp_path / "out.mp4"
    assert main(["render", str(shot_file()), "-o", str(out)]) == 0
    assert len(frames_of(out)) == 8
    assert "KeyError: 'scripted'" in capsys.readouterr().out


def test_the_control_is_written_beside_it_when_asked_for(shot_file, tmp_path):
    control = tmp_path / "control.mp4"
    main(["render", str(shot_file()), "-o", str(tmp_path / "o.mp4"), "--control", str(control)])
    assert frames_of(control)[0].shape == (HEIGHT, 2 * WIDTH, 3)


@pytest.mark.parametrize(
    ("anchors", "points"), [pytest.param(True, 4, id="on"), pytest.param(False, 3, id="off")]
)
def test_anchors_of_a_shot_are_points_on_what_stays(shot_file, tmp_path, capsys, anchors, points):
    # A segment of 4 x 4 pixels, which gives one point; the square that moves gives three
    shot = shot_file(segment=True, anchors=anchors, **POINTED)
    assert main(["control", str(shot), "-o", str(tmp_path / "c.mp4"), "--over", "photo"]) == 0
    assert f"{points} points a frame" in capsys.readouterr().out


@pytest.mark.parametrize("over", ["draft", "photo"])
def test_the_control_of_a_shot_is_a_video_with_points(shot_file, tmp_path, capsys, over):
    out = tmp_path / "control.mp4"
    assert main(["control", str(shot_file(**POINTED)), "-o", str(out), "--over", over]) == 0
    assert len(frames_of(out)) == 8
    assert "4 frames made, 8 in the video, 3 points a frame, 1 moving" in capsys.readouterr().out


def test_an_engine_without_control_points_says_so_and_another_shows_its_own(
    shot_file, tmp_path, capsys
):
    out = tmp_path / "control.mp4"
    assert main(["control", str(shot_file()), "-o", str(out)]) == 0
    assert "Draft is told no control points; choose another" in capsys.readouterr().out
    assert main(["control", str(shot_file()), "-o", str(out), "--engine", "levitor"]) == 0
    assert frames_of(out)[0].shape == (288, 2 * 512, 3)  # the frame of its networks
    assert "told no" not in capsys.readouterr().out


def test_an_option_is_that_of_the_same_shot_with_it(shot_file, tmp_path):
    named, saved = tmp_path / "named.mp4", tmp_path / "saved.mp4"
    size = ["--option", "width=96", "--option", "height=64"]
    shot = shot_file()
    assert main(["control", str(shot), "-o", str(named), "--engine", "levitor", *size]) == 0
    assert main(["control", str(shot_file(**POINTED)), "-o", str(saved)]) == 0
    assert named.read_bytes() == saved.read_bytes()


TYPED = {"prompt": "a=b", "mode": "fine", "tint": 0.5, "mirror": True, "seeds": 3, "which": "1"}


def test_options_are_read_as_the_types_of_the_engines_own():
    given = [f"{name}={value}" for name, value in TYPED.items()]
    found = parse_options(["seeds=2", *given], TOY.options)
    assert found == TYPED
    assert [type(value) for value in found.values()].count(bool) == 1
    assert TOY.completed(found)["tint"] == 0.5


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        pytest.param([], {"softness": 2.0, "hole_filling": "x"}, id="the shot's own"),
        pytest.param(["--engine", "draft"], {"softness": 2.0, "hole_filling": "x"}, id="named"),
        pytest.param(["--engine", "levitor"], {}, id="another engine's defaults"),
        pytest.param(["--option", "softness=1"], {"softness": 1.0, "hole_filling": "x"}, id="one"),
        pytest.param(["--engine", "levitor", "--option", "steps=9"], {"steps": 9}, id="both"),
    ],
)
def test_options_of_the_shot_are_kept_unless_another_engine_is_named(options, kept):
    parser = argparse.ArgumentParser()
    shots.add_arguments(parser)
    shot, _ = a_shot(options={"softness": 2.0, "hole_filling": "x"})
    assert shots.shot_of(shot, parser.parse_args(["a.shot", *options])).options == kept


@pytest.mark.parametrize("command", ["render", "control"])
@pytest.mark.parametrize(
    ("option", "says"),
    [
        pytest.param("softness=9", "'softness' is 9, allowed 0 to 4. Choose 0 to 4.", id="range"),
        pytest.param("softness=soft", "'softness' is 'soft', which is not a number", id="type"),
        pytest.param("colour=red", "Engine 'draft' has no option 'colour'. Its opt", id="unknown"),
        pytest.param("softness", "--option is given 'softness', which is not NAME=", id="form"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_the_engines_words(
    shot_file, tmp_path, capsys, command, option, says
):
    out = tmp_path / "out.mp4"
    assert main([command, str(shot_file()), "-o", str(out), "--option", option]) == 1
    assert says in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("command", ["render", "control"])
def test_a_number_of_frames_that_an_engine_does_not_make_has_a_way_out_without_blender(
    shot_file, tmp_path, capsys, monkeypatch, command
):
    toy = (TOY, "tests.toy.signal", "tests.toy.engine:ToyEngine")
    monkeypatch.setitem(registry._ENGINES, "toy", toy)
    out = tmp_path / "out.mp4"
    assert main([command, str(shot_file(engine="toy")), "-o", str(out)]) == 1
    assert capsys.readouterr().err == (
        "levitor: The engine 'toy' makes 1, 5, 9 ... 81 frames, the shot has 4. Sample the shot in "
        "5 frames in Blender and save it again, or render it with --engine draft or levitor or "
        "still.\n"
    )
    assert main([command, str(shot_file(engine="toy")), "-o", str(out), "--engine", "draft"]) == 0


def test_the_control_is_the_very_bytes_that_a_worker_gives(shot_file, tmp_path):
    out = tmp_path / "control.mp4"
    assert main(["control", str(shot_file(**POINTED)), "-o", str(out), "--no-depth"]) == 0
    shot, blobs = a_shot(**POINTED)
    wanted = PreviewRequest(shot=shot, depth=False)
    video, shown, _ = Session().preview_video(wanted, blobs.__getitem__, lambda *step: None)
    assert out.read_bytes() == video
    assert shown.shape == (FRAMES, 3, 64, 96)
    assert shown.mean_points_per_frame == 3


def test_a_control_of_the_photo_alone_is_the_photo(shot_file, tmp_path):
    out = tmp_path / "control.mp4"
    without = ["--no-masks", "--no-points", "--no-depth"]
    assert main(["control", str(shot_file()), "-o", str(out), "--over", "photo", *without]) == 0
    (photo, *others) = frames_of(out)
    assert abs(int(photo[15, 15, 0]) - 255) <= 4
    assert abs(int(photo[25, 40, 0]) - 90) <= 4
    assert all(np.abs(other.astype(int) - photo).max() <= 4 for other in others)


def test_a_preview_of_a_shot_with_an_empty_range_is_one_sentence(shot_file, tmp_path, capsys):
    out = tmp_path / "control.mp4"
    assert main(["control", str(shot_file(frame_end=10)), "-o", str(out)]) == 1
    assert "from frame 10 to 10" in capsys.readouterr().err
    assert not out.exists()


def test_an_instance_that_is_never_seen_is_named_by_its_number(tmp_path, capsys):
    # One pixel, so near that even what counts as standing still (1e-4) takes it out of the picture
    shot, blobs = a_shot(depth=1e-4)
    ids, data = content.array_blob_of(np.eye(1, HEIGHT * WIDTH, dtype=np.int32).reshape(HEIGHT, -1))
    moved = shot.moved_from_rest.copy()
    moved[:, 0, 0, 3] = np.linspace(-9e-5, -0.5, FRAMES)
    shot = replace(shot, instance_map=ids, moved_from_rest=moved, **POINTED)
    path = tmp_path / "near.shot"
    path.write_bytes(content.pack_shot(shot, {**blobs, ids.sha256: data}))
    assert main(["control", str(path), "-o", str(tmp_path / "c.mp4"), "--over", "photo"]) == 1
    assert "Instance 1 is in none of the 4 frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        pytest.param({"frame_end": 10}, [], "from frame 10 to 10", id="empty range"),
        pytest.param({"engine": "magic"}, [], "no engine 'magic' here", id="unknown engine"),
        pytest.param({}, ["--engine", "magic"], "no engine 'magic'", id="unknown engine asked for"),
        pytest.param({"options": {"softness": 9.0}}, [], "allowed 0 to 4", id="option"),
        pytest.param({"depth": np.nan}, [], "1 of 1536 depths", id="NaN depth"),
        pytest.param({"depth": 0.0}, [], "not positive", id="depth zero"),
        pytest.param({"map_id": -3}, [], "ids from -3 to 0", id="negative id"),
        pytest.param({"map_id": 256}, [], "allowed 0 to 255", id="id too large"),
        pytest.param({"map_id": 2}, [], "'Square' has no pixel", id="instance without pixels"),
    ],
)
def test_a_shot_that_cannot_be_rendered_is_one_sentence(
    shot_file, tmp_path, capsys, changes, options, says
):
    out = tmp_path / "out.mp4"
    assert main(["render", str(shot_file(**changes)), "-o", str(out), *options]) == 1
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert not out.exists()


@pytest.mark.parametrize("command", ["render", "control"])
def test_a_shot_in_which_an_engine_has_nothing_to_follow_is_refused_before_weights_are_asked_for(
    shot_file, tmp_path, capsys, command
):
    shot, _ = a_shot()
    camera = shot.camera_from_world.copy()
    camera[:, 0, 3] = np.linspace(0, 0.5, FRAMES)
    path = shot_file(
        instances=(replace(shot.instances[0], moving=False),),
        moved_from_rest=np.zeros((FRAMES, 0, 4, 4)),
        camera_from_world=camera,
        anchors=False,
        **POINTED,
    )
    out = tmp_path / "out.mp4"
    assert main([command, str(path), "-o", str(out)]) == 1
    said = capsys.readouterr().err
    assert "'levitor' follows instances that move, and the shot has 0 of them" in said
    assert "switch Static Anchors on" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("content_of_file", "says"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param(b"hello", "not a .shot file", id="text"),
        pytest.param(content.SHOT_MAGIC, "ends too early", id="cut"),
    ],
)
def test_a_file_that_is_no_shot_is_one_sentence(tmp_path, capsys, content_of_file, says):
    path = tmp_path / "x.shot"
    if content_of_file is not None:
        path.write_bytes(content_of_file)
    assert main(["render", str(path), "-o", str(tmp_path / "o.mp4")]) == 1
    assert says in capsys.readouterr().err


def test_a_shot_is_exported_in_every_format(shot_file, tmp_path):
    shot = str(shot_file())
    for name in ("wan-move", "ati", "boxes", "masks"):
        assert main(["export", shot, "--format", name, "-o", str(tmp_path / name)]) == 0
        about = json.loads((tmp_path / name / "about.json").read_text())
        sizes = {"wan-move": (832, 480, 81), "ati": (832, 480, 121)}
        wanted = sizes.get(name, (WIDTH, HEIGHT, FRAMES))
        assert (about["width"], about["height"], about["frames"]) == wanted
    tracks = np.load(tmp_path / "wan-move" / "tracks.npy")
    assert tracks.shape == (1, 81, 8 + 16, 2)
    points = json.loads((tmp_path / "ati" / "tracks.json").read_text())
    assert [len(track) for track in points] == [121] * 24
    for frame, other in ((0, 0), (60, 40), (120, 80)):  # the same moments
        found = [points[0][frame]["x"], points[0][frame]["y"]]
        np.testing.assert_allclose(found, tracks[0, other, 0], atol=1e-3)
    # The square of 10 x 10 at (10, 10) slides by 4 pixels
    assert np.load(tmp_path / "boxes" / "boxes.npy")[0, -1].round(3).tolist() == [14, 10, 24, 20]
    depth = decode_depth_map((tmp_path / "masks" / "depth_0003.exr").read_bytes()).values
    assert (depth[np.isfinite(depth)] == 5.0).all()
    ids = np.asarray(Image.open(tmp_path / "masks" / "ids_0003.png"))
    assert (ids[10:20, 14:20] == 1).all()  # beyond, it ties with the wall, whose id is smaller


def test_an_export_never_writes_over_what_is_there(shot_file, tmp_path, capsys):
    assert main(["export", str(shot_file()), "--format", "ati", "-o", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["a.shot"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        pytest.param(["a.shot"], "a.shot is read by this command and would be lost", id="itself"),
        pytest.param(["o.mp4", "--control", "o.mp4"], "is written twice", id="twice"),
        pytest.param(["."], "is a folder", id="a folder"),
        pytest.param(["a.shot/o.mp4"], "is not a folder to write in", id="under a file"),
    ],
)
def test_outputs_are_checked_before_anything_is_rendered(
    shot_file, tmp_path, monkeypatch, capsys, names, says
):
    path = shot_file()
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    assert main(["render", "a.shot", "-o", *names]) == 1
    assert says in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.shot"]


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 2
    assert "serve" in capsys.readouterr().out
