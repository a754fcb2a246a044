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

from backend.evaluation.published import RECIPES, recipe_of
from backend.evaluation.recipes.inputs import write_inputs
from backend.evaluation.recipes.plan import parsed_engines
from backend.evaluation.recipes.rendering import CheckpointWeights
from backend.evaluation.recipes.report import write_report
from backend.evaluation.recipes.request import Request
from backend.evaluation.recipes.run import run_recipe
from backend.evaluation.recipes.trajectories import TrajectoryClips
from backend.evaluation.recipes.videos import encode_lossless
from backend.evaluation.trackers import LucasKanade
from protocol.errors import ShotError
from tests.evaluation.clip_sets import FRAMES, STEP, DrawnClips, Manifest, conductor
from tests.evaluation.recipe_runs import THREE, WITH_DRAFT, measures, request, run


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


def test_a_process_that_is_killed_in_the_middle_loses_one_video(tmp_path):
    """The same results come of it as of a run that nobody killed."""
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    wanted = run(request("sgi2v-2", whole, engines=("draft",), clips=THREE[:2]))
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from tests.evaluation import recipe_runs as t\n"
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

    def asked_for(*checkpoints):
        given = [f"{method}={one}" for one in checkpoints]
        return Request(
            recipe=recipe,
            sets={"Multi-Points": DrawnClips(names=("a/0",), manifest=Manifest(frames=2))},
            engines=parsed_engines(recipe, given, weights_of),
            videos=[],
            out=tmp_path / "out",
            depth="offline",
        )

    wanted = asked_for(checkpoint)
    frozen, made = run(wanted)["rows"]
    assert (made["made_by"]["told_depth"], made["made_by"]["told_instance"]) == (False, True)
    assert made["made_by"]["checkpoint"] == str(checkpoint)
    assert len(made["made_by"]["weights"]["levitor"]) == 64
    assert made["values"]["ObjMC"]["N"] == frozen["values"]["ObjMC"]["N"] == 1
    assert made["values"]["SSIM"]["mean"] < 0.5 < frozen["values"]["SSIM"]["mean"]

    # One more checkpoint, and the first one moved: what was made stays, under a longer name.
    (video,) = (
        path for path in (tmp_path / "out/videos").rglob("*.mkv") if "frozen" not in str(path)
    )
    written = video.stat().st_mtime_ns
    moved, other = tmp_path / "moved", tmp_path / "other"
    checkpoint.rename(moved)
    make_tiny_weights(tmp_path / "more", seed=1)
    (tmp_path / "more" / CONTROL_FOLDER).rename(other)
    _, again, new = run(asked_for(moved, other))["rows"]
    assert again["values"] == made["values"]
    assert video.stat().st_mtime_ns == written
    assert new["made_by"]["weights"]["levitor"] != made["made_by"]["weights"]["levitor"]
    assert new["values"] != made["values"]
