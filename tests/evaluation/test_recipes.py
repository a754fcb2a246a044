"""Every table from nothing to its files, on tiny sets; what stops it, and how it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from backend.evaluation.features import RandomProjection
from backend.evaluation.flow import DIS
from backend.evaluation.published import RECIPES, recipe_of
from backend.evaluation.recipes.controls import ClipDepth
from backend.evaluation.recipes.inputs import write_inputs
from backend.evaluation.recipes.measure import Measures
from backend.evaluation.recipes.plan import parsed_engines, parsed_videos
from backend.evaluation.recipes.rendering import CheckpointWeights
from backend.evaluation.recipes.report import content_of, page_of, write_report
from backend.evaluation.recipes.request import Request
from backend.evaluation.recipes.run import run_recipe
from backend.evaluation.recipes.trajectories import TrajectoryClips
from backend.evaluation.recipes.videos import encode_lossless
from backend.evaluation.trackers import LucasKanade
from backend.files.video import encode_video
from backend.resources import Resources
from protocol.errors import ShotError
from tests.evaluation.clip_sets import FRAMES, STEP, DrawnClips, Manifest, conductor

THREE = ("a/0", "a/1", "b/0")
WITH_DRAFT = {"levitor-1", "sgi2v-1", "conductor-1", "thesis-4.2"}
FLAT = ClipDepth("offline", Resources())


def measures(**changes):
    return Measures(
        tracker=LucasKanade(window=9, levels=2),
        flow=DIS(),
        depth=FLAT,
        inception=RandomProjection("frames"),
        i3d=RandomProjection("clips"),
        **changes,
    )


def no_weights(engine, checkpoint):
    from backend.resources import no_weights

    return no_weights


def request(name, out, *, engines=("draft",), videos=(), sets=None, clips=THREE, **changes):
    recipe = recipe_of(name)
    if sets is None:
        sets = {
            part: DrawnClips(names=clips, manifest=Manifest(points=points))
            for part, points in recipe.sets.items()
        }
    return Request(
        recipe=recipe,
        sets=sets,
        engines=parsed_engines(recipe, engines, no_weights),
        videos=parsed_videos(recipe, videos, list(sets)),
        out=out,
        depth="offline",
        **changes,
    )


def run(wanted, own=None):
    """As JSON has it; pictures are drawn where a test is about them."""
    own = own or measures()
    found = content_of(run_recipe(wanted, own), own, ["cpu"])
    return json.loads(json.dumps(found, allow_nan=False))


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


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES])
def test_every_table_is_made_on_a_tiny_set(name, tmp_path, baseline):
    recipe = recipe_of(name)
    methods = [key for key in recipe.rows if key[1] not in recipe.engines]
    setting, method = methods[0] if methods else ("", "another system")
    part = setting if setting in recipe.sets else next(iter(recipe.sets))
    sets = {part: DrawnClips(names=THREE[:2], manifest=Manifest(points=recipe.sets[part]))}
    videos = [f"{part}/{method}={baseline}".lstrip("/")]
    if name == "conductor-1":
        root = conductor(tmp_path)
        sets = {kind: TrajectoryClips(root, kind, FRAMES, 48, 64) for kind in recipe.sets}
        videos = []
    if name == "levitor-1":  # both of its settings
        sets = None
    engines = ("draft",) if name in WITH_DRAFT else ()
    wanted = request(
        name, tmp_path / "out", engines=engines, videos=videos, sets=sets, reference=baseline
    )
    found = run(wanted)
    rows = {(row["setting"], row["method"]): row for row in found["rows"]}
    assert {"frozen", *engines, *([method] if videos else [])} == {method for _, method in rows}
    for row in rows.values():
        assert row["left_out"] == {}
        for metric in (*recipe.metrics, *recipe.ours):
            assert row["values"][metric]["mean"] is not None, metric
            assert row["values"][metric]["N"] >= 1
    assert len(found["published"]) == len(recipe.rows)
    assert [one["replaced"] for one in found["published"]].count(True) == bool(videos and methods)


def test_everything_is_written_with_pictures(tmp_path, baseline):
    own = measures()
    videos = [f"Gaussian={baseline}"]
    wanted = request("sgi2v-2", tmp_path, engines=(), videos=videos, clips=THREE[:2])
    said = write_report(run_recipe(wanted, own), own, ["cpu"])
    assert said == []
    assert json.loads((tmp_path / "results.json").read_text())["recipe"] == "sgi2v-2"
    table = (tmp_path / "table.csv").read_text().splitlines()
    assert table[0] == "setting,method,N,FID,FVD,ObjMC,numbers"
    assert [line.split(",")[1] for line in table[1:]] == ["frozen", "Gaussian", "uniform"]
    assert table[1].endswith('"measured; ObjMC: proxy, not comparable"')
    assert table[3].endswith('"published, other protocol"')
    page = (tmp_path / "table.md").read_text()
    assert "Lucas-Kanade (proxy, not comparable)" in page
    sheets = [path.name for path in sorted((tmp_path / "sheets").iterdir())]
    assert sheets == ["Gaussian.png", "frozen.png"]
    for path in ("bars.png", "sheets/frozen.png"):
        with Image.open(tmp_path / path) as picture:
            assert min(picture.size) > 100


def test_a_frozen_video_is_off_by_the_true_displacement_and_the_draft_by_next_to_nothing(tmp_path):
    found = run(request("sgi2v-2", tmp_path))
    rows = {row["method"]: row["values"] for row in found["rows"]}
    displacement = STEP * np.arange(1, FRAMES).mean()
    assert rows["frozen"]["ObjMC"]["mean"] == pytest.approx(displacement, abs=1e-3)
    assert rows["draft"]["ObjMC"]["mean"] < 0.3
    assert rows["draft"]["SSIM"]["mean"] > rows["frozen"]["SSIM"]["mean"]
    assert rows["frozen"]["ObjMC"]["N"] == 3
    clips = found["rows"][0]["clips"][""]
    mean = np.mean([values["ObjMC"] for values in clips.values()])
    assert rows["frozen"]["ObjMC"]["mean"] == pytest.approx(mean)


def test_a_run_that_was_stopped_goes_on_to_the_same_results(tmp_path):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    wanted = run(request("levitor-S1", whole))

    class StoppedError(Exception):
        pass

    def stop(phase, done, total):
        if phase == "videos" and done == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        run_recipe(request("levitor-S1", torn), measures(), stop)
    videos = sorted((torn / "videos").rglob("*.mkv"))
    assert len(videos) == 4
    before = [path.stat().st_mtime_ns for path in videos]
    found = run(request("levitor-S1", torn))
    assert found == wanted
    assert [path.stat().st_mtime_ns for path in videos] == before


def test_a_clip_is_measured_once_and_again_when_its_video_or_the_tracker_changes(tmp_path):
    class Counting(LucasKanade):
        clips = 0

        def __call__(self, frames, points):
            self.clips += 1
            return super().__call__(frames, points)

    def tracked(**changes):
        tracker = Counting(window=9, levels=2)
        for name, value in changes.items():
            setattr(tracker, name, value)
        wanted = request("sgi2v-2", tmp_path, engines=(), clips=THREE[:2])
        return run(wanted, replace(measures(), tracker=tracker)), tracker.clips

    found, clips = tracked()
    assert clips == 2
    assert tracked() == (found, 0)
    path = next((tmp_path / "scores").iterdir())
    lines = path.read_text().splitlines(keepends=True)
    assert [json.loads(line)["clip"] for line in lines] == ["a/0", "a/1", "FID, FVD"]
    path.write_text(lines[0] + lines[1][:-9])  # killed while it was written
    assert tracked() == (found, 1)
    assert tracked() == (found, 0)
    assert tracked(name="another")[1] == 2
    video = tmp_path / "videos/frozen/all/a/0.mkv"
    video.write_bytes(encode_lossless(torch.zeros(FRAMES, 3, 48, 64), 8.0))
    assert tracked()[1] == 1


def test_what_was_made_otherwise_is_refused_with_what_differs(tmp_path):
    run(request("sgi2v-2", tmp_path, engines=()))
    with pytest.raises(ShotError, match="seed was 0, now 1"):
        run(request("sgi2v-2", tmp_path, engines=(), seed=1))
    with pytest.raises(ShotError, match='recipe was "sgi2v-2", now "sgi2v-1"'):
        run(request("sgi2v-1", tmp_path, engines=()))
    more = {"": DrawnClips(names=("a/0", "a/1"))}
    with pytest.raises(ShotError, match=r"clips\.count was 3, now 2"):
        run(request("sgi2v-2", tmp_path, engines=(), sets=more))
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace('"protocol": 1', '"protocol": 0'))
    with pytest.raises(ShotError, match="protocol was 0, now 1"):
        run(request("sgi2v-2", tmp_path, engines=()))


def test_a_second_set_and_more_rows_come_into_the_same_folder(tmp_path):
    def wanted(*parts, engines=()):
        sets = {part: DrawnClips(names=THREE[:1]) for part in parts}
        return request("thesis-4.2", tmp_path, engines=engines, sets=sets)

    one, two = "seen objects", "unseen objects"
    first = run(wanted(one))
    assert [row["setting"] for row in first["rows"]] == [one]
    assert "No clips were given for unseen objects." in first["notes"]
    both = run(wanted(one, two, engines=("draft",)))
    keys = [(row["setting"], row["method"]) for row in both["rows"]]
    assert keys == [(one, "frozen"), (two, "frozen"), (one, "draft"), (two, "draft")]
    assert both["rows"][0] == first["rows"][0]


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
    assert any("different numbers of clips" in note for note in found["notes"])

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


def test_a_reference_of_too_few_videos_costs_two_columns_and_not_the_row(tmp_path):
    root, few = conductor(tmp_path), tmp_path / "few"
    few.mkdir()
    (few / "a.mp4").write_bytes(encode_video(torch.zeros(2, 3, 48, 64), 8.0))
    sets = {"camera": TrajectoryClips(root, "camera", FRAMES, 48, 64)}
    wanted = request("conductor-1", tmp_path / "out", engines=(), sets=sets, reference=few)
    row = run(wanted)["rows"][0]
    assert row["values"]["CamMC"]["mean"] > 1
    assert "FVD" not in row["values"]
    assert any(
        "FVD: A distance takes at least 2 reference clips, got 1" in note for note in row["notes"]
    )


def test_another_system_is_given_first_frames_and_trajectories(tmp_path):
    wanted = request("thesis-4.2", tmp_path / "out", engines=())
    assert write_inputs(wanted, tmp_path / "inputs") == 6
    clip = DrawnClips().clip("b/0")
    place = tmp_path / "inputs" / "seen-objects" / "b"
    with Image.open(place / "0.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), clip.frames[0])
    found = json.loads((place / "0.json").read_text())
    assert (found["frames"], found["width"], found["height"], found["fps"]) == (8, 64, 48, 8)
    assert [track["instance"] for track in found["tracks"]] == clip.instances.tolist()
    np.testing.assert_allclose(found["tracks"][0]["xy"], clip.tracks[:, 0], atol=1e-3)
    assert found["tracks"][0]["visible"] == [True] * FRAMES


def test_clips_with_other_points_than_the_setting_is_about_are_refused(tmp_path):
    sets = {"Single-Point": DrawnClips(manifest=Manifest(points="multi"))}
    with pytest.raises(ShotError, match="multi points a mask, and the table is about single"):
        run(request("levitor-1", tmp_path, sets=sets))


def test_a_process_that_is_killed_in_the_middle_loses_one_video(tmp_path):
    """The same results come of it as of a run that nobody killed."""
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    wanted = run(request("sgi2v-2", whole, engines=("draft",), clips=THREE[:2]))
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from tests.evaluation import test_recipes as t\n"
        "torch.set_num_threads(1)\n"
        "kill = lambda phase, done, total: done == 3 and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"out = Path({str(torn)!r})\n"
        "t.run_recipe(t.request('sgi2v-2', out, clips=t.THREE[:2]), t.measures(), kill)\n"
    )
    child = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    videos = list((torn / "videos").rglob("*.mkv"))
    assert len(videos) == 3
    left = videos[0].with_name(".0.mkv.half.part")  # what a write leaves that was killed
    left.write_bytes(b"half")
    assert run(request("sgi2v-2", torn, engines=("draft",), clips=THREE[:2])) == wanted


def test_a_row_of_a_training_of_its_own_is_rendered_with_its_checkpoint(tmp_path):
    """Tiny networks in the real layout: the video is noise, and one of the checkpoint's."""
    from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER, make_tiny_weights

    make_tiny_weights(tmp_path / "weights")
    base, checkpoint = tmp_path / "weights" / BASE_FOLDER, tmp_path / "weights" / CONTROL_FOLDER
    recipe = recipe_of("levitor-2")
    method = "no depth, instance"
    row = replace(recipe.engines[method], options={"steps": 1, "width": 64, "height": 64})
    recipe = replace(recipe, engines={method: row})

    def weights_of(engine, place):
        return CheckpointWeights(name="levitor", path=place, others=lambda name: base)

    wanted = Request(
        recipe=recipe,
        sets={"Multi-Points": DrawnClips(names=("a/0",), manifest=Manifest(frames=2))},
        engines=parsed_engines(recipe, [f"{method}={checkpoint}"], weights_of),
        videos=[],
        out=tmp_path / "out",
        depth="offline",
    )
    frozen, made = run(wanted)["rows"]
    assert (made["made_by"]["told_depth"], made["made_by"]["told_instance"]) == (False, True)
    assert made["made_by"]["checkpoint"] == str(checkpoint)
    assert len(made["made_by"]["weights"]["levitor"]) == 64
    assert made["values"]["ObjMC"]["N"] == frozen["values"]["ObjMC"]["N"] == 1
    assert made["values"]["SSIM"]["mean"] < 0.5 < frozen["values"]["SSIM"]["mean"]
