"""Examples from prepared shards and from datasets: in any order, without what is broken."""

from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from backend.datasets.clips import crop_to
from backend.datasets.recognise import open_dataset
from backend.perception import tiny as networks
from backend.resources import Resources
from backend.training import recipes
from backend.training.config import with_values
from backend.training.examples import ControlOptions, example_of
from backend.training.loader import Split, Unreadable, parts
from backend.training.order import SHOWN, held_back, shuffled
from backend.training.prepare import PrepareOptions, prepare
from backend.training.prepared_examples import DatasetExamples, PreparedExamples, examples_in
from backend.training.shards import Manifest, Shard
from protocol.errors import ShotError
from tests.datasets import tiny

SHOT = Path(__file__).parents[1] / "golden" / "shots" / "1.2" / "whole.shot"
CONTROL = ControlOptions(radius=4)
BASIC = {"length": 4, "step": 4, "height": 96, "width": 128, "depth_size": 140}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Eight clips of two videos in shards of three, with frames and maps; and their source."""
    root = tmp_path_factory.mktemp("prepared")
    source, out = tiny.davis(root / "davis"), root / "out"
    depth = networks.make_tiny_depth_anything(root / "depth")
    options = PrepareOptions(**BASIC, maps=True, frames=True)
    prepare(source, out, options, Resources(weights=lambda name: depth), clips_per_shard=3)
    return source, out


@pytest.fixture
def copy(prepared, tmp_path):
    """The same, to be damaged."""
    source, out = prepared
    shutil.copytree(source, tmp_path / "davis")
    shutil.copytree(out, tmp_path / "out")
    change(tmp_path / "out", source=str(tmp_path / "davis"))
    return tmp_path / "davis", tmp_path / "out"


def change(out, options=(), **values):
    """Write other values into a manifest."""
    path = out / "manifest.json"
    said = json.loads(path.read_text())
    said |= values
    said["options"] |= dict(options)
    path.write_text(json.dumps(said))


def refusal(work, *told):
    with pytest.raises(ShotError) as caught:
        work(*told)
    return str(caught.value)


def an_epoch(examples):
    return [examples[number] for number in range(examples.clips)]


def labels(example):
    return set(example.maps[:, 1].unique().tolist()) - {0.0}


def test_an_example_is_the_clip_that_was_prepared_with_its_points(prepared):
    source, out = prepared
    examples = PreparedExamples(out, CONTROL, (96, 128))
    assert examples.clips == 8
    dataset = open_dataset(source)
    clips = [
        crop_to(dataset.read(video, start, 4), 96, 128)
        for video in ("bear", "camel")
        for start in (0, 4, 8, 12)
    ]
    for number in range(3):
        found = examples[number]
        clip = clips[shuffled(number, 8, 0)]
        assert found.number == number
        assert found.frames.shape == found.maps.shape == (4, 3, 96, 128)
        assert found.frames.dtype == torch.float32
        frames = torch.from_numpy(clip.frames).movedim(-1, 1) / 255
        assert float((found.frames - frames).abs().mean()) < 0.01  # JPEG
        assert labels(found) == {1.0, 2.0}
        ids = torch.from_numpy(clip.ids)
        middles = found.maps[:, 0] > 245
        assert torch.equal(found.maps[:, 1][middles], ids[middles].float())


def test_frames_that_were_not_copied_are_read_from_the_source_and_cut_alike(copy):
    source, out = copy
    copied = PreparedExamples(out, CONTROL)
    change(out, {"frames": False})
    read = PreparedExamples(out, CONTROL)
    ours, theirs = copied[5], read[5]
    assert torch.equal(ours.maps, theirs.maps)
    assert float((ours.frames - theirs.frames).abs().mean()) < 0.01
    moved = source.with_name("elsewhere")
    source.rename(moved)
    assert "there is no such folder" in refusal(PreparedExamples, out, CONTROL)
    found = PreparedExamples(out, CONTROL, source=moved)[5]
    assert torch.equal(found.frames, theirs.frames)


def test_other_points_are_made_from_the_stored_masks(copy):
    """As they would be made from the dataset's, whose depth was rounded to 8 bits."""
    _, out = copy
    usual = PreparedExamples(out, ControlOptions(radius=4))[2]
    same = PreparedExamples(out, ControlOptions(radius=4, alpha=50.0001))[2]
    assert torch.equal(usual.maps[:, :2], same.maps[:, :2])
    assert float((usual.maps[:, 2] - same.maps[:, 2]).abs().max()) <= 1
    single = PreparedExamples(out, ControlOptions(radius=1, single_point=True))[2]
    assert (single.maps[0, 1] == 1).sum() <= 4
    change(out, {"maps": False})
    why = refusal(PreparedExamples, out, ControlOptions(single_point=True))
    assert "with --maps" in why
    flat = PreparedExamples(out, ControlOptions(depth=False))[2].maps
    assert (bool(flat[:, 1].any()), bool(flat[:, 2].any())) == (True, False)


