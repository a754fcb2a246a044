"""Paths stay relative, and what belongs to a file comes along wherever it is saved."""

import errno
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest

from .backend import make_film
from .conftest import link, module, strips


@pytest.fixture
def preferences(addon):
    preferences = module(addon, "prefs").get()
    yield preferences
    preferences.takes = ""


@pytest.fixture
def keep(stage, home, tmp_path):
    """Keeps a film as a take that has arrived, and places it."""
    film = make_film(tmp_path / "take.mp4", np.full((9, 48, 64, 3), 90, np.uint8)).read_bytes()
    files, sequencer = (module(stage.addon, f"scene.{name}") for name in ("files", "sequencer"))
    uid = stage.lift().levitor.uid
    made = sequencer.Take(
        job="job1",
        lift=uid,
        path=Path(),
        frame_start=1,
        frame_end=9,
        engine="draft",
        seed=3,
        options={},
        shot="ab" * 32,
    )

    def keep_one(job="job1"):
        path, note = files.keep_take(files.takes_folder(), f"take_{job}", film)
        assert note == ""
        take = replace(made, job=job, path=path)
        link(stage.addon).takes[job] = take
        sequencer.place(take)
        return take

    return keep_one


def shown(addon):
    """What each strip names, and whether it is there."""
    return [
        (strip.filepath, Path(bpy.path.abspath(strip.filepath)).is_file())
        for strip in strips(addon)
    ]


def save(path: Path, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path), **options)


def test_a_photo_that_was_chosen_relatively_stays_so_and_the_project_can_be_moved(
    connected, addon, tmp_path, flower
):
    project = tmp_path / "project"
    (project / "photos").mkdir(parents=True)
    shutil.copy(flower, project / "photos" / "flower.jpg")
    save(project / "scenes" / "a.blend")
    scene = bpy.context.scene
    scene.levitor.photo = "//../photos/flower.jpg"
    bpy.ops.levitor.lift(max_side=64, wait=240.0)
    assert scene.levitor.photo == "//../photos/flower.jpg"
    assert scene.levitor.lift.levitor.photo == "//../photos/flower.jpg"
    bpy.ops.wm.save_mainfile()
    shutil.move(project, tmp_path / "moved")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "scenes" / "a.blend"))
    assert bpy.ops.levitor.lift(max_side=64, wait=240.0) == {"FINISHED"}


def test_a_relative_path_in_a_file_without_a_place_is_told(scene, tmp_path):
    scene.levitor.photo = "//flower.jpg"
    with pytest.raises(RuntimeError, match=r"'//flower.jpg' is relative to the .blend, which is"):
        bpy.ops.levitor.lift()


@pytest.mark.parametrize("chosen", ["", "//renders"])
def test_takes_of_an_unsaved_file_wait_and_land_beside_it_with_the_first_save(
    keep, addon, preferences, home, tmp_path, chosen
):
    preferences.takes = chosen
    take = keep()
    assert take.path.parent == home / "levitor_takes"
    save(tmp_path / "project" / "a.blend")
    folder = chosen.removeprefix("//") or "levitor_takes"
    assert shown(addon) == [(f"//{folder}/take_job1.mp4", True)]
    landed = tmp_path / "project" / folder / "take_job1.mp4"
    assert link(addon).takes["job1"].path == landed
    assert take.path.is_file()  # undo may still lead to what names it
    shutil.move(tmp_path / "project", tmp_path / "moved")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "a.blend"))
    assert shown(addon) == [(f"//{folder}/take_job1.mp4", True)]
    assert not take.path.exists()


@pytest.mark.parametrize("chosen", ["", "//../renders"])
def test_saved_elsewhere_a_file_brings_its_takes_and_the_old_one_keeps_its_own(
    keep, addon, preferences, tmp_path, chosen
):
    preferences.takes = chosen
    save(tmp_path / "one" / "scenes" / "a.blend")
    keep()
    folder = chosen or "//levitor_takes"
    assert shown(addon) == [(f"{folder}/take_job1.mp4", True)]
    bpy.ops.wm.save_mainfile()
    save(tmp_path / "two" / "scenes" / "b.blend")
    assert shown(addon) == [(f"{folder}/take_job1.mp4", True)]
    shutil.move(tmp_path / "two", tmp_path / "three")
    for path in (tmp_path / "one/scenes/a.blend", tmp_path / "three/scenes/b.blend"):
        bpy.ops.wm.open_mainfile(filepath=str(path))
        assert shown(addon) == [(f"{folder}/take_job1.mp4", True)]


def test_a_saved_copy_has_takes_of_its_own_and_the_file_that_is_open_is_as_it_was(
    keep, addon, home, tmp_path
):
    take = keep()
    bpy.context.scene.levitor.photo = str(tmp_path / "copy" / "x.jpg")
    save(tmp_path / "copy" / "a.blend", copy=True)
    assert shown(addon) == [(str(take.path), True)]
    assert bpy.context.scene.levitor.photo == str(tmp_path / "copy" / "x.jpg")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "copy" / "a.blend"))
    assert shown(addon) == [("//levitor_takes/take_job1.mp4", True)]
    assert bpy.context.scene.levitor.photo == "//x.jpg"


