"""Export Control writes the shot for other tools, without a backend, whole or not at all."""

import json
import os

import bpy
import numpy as np
import pytest

from .conftest import contents, link, module

FILES = {
    "WAN_MOVE": {"README.txt", "about.json", "image.png"}
    | {f"{name}.npy" for name in ("depth", "tracks", "visibility")},
    "ATI": {"README.txt", "about.json", "image.png"}
    | {"tracks.json", "tracks.npz", "visibility.npy"},
    "BOXES": {"about.json", "boxes.npy", "traj.npy", "visible.npy"},
    "MASKS": {"about.json"}
    | {f"ids_{n:04d}.png" for n in range(9)}
    | {f"depth_{n:04d}.exr" for n in range(9)},
}


@pytest.fixture
def box(stage):
    """A block of rows and columns 10 to 19 at depth 4, keyed to go 1 unit to the right."""
    stage.lift()
    handle = stage.instance("Box", depth=4.0)
    rest = handle.location.copy()
    for frame, across in ((1, 0.0), (9, 1.0)):
        handle.location = rest + type(rest)((across, 0, 0))
        handle.keyframe_insert("location", frame=frame)
    return handle


def export(folder, **values):
    return bpy.ops.levitor.export_control(directory=str(folder), **values)


@pytest.mark.parametrize("kind", FILES)
def test_a_format_is_a_folder_of_its_files_and_the_scene_stays_as_it_was(
    stage, box, addon, tmp_path, kind
):
    before, engaged = contents(), link(addon).client
    assert export(tmp_path, format=kind) == {"FINISHED"}
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"test_{kind.lower().replace('_', '-')}"
    assert {item.name for item in folder.iterdir()} == FILES[kind]
    about = json.loads((folder / "about.json").read_text())
    sizes = {"WAN_MOVE": (832, 480, 81), "ATI": (832, 480, 121)}
    assert (about["width"], about["height"], about["frames"]) == sizes.get(kind, (64, 48, 9))
    assert contents() == before
    assert link(addon).client is engaged  # no backend was asked for


def test_the_tracks_of_the_box_go_15_pixels_to_the_right(stage, box, tmp_path):
    own = {"size": "PHOTO", "length": "SHOT", "points": 4, "rest_points": 3}
    assert export(tmp_path, format="WAN_MOVE", name="out", **own) == {"FINISHED"}
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    tracks = np.load(tmp_path / "out" / "tracks.npy")
    assert about["instance_of_track"] == [1] * 4 + [0] * 3
    assert tracks.shape == (1, 9, 7, 2)
    # The focal length is 60 pixels and the box 4 units away: 1 unit are 15 pixels
    np.testing.assert_allclose(tracks[0, -1, :4] - tracks[0, 0, :4], [[15, 0]] * 4, atol=1e-4)
    assert (tracks[0, -1, 4:] == tracks[0, 0, 4:]).all()


def test_tracks_fit_the_tool_unless_other_is_asked_for(stage, box, tmp_path):
    for given, size, frames in (
        ({}, (832, 480), 81),
        ({"size": "480X832", "length": "121"}, (480, 832), 121),
        ({"fit": "PAD"}, (832, 480), 81),
    ):
        folder = tmp_path / f"{size[0]}_{frames}_{len(given)}"
        assert export(tmp_path, format="WAN_MOVE", name=folder.name, **given) == {"FINISHED"}
        tracks = np.load(folder / "tracks.npy")[0]
        assert len(tracks) == frames
        assert ((tracks[0] >= 0) & (tracks[0] < size)).all()
        assert bpy.data.images.load(str(folder / "image.png")).size[:] == size
        assert "generate.py --task wan-move-i2v" in (folder / "README.txt").read_text("utf-8")


def test_blender_itself_reads_the_ids(stage, box, tmp_path):
    assert export(tmp_path, format="MASKS", name="out") == {"FINISHED"}
    shot, blobs = stage.read()
    splat = module(stage.addon, "link.wire").splat
    ids, _ = list(splat.seen(splat.points_of(shot, blobs)))[8]
    image = bpy.data.images.load(str(tmp_path / "out" / "ids_0008.png"))
    image.colorspace_settings.name = "Non-Color"
    pixels = np.array(image.pixels[:]).reshape(48, 64, 4)[::-1, :, 0]
    assert (np.rint(pixels * 255) == ids.clip(min=0)).all()
    # 10 columns of the box, now from column 25 on; what stands before it hides some
    assert 50 < (ids[10:20, 25:35] == 1).sum() < 100


def test_a_second_export_gets_a_number_unless_it_has_a_name(stage, box, tmp_path):
    for _ in range(2):
        assert export(tmp_path, format="ATI") == {"FINISHED"}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["test_ati", "test_ati_1"]
    with pytest.raises(RuntimeError, match=r"test_ati exists already\. Name a new folder"):
        export(tmp_path, format="ATI", name="test_ati")


def test_without_a_lift_there_is_nothing_to_export(scene, tmp_path):
    with pytest.raises(RuntimeError, match="Lift a photo first"):
        export(tmp_path, format="ATI")


@pytest.mark.parametrize("kind", FILES)
def test_a_shot_in_which_nothing_moves_writes_nothing(stage, tmp_path, kind):
    stage.lift()
    stage.instance("Box", moving=False)
    with pytest.raises(RuntimeError, match=r"Nothing moves in this shot \(0 moving instances"):
        export(tmp_path, format=kind)
    assert list(tmp_path.iterdir()) == []


def test_boxes_of_a_shot_in_which_only_the_camera_moves_are_refused_and_its_tracks_are_not(
    stage, tmp_path
):
    stage.lift()
    eye = bpy.context.scene.camera
    for frame, along in ((1, 0.0), (9, 0.5)):
        eye.location.y = along
        eye.keyframe_insert("location", frame=frame)
    with pytest.raises(RuntimeError, match="0 picked instances to box"):
        export(tmp_path, format="BOXES")
    assert list(tmp_path.iterdir()) == []
    assert export(tmp_path, format="WAN_MOVE", name="out") == {"FINISHED"}
    assert np.load(tmp_path / "out" / "tracks.npy").shape == (1, 81, 16, 2)


def test_a_file_in_the_way_of_the_folder_is_named(stage, box, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RuntimeError, match=r"cannot be written: .*Choose another folder"):
        export(tmp_path / "file", format="MASKS")
    assert (tmp_path / "file").read_text() == "mine"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_may_not_be_written_is_named(stage, box, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RuntimeError, match="cannot be written: permission denied"):
            export(tmp_path, format="MASKS")
    finally:
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_half_way_leaves_nothing(stage, box, tmp_path):
    resource = pytest.importorskip("resource")
    import signal

    # The largest file may have 1000 bytes: the first ids fit, the first depth does not
    old, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.SIGXFSZ
    before = signal.signal(ignored, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(RuntimeError, match="cannot be written: file too large"):
            export(tmp_path, format="MASKS")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(ignored, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"directory": ""}, "No folder is named. Choose where to export to."),
        ({"name": "a/b"}, "'a/b' is no name of a folder. Give one without slashes."),
        ({"name": ".."}, "'..' is no name of a folder."),
    ],
)
def test_a_folder_without_a_usable_name_is_refused(stage, box, tmp_path, values, sentence):
    with pytest.raises(RuntimeError) as raised:
        bpy.ops.levitor.export_control(**{"directory": str(tmp_path), "format": "BOXES", **values})
    assert sentence in str(raised.value)
    assert list(tmp_path.iterdir()) == []
