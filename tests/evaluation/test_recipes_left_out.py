"""What a table cannot measure, or must not mix: said, and the rest is made."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from backend.evaluation.recipes.report import page_of
from backend.evaluation.recipes.run import run_recipe
from backend.evaluation.recipes.trajectories import TrajectoryClips
from backend.evaluation.trackers import LucasKanade
from backend.files.video import encode_video
from protocol.errors import ShotError
from tests.evaluation.clip_sets import FRAMES, DrawnClips, Manifest, conductor
from tests.evaluation.recipe_runs import THREE, measures, request, run


def test_a_row_without_its_weights_says_where_they_come_from_and_the_others_are_made(tmp_path):
    sets = {"": DrawnClips(manifest=Manifest(points="multi"))}
    found = run(request("levitor-S1", tmp_path, engines=("levitor",), sets=sets))
    rows = {row["method"]: row for row in found["rows"]}
    assert "levitor weights fetch svd-xt" in rows["LeviTor"]["notes"][0]
    assert rows["LeviTor"]["values"] == {}
    assert rows["frozen"]["values"]["ObjMC"]["N"] == 3
    assert [one["values"] for one in found["published"]][1]["ObjMC"] == 25.97


def test_columns_without_a_network_are_empty_and_say_what_is_missing(tmp_path):
    own = replace(
        measures(), inception=None, i3d=None, missing={"FID": "FID needs X.", "FVD": "FVD needs Y."}
    )
    found = run(request("sgi2v-2", tmp_path, engines=()), own)
    assert found["notes"][-2:] == ["FID: FID needs X.", "FVD: FVD needs Y."]
    assert set(found["rows"][0]["values"]) >= {"ObjMC"}
    assert "FID" not in found["rows"][0]["values"]


class FewPoints(DrawnClips):
    """Five points on the square: too few to tell how far it has turned."""

    def clip(self, name):
        clip = super().clip(name)
        cut = {"tracks": clip.tracks[:, :5], "visible": clip.visible[:, :5]}
        return replace(clip, **cut, instances=clip.instances[:5])


def test_what_could_not_be_measured_in_every_clip_is_said(tmp_path):
    few = FewPoints(names=THREE[:1])
    wanted = request("thesis-4.3", tmp_path, engines=(), sets={"seen objects": few})
    own = measures()
    page = page_of(run_recipe(wanted, own), own)
    said = "yaw could be measured in 0 of 1 clips: it needs 6 visible points of a thing."
    assert said in page
    assert "box centre could be measured" not in page


def test_videos_that_do_not_go_with_their_clips_are_left_out(tmp_path, baseline):
    folder = tmp_path / "short"
    (folder / "a").mkdir(parents=True)
    (folder / "a/0.mp4").write_bytes((baseline / "a/0.mp4").read_bytes())
    wanted = request("sgi2v-2", tmp_path / "out", engines=(), videos=[f"Gaussian={folder}"])
    found = run(wanted)
    row = found["rows"][1]
    assert set(row["left_out"]) == {"a/1", "b/0"}
    assert row["values"]["ObjMC"]["N"] == 1
    assert any("Rows are of different clips" in note for note in found["notes"])

    (folder / "a/0.mp4").write_bytes(encode_video(torch.zeros(3, 3, 48, 64), 8.0))
    row = run(wanted)["rows"][1]
    assert row["values"] == {}
    assert "has 3 frames of 64 x 48, the clip 'a/0' has 8" in row["left_out"]["a/0"]
    assert "has 3 frames of 64 x 48, the clip 'a/0' has 8" in row["notes"][0]

    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "x.mp4").write_bytes((baseline / "a/0.mp4").read_bytes())
    wanted = request("sgi2v-2", tmp_path / "out", engines=(), videos=[f"uniform={strange}"])
    row = run(wanted)["rows"][1]
    assert "has no video that goes with a clip" in row["notes"][0]


def test_rows_of_as_many_but_other_clips_are_said(tmp_path, baseline):
    """Everything has two clips: N alone would not tell."""
    folders = []
    for method, names in (("Gaussian", THREE[:2]), ("uniform", THREE[1:])):
        for name in names:
            path = tmp_path / method / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((baseline / f"{name}.mp4").read_bytes())
        folders.append(f"{method}={tmp_path / method}")
    wanted = request("sgi2v-2", tmp_path / "out", engines=(), videos=folders)
    assert any("Rows are of different clips" in note for note in run(wanted)["notes"])


def test_a_folder_without_videos_costs_its_row_and_keeps_what_was_published(tmp_path):
    (tmp_path / "empty").mkdir()
    given = [f"Gaussian={tmp_path / 'empty'}"]
    found = run(request("sgi2v-2", tmp_path / "out", engines=(), videos=given))
    frozen, gaussian = found["rows"]
    assert frozen["values"]["ObjMC"]["N"] == 3
    assert gaussian["values"] == {}
    assert "has no videos" in gaussian["notes"][0]
    assert not any(row["replaced"] for row in found["published"])


def test_published_numbers_stay_until_all_of_them_are_measured(tmp_path, baseline):
    wanted = request("sgi2v-2", tmp_path, engines=(), videos=[f"Gaussian={baseline}"])
    missing = {"FID": "FID needs X.", "FVD": "FVD needs Y."}
    own = replace(measures(), inception=None, i3d=None, missing=missing)
    for using, replaced in ((own, False), (measures(), True)):
        found = run(wanted, using)
        (row,) = (one for one in found["published"] if one["method"] == "Gaussian")
        assert row["replaced"] == replaced


def test_a_set_that_was_edited_is_another_set(tmp_path):
    run(request("sgi2v-2", tmp_path, engines=()))
    with pytest.raises(ShotError, match=r"clips\.clips_sha256 was"):
        run(request("sgi2v-2", tmp_path, engines=(), sets={"": DrawnClips(version="edited")}))


def test_points_that_are_no_circles_are_not_taken_for_regions(tmp_path):
    sets = {"": DrawnClips(manifest=Manifest(points="multi"))}
    with pytest.raises(ShotError, match="Prepare them with --points circle"):
        run(request("sgi2v-1", tmp_path, sets=sets))


def test_a_track_that_is_no_number_costs_its_clip(tmp_path):
    class Losing(LucasKanade):
        def __call__(self, frames, points):
            found = super().__call__(frames, points)
            return replace(found, xy=found.xy * float("nan"))

    tracker = Losing(window=9, levels=2)
    found = run(request("sgi2v-2", tmp_path, engines=()), replace(measures(), tracker=tracker))
    assert "is not a number" in found["rows"][0]["left_out"]["a/0"]
    assert found["rows"][0]["values"] == {}


def test_a_reference_of_too_few_videos_costs_two_columns_and_not_the_row(tmp_path):
    root, few = conductor(tmp_path), tmp_path / "few"
    few.mkdir()
    (few / "a.mp4").write_bytes(encode_video(torch.zeros(2, 3, 48, 64), 8.0))
    sets = {"camera": TrajectoryClips(root, "camera", FRAMES, 48, 64)}
    wanted = request("conductor-1", tmp_path / "out", engines=(), sets=sets, reference=few)
    found = run(wanted)
    assert found["reference"]["folder"] == str(few)
    assert found["reference"]["videos"] == 1
    row = found["rows"][0]
    assert row["values"]["CamMC"]["mean"] > 1
    assert "FVD" not in row["values"]
    assert any(
        "FVD: A distance takes at least 2 reference clips, got 1" in note for note in row["notes"]
    )


def test_clips_with_other_points_than_the_setting_is_about_are_refused(tmp_path):
    sets = {"Single-Point": DrawnClips(manifest=Manifest(points="multi"))}
    with pytest.raises(ShotError, match="multi points a mask, and the table is about single"):
        run(request("levitor-1", tmp_path, sets=sets))