def test_relative_paths_of_photo_and_depth_map_name_the_same_file_from_another_place(
    scene, tmp_path
):
    save(tmp_path / "one" / "a.blend")
    settings = bpy.context.scene.levitor
    settings.photo, settings.depth_path = "//photos/a.jpg", "//depth.png"
    save(tmp_path / "two" / "b.blend")
    settings = bpy.context.scene.levitor
    assert (settings.photo, settings.depth_path) == ("//../one/photos/a.jpg", "//../one/depth.png")


def test_a_fixed_takes_folder_is_left_alone(keep, addon, preferences, tmp_path):
    preferences.takes = str(tmp_path / "fixed")
    take = keep()
    save(tmp_path / "project" / "a.blend")
    assert take.path.is_file()
    assert [there for _, there in shown(addon)] == [True]
    assert not (tmp_path / "project" / "levitor_takes").exists()


def edit(name: str) -> None:
    """An edit of the scene and of the lift, as one undo step."""
    scene = bpy.context.scene
    scene.levitor.near += 1.0
    scene.frame_end += 1
    if scene.levitor.lift is not None:
        scene.levitor.lift.levitor.notes = name
    bpy.ops.ed.undo_push(message=name)


@pytest.mark.parametrize("after", [0, 1])
def test_undo_past_the_first_save_keeps_the_takes(keep, addon, home, tmp_path, after):
    take = keep()
    bpy.ops.ed.undo_push(message="Place Take")
    edit("before")
    blend = tmp_path / "project" / "a.blend"
    save(blend)
    for _ in range(after):
        edit("after")
    for _ in range(1 + after):
        bpy.ops.ed.undo()
    assert shown(addon) == [("//levitor_takes/take_job1.mp4", True)]
    bpy.ops.ed.redo()
    assert shown(addon) == [("//levitor_takes/take_job1.mp4", True)]
    bpy.ops.ed.undo()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert shown(addon) == [("//levitor_takes/take_job1.mp4", True)]
    assert not take.path.exists()


def test_undo_past_two_saves_elsewhere_finds_photo_depth_map_and_takes(
    stage, keep, addon, tmp_path
):
    save(tmp_path / "one" / "a.blend")
    keep()
    settings, lift = bpy.context.scene.levitor, bpy.context.scene.levitor.lift.levitor
    settings.photo, settings.depth_path, lift.photo = "//x.jpg", "//depth.png", "//x.jpg"
    bpy.ops.ed.undo_push(message="Choose")
    edit("before")
    save(tmp_path / "two" / "a.blend")
    (tmp_path / "two" / "x.jpg").write_bytes(b"another photo of the same name")
    save(tmp_path / "three" / "deep" / "a.blend")
    edit("after")

    def named():
        settings = bpy.context.scene.levitor
        return settings.photo, settings.depth_path, settings.lift.levitor.photo

    turned = ("//../../one/x.jpg", "//../../one/depth.png", "//../../one/x.jpg")
    for step in (bpy.ops.ed.undo, bpy.ops.ed.undo, bpy.ops.ed.redo, bpy.ops.ed.undo):
        step()
        assert named() == turned
        assert shown(addon) == [("//levitor_takes/take_job1.mp4", True)]
    bpy.context.scene.levitor.photo = "//mine.jpg"
    edit("chosen here")
    edit("more")
    bpy.ops.ed.undo()
    assert named()[0] == "//mine.jpg"


def test_a_file_is_written_whole_beside_an_artists_own_part_file(addon, tmp_path, monkeypatch):
    files = module(addon, "scene.files")
    path, own = tmp_path / "take.mp4", tmp_path / "take.mp4.part"
    own.write_bytes(b"a download")
    synced, fsync = [], os.fsync

    def noted(handle):
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    umask = os.umask(0o002)
    try:
        files.write(path, b"a take")
    finally:
        os.umask(umask)
    assert (path.read_bytes(), own.read_bytes()) == (b"a take", b"a download")
    assert synced == [(False, False), (True, True)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    assert sorted(one.name for one in tmp_path.iterdir()) == ["take.mp4", "take.mp4.part"]


def test_a_folder_that_cannot_be_synced_has_the_file_all_the_same(addon, tmp_path, monkeypatch):
    fsync = os.fsync

    def refusing(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refusing)
    module(addon, "scene.files").write(tmp_path / "take.mp4", b"a take")
    assert [one.name for one in tmp_path.iterdir()] == ["take.mp4"]


def test_an_interrupted_write_leaves_what_was_there(addon, tmp_path, monkeypatch):
    files, path = module(addon, "scene.files"), tmp_path / "take.mp4"
    path.write_bytes(b"before")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(module(addon, "link.wire").ShotError, match="no space left"):
        files.write(path, b"a take")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("take.mp4", b"before")]
