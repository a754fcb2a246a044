"""Clips prepared once: by any number of workers, again after a stop, around what is broken."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.cli.main import main
from backend.contracts import MaskSequence
from backend.control.levitor import points_from_masks
from backend.datasets.clips import crop_to
from backend.datasets.recognise import open_dataset
from backend.perception import tiny as networks
from backend.training.shards import read_manifest, read_shard
from tests.datasets import tiny

ROOT = Path(__file__).parents[2]
SHOT = ROOT / "tests" / "golden" / "shots" / "1.2" / "whole.shot"
SIZE = ("--size", "128x96", "--frames", "4", "--depth-size", "140")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return networks.make_tiny_depth_anything(tmp_path_factory.mktemp("weights") / "depth")


@pytest.fixture
def prepare(tmp_path, weights, capsys):
    """``levitor prepare`` of a dataset into a folder; its status, its lines and its samples."""

    def run(source, out="out", *more):
        named = ("--weights", f"depth-anything-v2-small={weights}", "--device", "cpu")
        status = main(["prepare", str(source), "-o", str(tmp_path / out), *SIZE, *named, *more])
        said = capsys.readouterr()
        return status, (said.out + said.err).splitlines(), samples(tmp_path / out)

    return run


def samples(out):
    return [one for path in sorted(out.glob("*.tar")) for one in read_shard(path)]


def files(out):
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.tar"))}


def test_every_clip_gets_its_points_and_says_where_it_is_from(prepare, tmp_path):
    source = tiny.davis(tmp_path / "davis")
    status, said, found = prepare(source, "out", "--maps", "--copy-frames")
    assert status == 0
    assert said[0].startswith(f"{tmp_path / 'out'}: 8 of 8 clips of DAVIS in 1 shard, depth: ")
    assert [(one["json"]["video"], one["json"]["start"]) for _, one in found] == [
        (video, start) for video in ("bear", "camel") for start in (0, 4, 8, 12)
    ]
    one = found[1][1]
    assert one["json"]["names"] == ["1", "2"]
    assert one["ids.npy"].shape == one["disparity.npy"].shape == (4, 96, 128)
    assert {"00.jpg", "03.jpg"} < set(one)
    clip = crop_to(open_dataset(source).read("bear", 4, 4), 96, 128)
    np.testing.assert_array_equal(one["ids.npy"], clip.ids)


def test_points_are_the_papers_for_training_no_object_has_the_artists_three(prepare, tmp_path):
    source = tiny.davis(tmp_path / "davis", videos=("bear",))
    _, _, found = prepare(source, "out", "--maps")
    one = found[0][1]
    z = 1 / (1 / 20 + one["disparity.npy"] / 255 * (1 / 2 - 1 / 20))
    masks = MaskSequence(
        instance=torch.from_numpy(one["ids.npy"].astype(np.int32)),
        depth=torch.from_numpy(z.astype(np.float32)),
    )
    wanted = points_from_masks(masks, 0, 2.0, 20.0)
    rows = one["points.npy"]
    for frame, points in enumerate(wanted):
        mine = rows[rows[:, 0] == frame][:, 1:]
        np.testing.assert_array_equal(mine[:, :3], np.array(points)[:, :3])
        assert np.abs(mine[:, 3] - np.array(points)[:, 3]).max() <= 1  # disparity was rounded
    artist = points_from_masks(masks, 2, 2.0, 20.0)
    assert len(artist[0]) > len(wanted[0])


@pytest.fixture
def two_threads():
    """Which sum in another order than the one that a worker has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("two_threads")
def test_any_number_of_workers_gives_the_same_files(prepare, tmp_path):
    source = tiny.davis(tmp_path / "davis", videos=("bear",))
    prepare(source, "one", "--clips-per-shard", "2")
    prepare(source, "two", "--clips-per-shard", "2", "--workers", "2")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert len(files(tmp_path / "one")) == 2


