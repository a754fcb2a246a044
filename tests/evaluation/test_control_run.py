"""`levitor evaluate control` on a run of a few steps: rows, files and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backend.cli.main import main
from backend.compose.filters import dilate
from backend.datasets.synthetic import SceneOptions, SyntheticClips
from backend.evaluation.control_run import SEED, TrainedControl, load_run, measure
from backend.evaluation.matching import shifted
from backend.resources import Resources
from backend.training import recipes, trainer
from backend.training.config import AverageOptions, RunningOptions
from backend.training.examples import ControlOptions
from backend.training.photos import HELD_OUT, load_photos
from backend.training.run_folder import Place
from backend.training.tiny_model import TinyOptions
from protocol.errors import ShotError

POINTS = ControlOptions(radius=2)
SCENES = SceneOptions(height=16, width=16, frames=3, objects=(1, 2))


def trained(out, control=POINTS, scene=SCENES):
    run = replace(
        recipes.tiny_cpu(),
        model=TinyOptions(width=16, half=False),
        source=recipes.SyntheticSource(scene=scene, control=control),
        steps=1,
        batch=2,
        precision="fp32",
        average=AverageOptions(kind="power"),
        running=RunningOptions(),
    )
    resources = Resources(device="cpu")
    trainer.train(run, Place(out=out, cpu=True), lambda device: recipes.build(run, resources))
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    trained(folder / "joint")
    trained(folder / "no-depth", control=ControlOptions(radius=2, depth=False))
    return folder


def test_rows_and_files_are_written(runs, tmp_path, capsys):
    file = tmp_path / "new" / "control.json"
    arguments = ["evaluate", "control", str(runs / "joint"), "--clips", "4", "--steps", "2"]
    arguments += ["--compare", f"no-depth={runs / 'no-depth'}", "--device", "cpu"]
    assert main([*arguments, "--json", str(file)]) == 0
    values = json.loads(file.read_text())
    assert set(values["rows"]) == {"trained", "zeroed", "shuffled", "frozen", "carried", "no-depth"}
    for row in values["rows"].values():
        assert row["clips"] == 4
        assert {"centroid_error_px", "change_iou", "occlusion_accuracy"} <= row.keys()
    assert values["rows"]["frozen"]["change_iou"] == 0
    assert values["runs"]["trained"]["steps"] == 1
    assert values["seed"] == 0
    names = {path.name for path in file.parent.iterdir()}
    assert {"control.json", "control.md", "control-sheet.png"} <= names
    assert "| no-depth |" in (tmp_path / "new" / "control.md").read_text()
    first = file.read_text()
    assert main([*arguments, "--json", str(file)]) == 0
    assert file.read_text() == first  # the same seed, the same numbers
    assert "| frozen |" in capsys.readouterr().out


def test_the_newest_checkpoint_is_loaded_with_its_options(runs):
    run = load_run(runs / "no-depth")
    assert run.folder == runs / "no-depth" / "checkpoint-1"
    assert run.scene == SCENES
    assert run.control == ControlOptions(radius=2, depth=False)
    assert load_run(run.folder).weights == run.weights


def test_folders_without_a_run_and_runs_of_other_clips_are_refused(runs, tmp_path, capsys):
    with pytest.raises(ShotError, match="no complete checkpoint"):
        load_run(tmp_path)
    trained(tmp_path / "other", scene=replace(SCENES, camera=0.0))
    arguments = ["evaluate", "control", str(runs / "joint"), "--device", "cpu", "--clips"]
    assert main([*arguments, "4", "--compare", f"other={tmp_path / 'other'}"]) == 1
    assert "learned from other clips" in capsys.readouterr().err
    assert main([*arguments, "1"]) == 1
    assert "cannot be shuffled" in capsys.readouterr().err
    assert main([*arguments, "4", "--compare", "frozen=somewhere"]) == 1
    assert "a name of its own" in capsys.readouterr().err


class FollowsTheMaps:
    """Cuts the thing out of the first frame and pastes it where the maps' points go from there."""

    def networks(self):
        return {}

    def sample(self, batch, generators, steps):
        made = batch.frames[:, :1].expand_as(batch.frames).clone()
        for clip, maps in zip(made, batch.maps, strict=True):
            first, told = clip[0].clone(), [middle(one[0]) for one in maps]
            thing = dilate(maps[0, 0] > 0, 2)
            behind = first[:, ~thing].mean(1)[:, None, None]
            for frame, place in enumerate(told):
                if place is None or told[0] is None:
                    continue
                off = (round(place[0] - told[0][0]), round(place[1] - told[0][1]))
                there = shifted(thing[None].float(), off)[0] > 0.5
                empty = torch.where(thing, behind, first)
                clip[frame] = torch.where(there, shifted(first, off), empty)
        return made


def middle(heat):
    """(x, y) of a map's heat; None without any."""
    if not bool(heat.any()):
        return None
    y, x = torch.meshgrid(*(torch.arange(side) for side in heat.shape), indexing="ij")
    return float((x * heat).sum() / heat.sum()), float((y * heat).sum() / heat.sum())


def test_rows_differ_by_what_the_model_is_told():
    scene = SceneOptions(height=32, width=32, frames=4, objects=(1, 1), camera=0.0)
    run = TrainedControl(
        model=FollowsTheMaps(),
        scene=scene,
        control=POINTS,
        folder=Path("run"),
        values={},
        steps=1,
        weights="",
    )
    clips = 8
    values = measure(run, {}, clips, 0, 1, torch.device("cpu")).values
    errors = {name: row["centroid_error_px"] for name, row in values["rows"].items()}
    assert errors["trained"] < 0.5 * errors["frozen"]
    assert errors["trained"] < 0.5 * errors["shuffled"]
    assert errors["zeroed"] == errors["frozen"]  # nothing is followed
    assert values["rows"]["zeroed"]["change_iou"] == 0
    assert values["rows"]["shuffled"]["change_iou"] > 0
    moved = []
    source = SyntheticClips(scene, load_photos(HELD_OUT), SEED)
    for number in range(clips):
        tracks = source[number].scene.tracks()
        own = tracks.instance > 0
        shift = tracks.xy[1:, own] - tracks.xy[:1, own]
        moved.append(float(shift.norm(dim=-1).mean()))
    assert errors["frozen"] == pytest.approx(sum(moved) / clips, rel=0.15)
