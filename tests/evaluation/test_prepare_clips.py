"""Clips of datasets in their real layouts get points once, and give them back with their frames."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from backend.cli.main import main
from backend.evaluation.prepare_clips import PreparedOptions, first_points, prepare_clips
from backend.evaluation.prepared_clips import PreparedClips, clip_path
from backend.evaluation.trackers import LucasKanade
from protocol.errors import ShotError
from tests.datasets import tiny

OPTIONS = PreparedOptions(frames=8, height=48, width=64)
TRACKER = LucasKanade(window=9, levels=2)


def prepare(source, out, **changes):
    return prepare_clips(source, out, replace(OPTIONS, **changes), TRACKER)


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    return tiny.davis(tmp_path_factory.mktemp("davis"))


def test_a_dataset_is_cut_into_clips_whose_points_go_with_their_things(davis, tmp_path):
    report = prepare(davis, tmp_path)
    assert (report.clips, report.made, report.problems) == (4, 4, ())
    clips = PreparedClips.open(tmp_path)
    assert clips.names == ("bear_00000", "bear_00008", "camel_00000", "camel_00008")
    assert clips.manifest.points == "multi"
    assert clips.manifest.fps == 24
    assert clips.manifest.tracker == "Lucas-Kanade (proxy, not comparable)"
    clip = clips.clip("bear_00008")
    assert clip.frames.shape == (8, 48, 64, 3)
    assert clip.ids.dtype == np.uint8
    assert set(clip.instances.tolist()) == {0, 1, 2}
    for item in (1, 2):
        own = clip.tracks[0, clip.instances == item]
        assert 3 <= len(own) <= 8
        column, row = np.floor(own).astype(int).T
        assert (clip.ids[0, row, column] == item).all()
    assert clip.tracks.dtype == np.float32
    assert clip.visible[0].all()


def test_a_run_that_was_killed_goes_on_to_the_same_files(davis, tmp_path):
    class Killed:
        """Ends the process, as far as that goes in a test, with the third clip half made."""

        name, source, comparable = TRACKER.name, TRACKER.source, TRACKER.comparable
        left = 2

        def __call__(self, frames, points):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return TRACKER(frames, points)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    prepare(davis, whole)
    with pytest.raises(KeyboardInterrupt):
        prepare_clips(davis, broken, OPTIONS, Killed())
    (note,) = PreparedClips.open(broken).notes
    assert note.endswith("was not prepared to the end: it has 2 clips.")
    assert not (broken / "prepared.json").exists()
    assert prepare(davis, broken).made == 2
    assert PreparedClips.open(broken).notes == ()
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(broken) for path in broken.rglob("*") if path.is_file())
    assert all((whole / file).read_bytes() == (broken / file).read_bytes() for file in files)


def test_points_that_were_tracked_elsewhere_or_by_another_tracker_are_not_mixed(davis, tmp_path):
    prepare(davis, tmp_path, limit=1)
    other = SimpleNamespace(
        name="CoTracker (cotracker2)", source="a.pth, sha256 0", comparable=True
    )
    with pytest.raises(ShotError, match=r"tracker was .Lucas-Kanade.*now .CoTracker"):
        prepare_clips(davis, tmp_path, replace(OPTIONS, limit=1), other)


def test_a_dataset_that_has_changed_since_is_not_taken_for_what_was_tracked(davis, tmp_path):
    source = tmp_path / "davis"
    shutil.copytree(davis, source)
    prepare(source, tmp_path / "out", limit=1)
    frames = source / "JPEGImages/480p/bear"
    (frames / "00003.jpg").write_bytes((frames / "00009.jpg").read_bytes())
    with pytest.raises(ShotError, match=r"bear_00000. are not those that were prepared: bear has"):
        PreparedClips.open(tmp_path / "out").clip("bear_00000")


def test_masks_that_were_painted_over_since_are_not_what_engines_are_told(davis, tmp_path):
    source = tmp_path / "davis"
    shutil.copytree(davis, source)
    prepare(source, tmp_path / "out", limit=1)
    masks = source / "Annotations/480p/bear"
    (masks / "00003.png").write_bytes((masks / "00000.png").read_bytes())
    with pytest.raises(ShotError, match=r"The masks of .bear_00000. are not those that were"):
        PreparedClips.open(tmp_path / "out").clip("bear_00000")


def test_prepared_clips_travel_to_another_process(davis, tmp_path):
    prepare(davis, tmp_path, limit=1)
    clips = PreparedClips.open(tmp_path)
    first = clips.clip("bear_00000")
    again = pickle.loads(pickle.dumps(clips)).clip("bear_00000")
    np.testing.assert_array_equal(again.tracks, first.tracks)


def test_preparing_again_makes_only_what_is_missing(davis, tmp_path):
    prepare(davis, tmp_path, limit=3)
    path = clip_path(tmp_path, "bear_00008")
    content = path.read_bytes()
    path.unlink()
    assert prepare(davis, tmp_path, limit=3).made == 1
    assert path.read_bytes() == content
    assert prepare(davis, tmp_path, limit=3).made == 0
    with pytest.raises(ShotError, match=r"prepared otherwise: points was .multi., now .single."):
        prepare(davis, tmp_path, points="single")


@pytest.mark.parametrize(("points", "count"), [("single", 1), ("circle", 1), ("multi", 4)])
def test_a_mask_has_as_many_points_as_asked_for_and_they_lie_in_it(points, count):
    ids = np.zeros((48, 64), np.uint8)
    ids[10:30, 10:26] = 7
    ids[14:26, 14:22] = 0  # a ring: its mean lies in the hole
    begin, instances = first_points(ids, points)
    own = np.floor(begin[instances == 7]).astype(int)
    assert len(own) == count
    assert all(ids[row, column] == 7 for column, row in own)
    rest = np.floor(begin[instances == 0]).astype(int)
    assert len(rest) >= 10
    assert all(ids[row, column] == 0 for column, row in rest)


def test_the_largest_circles_centre_is_dragged_as_drag_anything_does():
    ids = np.zeros((48, 64), np.uint8)
    ids[10:21, 20:31] = 1
    ids[14:17, 31:60] = 1  # a thin tail, which moves the mean and not the circle
    begin, _ = first_points(ids, "circle")
    np.testing.assert_allclose(begin[0], [25.5, 15.5])


@pytest.mark.parametrize(("side", "sentence"), [(0, "no thing is in"), (4, "are too small for a")])
def test_a_first_frame_that_gives_no_point_is_a_sentence(side, sentence):
    ids = np.zeros((48, 64), np.uint8)
    ids[:side, :side] = 1
    with pytest.raises(ShotError, match=sentence):
        first_points(ids, "multi")


def test_a_clip_without_a_thing_in_its_first_frame_is_listed(davis, tmp_path):
    broken = tmp_path / "davis"
    shutil.copytree(davis, broken)
    empty = tiny.indexed(np.zeros((tiny.HEIGHT, tiny.WIDTH), np.uint8))
    empty.save(broken / "Annotations/480p/bear/00000.png")
    report = prepare(broken, tmp_path / "out", limit=2)
    assert (report.clips, report.made) == (1, 1)
    assert "bear_00000: no thing is in its first frame" in report.problems[0]
    written = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert written == {"wanted": 2, "clips": 1, "left_out": list(report.problems)}
    (note,) = PreparedClips.open(tmp_path / "out").notes
    assert note.startswith("1 of 2 clips could be prepared, the first because bear_00000: no thing")
    with pytest.raises(ShotError, match="gives no clip of 99 frames"):
        prepare(broken, tmp_path / "long", frames=99)


@pytest.mark.parametrize("layout", ["vip_seg", "youtube_vos", "own_clips"])
def test_other_layouts_are_prepared_alike(layout, tmp_path):
    source = getattr(tiny, layout)(tmp_path / "data")
    report = prepare(source, tmp_path / "out", frames=4)
    assert report.clips >= 1
    clips = PreparedClips.open(tmp_path / "out")
    assert clips.clip(clips.names[0]).frames.shape == (4, 48, 64, 3)


def test_what_cannot_be_opened_is_a_sentence(davis, tmp_path):
    with pytest.raises(ShotError, match="holds no prepared clips"):
        PreparedClips.open(tmp_path)
    source = tmp_path / "davis"
    shutil.copytree(davis, source)
    out = tmp_path / "out"
    prepare(source, out, limit=1)
    clip_path(out, "bear_00000").write_bytes(b"no zip")
    with pytest.raises(ShotError, match=r"bear_00000\.npz cannot be read"):
        PreparedClips.open(out).clip("bear_00000")
    manifest = out / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(ShotError, match="is of version 9; this program reads 1"):
        PreparedClips.open(out)
    manifest.write_text(text)
    shutil.rmtree(source)
    with pytest.raises(ShotError, match="there is no such folder"):
        PreparedClips.open(out)


def test_a_table_is_made_of_a_dataset_by_two_commands(davis, tmp_path, capsys):
    for points in ("single", "multi"):
        arguments = ["--points", points, "--frames", "8", "--size", "64x48", "--limit", "2"]
        out = str(tmp_path / points)
        assert main(["evaluate", "prepare", str(davis), "-o", out, *arguments]) == 0
    assert "2 clips, 2 of them made now" in capsys.readouterr().out
    arguments = ["-o", str(tmp_path / "table"), "--depth-model", "offline", "--engine", "draft"]
    sets = [f"Single-Point={tmp_path / 'single'}", f"Multi-Points={tmp_path / 'multi'}"]
    for given in sets:
        arguments += ["--clips", given]
    assert main(["evaluate", "levitor-1", *arguments]) == 0
    table = capsys.readouterr().out
    rows = [line.split(" | ")[:3] for line in table.splitlines() if "measured" in line]
    assert rows[:2] == [["| Single-Point", "frozen", "2"], ["| Multi-Points", "frozen", "2"]]
    assert "Clips have 8 frames; the paper's have 16" in table
    assert main(["evaluate", "levitor-1", *arguments[:-4], "--clips", sets[0].replace("=", "+")])
    assert main(["evaluate", "prepare", str(davis), "-o", str(tmp_path / "x"), "--frames", "0"])
    assert "--frames 0 makes no clip" in capsys.readouterr().err