def test_what_is_there_stays_and_what_is_damaged_or_missing_is_made_again(prepare, tmp_path):
    source, out = tiny.davis(tmp_path / "davis"), tmp_path / "out"
    prepare(source, "out", "--clips-per-shard", "2")
    before = files(out)
    (out / "000001.tar").unlink()
    data = before["000002.tar"]
    (out / "000002.tar").write_bytes(data[: len(data) // 2])
    kept = (out / "000000.tar").stat().st_mtime_ns
    status, _, _ = prepare(source, "out", "--clips-per-shard", "2")
    assert status == 0
    assert files(out) == before
    assert (out / "000000.tar").stat().st_mtime_ns == kept


def test_killed_in_the_middle_it_goes_on_and_ends_as_if_it_had_not_been(prepare, tmp_path):
    """After the manifest, the first shard and the manifest, before the second shard's rename."""
    renames = 3
    source = tmp_path / "shots"
    source.mkdir()
    for name in ("one.shot", "two.shot"):
        shutil.copy(SHOT, source / name)
    options = ("--frames", "3", "--size", "64x64", "--clips-per-shard", "1")
    prepare(source, "whole", *options)
    out = tmp_path / "out"
    code = (
        "import os, signal, sys\n"
        "from backend.cli.main import main\n"
        "from backend.files import atomic\n"
        "left, move = [int(sys.argv[1])], atomic.move_into_place\n"
        "def move_or_be_killed(*told, **named):\n"
        "    if not left[0]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1\n"
        "    move(*told, **named)\n"
        "atomic.move_into_place = move_or_be_killed\n"
        "main(sys.argv[2:])\n"
    )
    command = ["prepare", str(source), "-o", str(out), *SIZE, *options, "--device", "cpu"]
    killed = subprocess.run(
        [sys.executable, "-c", code, str(renames), *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(files(out)) == 1
    prepare(source, "out", *options)
    assert len(files(out)) == 2
    assert files(out) == files(tmp_path / "whole")
    assert read_manifest(out) == read_manifest(tmp_path / "whole")


def test_broken_clips_are_listed_and_the_others_are_prepared(prepare, tmp_path):
    source = tiny.davis(tmp_path / "davis")
    folder = source / "Annotations" / "480p"
    (folder / "bear" / "00005.png").write_bytes(b"not a picture")
    for path in (folder / "camel").glob("*.png"):
        tiny.indexed(np.zeros((tiny.HEIGHT, tiny.WIDTH), np.uint8)).save(path)
    status, said, found = prepare(source)
    assert status == 0
    assert [one["json"]["start"] for _, one in found] == [0, 8, 12]
    assert said[0].split(": ")[1].startswith("3 of 8 clips")
    left_out = [line for line in said if line.startswith("left out: ")]
    assert len(left_out) == 5
    assert "bear, frame 4: " in left_out[0]
    assert "00005.png: the picture cannot be read" in left_out[0]
    assert "camel, frame 0: no object is large enough in it." in left_out[1]


def test_clips_that_failed_are_tried_again_the_next_time(prepare, tmp_path):
    source, out = tiny.davis(tmp_path / "davis"), tmp_path / "out"
    path = source / "Annotations" / "480p" / "bear" / "00005.png"
    whole = path.read_bytes()
    path.write_bytes(b"not a picture")
    prepare(source, "out", "--clips-per-shard", "2")
    kept = (out / "000002.tar").stat().st_mtime_ns
    path.write_bytes(whole)
    status, said, found = prepare(source, "out", "--clips-per-shard", "2")
    assert (status, len(found)) == (0, 8)
    assert not any(line.startswith("left out") for line in said)
    assert (out / "000002.tar").stat().st_mtime_ns == kept


def test_exact_depth_needs_no_network(tmp_path, capsys):
    (tmp_path / "shots").mkdir()
    shutil.copy(SHOT, tmp_path / "shots" / "one.shot")
    frames = str(open_dataset(tmp_path / "shots").num_frames("one.shot"))
    command = ["prepare", str(tmp_path / "shots"), "-o", str(tmp_path / "out"), "--frames", frames]
    assert main([*command, "--size", "64x64", "--device", "cpu"]) == 0
    assert "1 of 1 clip of LeviTor shots in 1 shard, depth: the dataset's own." in (
        capsys.readouterr().out
    )


class TestRefusals:
    """One sentence before any work is done."""

    def test_no_depth_network(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        source = tiny.davis(tmp_path / "davis")
        assert main(["prepare", str(source), "-o", str(tmp_path / "out"), *SIZE]) == 1
        assert "no depth network is here. Run `levitor weights fetch" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_other_options_in_the_same_folder(self, prepare, tmp_path):
        source = tiny.davis(tmp_path / "davis")
        prepare(source)
        before = files(tmp_path / "out")
        status, said, _ = prepare(source, "out", "--maps")
        assert status == 1
        assert "was prepared differently: maps: False is now True." in said[0]
        assert files(tmp_path / "out") == before

    def test_videos_that_are_too_short(self, prepare, tmp_path):
        source = tiny.davis(tmp_path / "davis")
        status, said, _ = prepare(source, "out", "--frames", "50")
        assert status == 1
        assert "gives no clip of 50 frames: bear: it has 18 annotated frames" in said[0]

    def test_a_size_that_is_none(self, prepare, tmp_path):
        source = tiny.davis(tmp_path / "davis")
        for size in ("100x100", "big", "32x32", "x"):
            status, said, _ = prepare(source, "out", "--size", size)
            assert (status, "is no size of a clip" in said[0]) == (1, True)

    @pytest.mark.parametrize(
        "option", ["--frames", "--every", "--step", "--workers", "--clips-per-shard"]
    )
    def test_a_number_below_one(self, prepare, tmp_path, option):
        status, said, _ = prepare(tiny.davis(tmp_path / "davis"), "out", option, "0")
        assert (status, said) == (1, [f"levitor: {option} is 0. Give a number from 1 on."])

    def test_a_manifest_of_another_version(self, prepare, tmp_path):
        source = tiny.davis(tmp_path / "davis")
        prepare(source)
        path = tmp_path / "out" / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
        status, said, _ = prepare(source)
        assert (status, "has version 1, this program reads 2" in said[0]) == (1, True)