def test_every_clip_comes_once_an_epoch_in_another_order_each_time():
    epochs = [[shuffled(8 * epoch + place, 8, 3) for place in range(8)] for epoch in range(50)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 45
    assert max(Counter(epoch[0] for epoch in epochs).values()) < 20
    assert [shuffled(n, 1000, 0) for n in range(9)] != [shuffled(n, 1000, 1) for n in range(9)]


def test_numbers_decide_whichever_process_asks_and_in_whatever_order(prepared):
    examples = PreparedExamples(prepared[1], CONTROL, seed=4)
    forward = [examples[number].frames for number in (3, 20)]
    fresh = pickle.loads(pickle.dumps(examples))
    assert all(torch.equal(fresh[n].frames, f) for n, f in zip((20, 3), forward[::-1], strict=True))
    assert len(pickle.dumps(examples)) < 2000
    with pytest.raises(IndexError):
        examples[-1]


def of_many_videos(out, count=25, **told):
    """A manifest of as many videos with two clips each; no sample is read."""
    options = asdict(PrepareOptions(frames=True, **told))
    videos = {f"video {number}": 2 for number in range(count)}
    shard = Shard(name="000000.tar", clips=2 * count, sha256="", videos=videos)
    Manifest(
        source="gone",
        format="DAVIS",
        options=options,
        depth_model="",
        clips_per_shard=64,
        total=2 * count,
        shards={shard.name: shard},
    ).write(out)
    return out


def test_whole_videos_are_held_back_and_only_the_numbers_of_samples_reach_them(tmp_path, caplog):
    caplog.set_level("INFO")
    out = of_many_videos(tmp_path)
    read = list[int]()
    for seed in (0, 1):
        examples = PreparedExamples(out, CONTROL, seed=seed)
        examples._sample = lambda clip: read.append(clip) or ("", {})
        assert examples.clips < 50
        for number in (*range(3 * examples.clips), *range(SHOWN, SHOWN + 16)):
            with pytest.raises(ShotError):
                examples[number]
        learned, shown = set(read[:-16]), set(read[-16:])
        read.clear()
        assert learned | shown == set(range(50))
        assert not {clip // 2 for clip in learned} & {clip // 2 for clip in shown}
        assert shown == {2 * int(v.split()[1]) + i for v in held_back(names(25)) for i in (0, 1)}
    assert "of 25 videos (2 clips) are held back" in caplog.text


def names(count):
    return [f"video {number}" for number in range(count)]


def test_about_a_fiftieth_of_the_videos_is_held_back_and_none_of_a_few(prepared, caplog):
    caplog.set_level("INFO")
    assert 60 < len(held_back(names(5000))) < 140
    assert held_back(names(5000)) < held_back(names(9000))
    assert [len(held_back(names(count))) for count in (19, 20)] == [0, 1]
    examples = PreparedExamples(prepared[1], CONTROL)
    assert examples.clips == 8
    assert examples[SHOWN].number == SHOWN
    assert "samples show clips of the training set" in caplog.text


def test_a_recipe_says_what_size_its_clips_must_have(prepared, tmp_path):
    of_many_videos(tmp_path, height=96, width=128)
    config = with_values(recipes.recipe("paper"), {"source.data": str(tmp_path)})
    why = refusal(recipes._examples, config)
    assert "128 x 96 pixels, the run wants 512 x 288" in why
    as_it_is = with_values(config, {"source.height": "0", "source.width": "0"})
    assert recipes._examples(as_it_is).clips == 48


def test_frames_of_a_clip_may_lie_apart_copied_or_read(tmp_path):
    source, depth = tiny.davis(tmp_path / "davis", videos=("bear",)), tmp_path / "depth"
    networks.make_tiny_depth_anything(depth)
    options = PrepareOptions(**{**BASIC, "every": 4, "step": 16, "frames": True})
    prepare(source, tmp_path / "out", options, Resources(weights=lambda name: depth))
    (copied,) = an_epoch(PreparedExamples(tmp_path / "out", CONTROL))
    change(tmp_path / "out", {"frames": False})
    (read,) = an_epoch(PreparedExamples(tmp_path / "out", CONTROL))
    whole = crop_to(open_dataset(source).read("bear"), 96, 128)
    wanted = torch.from_numpy(whole.frames[0:13:4]).movedim(-1, 1) / 255
    assert torch.equal(read.frames, wanted)
    assert float((copied.frames - wanted).abs().mean()) < 0.01


def test_an_object_that_leaves_has_no_points_and_the_clip_stays(tmp_path):
    source = tiny.davis(tmp_path / "davis", videos=("bear",))
    for index in (2, 3):
        path = source / "Annotations" / "480p" / "bear" / f"{index:05}.png"
        tiny.indexed(tiny.labels(index, objects=1)).save(path)
    depth = networks.make_tiny_depth_anything(tmp_path / "depth")
    options = PrepareOptions(**{**BASIC, "step": 18}, frames=True)
    prepare(source, tmp_path / "out", options, Resources(weights=lambda name: depth))
    (found,) = an_epoch(PreparedExamples(tmp_path / "out", CONTROL))
    shown = [set(frame.unique().tolist()) - {0.0} for frame in found.maps[:, 1]]
    assert shown == [{1.0, 2.0}, {1.0, 2.0}, {1.0}, {1.0}]


class TestWhatIsLeftOut:
    """One sentence; the loop counts it and goes on with the others."""

    def unread(self, examples, workers=0):
        split = Split(batch=4)
        found = [one for part in parts(examples, split, 0, 2, workers) for one in part[0]]
        assert len(found) == 8
        return [one.why for one in found if isinstance(one, Unreadable)]

    @pytest.mark.parametrize("size", [0, 100, 15000, -513])
    def test_the_clips_of_a_shard_that_is_cut_short(self, copy, size):
        path = copy[1] / "000001.tar"
        path.write_bytes(path.read_bytes()[:size])
        why = self.unread(PreparedExamples(copy[1], CONTROL))
        assert len(why) == 3
        assert all("000001.tar cannot be read to its end" in one for one in why)

    def test_the_clips_of_a_shard_that_is_missing(self, copy):
        (copy[1] / "000002.tar").unlink()
        assert len(self.unread(PreparedExamples(copy[1], CONTROL))) == 2

    def test_the_clips_of_a_shard_with_another_number_of_them(self, copy):
        shutil.copy(copy[1] / "000002.tar", copy[1] / "000000.tar")
        why = self.unread(PreparedExamples(copy[1], CONTROL))
        assert len(why) == 3
        assert "holds 2 clips, its manifest says 3" in why[0]

    def test_a_clip_with_a_frame_that_is_no_picture(self, copy):
        path = copy[1] / "000000.tar"
        data = bytearray(path.read_bytes())
        at = data.index(b"\xff\xd8\xff")
        data[at : at + 400] = bytes(400)
        path.write_bytes(data)
        (why,) = self.unread(PreparedExamples(copy[1], CONTROL))
        assert "a frame in" in why
        assert "cannot be read" in why

    def test_a_clip_whose_points_are_no_numbers(self, copy):
        path = copy[1] / "000000.tar"
        data = path.read_bytes()
        path.write_bytes(data.replace(b"'descr': '<i2'", b"'descr': '<i9'", 1))
        assert len(self.unread(PreparedExamples(copy[1], CONTROL))) == 1

    def test_a_clip_whose_video_is_gone_or_broken(self, copy):
        source, out = copy
        change(out, {"frames": False})
        shutil.rmtree(source / "Annotations" / "480p" / "bear")
        (source / "JPEGImages" / "480p" / "camel" / "00013.jpg").write_bytes(b"")
        why = self.unread(PreparedExamples(out, CONTROL))
        assert len(why) == 5
        assert sum("bear" in one for one in why) == 4
        assert sum("00013.jpg" in one for one in why) == 1

    def test_a_clip_with_fewer_masks_than_frames(self, copy):
        source, out = copy
        change(out, {"frames": False})
        for path in sorted((source / "Annotations" / "480p" / "bear").iterdir())[-6:]:
            path.unlink()
        why = self.unread(PreparedExamples(out, CONTROL))
        assert len(why) == 1
        assert "frames 12 to 15 were asked for" in why[0]


class TestRefusals:
    """What no example could be read from is said before the first step."""

    def test_a_folder_without_a_manifest(self, tmp_path):
        assert "holds no prepared clips" in refusal(PreparedExamples, tmp_path, CONTROL)

    def test_a_manifest_of_another_version(self, copy):
        change(copy[1], version=1)
        assert "has version 1, this program reads 2" in refusal(PreparedExamples, copy[1], CONTROL)

    def test_a_manifest_that_is_none(self, copy):
        (copy[1] / "manifest.json").write_text('{"version": 1')
        assert "is no manifest" in refusal(PreparedExamples, copy[1], CONTROL)

    def test_options_that_this_program_does_not_know(self, copy):
        change(copy[1], {"colour": "red"})
        assert "colour" in refusal(PreparedExamples, copy[1], CONTROL)

    def test_clips_of_another_size(self, prepared):
        why = refusal(PreparedExamples, prepared[1], CONTROL, (288, 512))
        assert "128 x 96 pixels, the run wants 512 x 288" in why

    def test_a_folder_in_which_no_clip_could_be_prepared(self, copy):
        change(copy[1], shards={})
        assert "holds no clip" in refusal(PreparedExamples, copy[1], CONTROL)


def test_our_own_shots_are_examples_without_preparing(tmp_path):
    (tmp_path / "shots").mkdir()
    shutil.copy(SHOT, tmp_path / "shots" / "one.shot")
    total = open_dataset(tmp_path / "shots").num_frames("one.shot")
    options = PrepareOptions(length=total, step=total, height=64, width=64)
    examples = DatasetExamples(tmp_path / "shots", CONTROL, options)
    (found,) = an_epoch(examples)
    clip = crop_to(open_dataset(tmp_path / "shots").read("one.shot"), 64, 64)
    assert torch.equal(found.maps, example_of(clip, CONTROL).maps)
    assert found.frames.shape == (total, 3, 64, 64)
    assert labels(found)
    again = pickle.loads(pickle.dumps(examples))[1]
    assert torch.equal(again.frames, found.frames)


def test_a_folder_says_itself_whether_it_is_of_prepared_clips_or_of_shots(prepared, tmp_path):
    assert isinstance(examples_in(prepared[1], CONTROL), PreparedExamples)
    assert "holds no prepared clips" in refusal(examples_in, tmp_path, CONTROL)
    (tmp_path / "shots").mkdir()
    shutil.copy(SHOT, tmp_path / "shots" / "one.shot")
    total = open_dataset(tmp_path / "shots").num_frames("one.shot")
    assert total < 16
    assert "gives no clip of 16 frames" in refusal(examples_in, tmp_path / "shots", CONTROL)


def test_a_dataset_without_depth_is_to_be_prepared(tmp_path):
    source = tiny.davis(tmp_path / "davis", videos=("bear",))
    examples = DatasetExamples(source, CONTROL, PrepareOptions(**BASIC))
    assert "levitor prepare" in refusal(examples.__getitem__, 0)
    with pytest.raises(ShotError, match="gives no clip of 50 frames"):
        DatasetExamples(source, CONTROL, PrepareOptions(**{**BASIC, "length": 50}))
