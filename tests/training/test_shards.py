"""Tar files of samples, and the manifest beside them."""

import json
import tarfile

import numpy as np
import pytest

from backend.training.shards import (
    MANIFEST,
    Manifest,
    Shard,
    digest,
    read_manifest,
    read_shard,
    write_shard,
)
from protocol.errors import ShotError

SAMPLES = [
    ("0000000", {"json": {"video": "beär"}, "points.npy": np.arange(6, dtype=np.int16)}),
    ("0000001", {"json": {"video": "b"}, "00.jpg": b"\xff\xd8", "01.jpg": b"\xff\xd9"}),
]


def a_manifest(**changes):
    said = {
        "source": "/data",
        "format": "DAVIS",
        "options": {"length": 16},
        "depth_model": "exact",
        "clips_per_shard": 2,
        "total": 2,
        "shards": {"000000.tar": Shard(name="000000.tar", clips=2, sha256="ab", notes=("n",))},
        "problems": ("one is broken",),
    }
    return Manifest(**{**said, **changes})


def test_samples_come_back_as_they_were(tmp_path):
    write_shard(tmp_path / "000000.tar", SAMPLES)
    found = list(read_shard(tmp_path / "000000.tar"))
    assert [key for key, _ in found] == ["0000000", "0000001"]
    assert found[0][1]["json"] == {"video": "beär"}
    np.testing.assert_array_equal(found[0][1]["points.npy"], np.arange(6))
    assert found[1][1] == SAMPLES[1][1]


def test_the_same_samples_give_the_same_bytes_and_the_hash_is_the_files(tmp_path):
    one = write_shard(tmp_path / "one.tar", SAMPLES)
    other = write_shard(tmp_path / "other.tar", SAMPLES)
    assert one == other == digest(tmp_path / "one.tar")
    assert digest(tmp_path / "none.tar") == ""


def test_any_program_that_reads_tar_files_finds_the_samples(tmp_path):
    write_shard(tmp_path / "one.tar", SAMPLES)
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert tar.getnames()[:2] == ["0000000.json", "0000000.points.npy"]


def test_a_shard_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "one.tar"
    write_shard(path, SAMPLES)
    path.write_bytes(path.read_bytes()[:1100])
    with pytest.raises(ShotError, match="cannot be read to its end") as caught:
        list(read_shard(path))
    assert "levitor prepare again" in caught.value.fix


def test_a_manifest_comes_back_as_it_was(tmp_path):
    a_manifest().write(tmp_path)
    assert read_manifest(tmp_path) == a_manifest()
    assert read_manifest(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.update(version=9), "has version 9, this program reads 2"),
        (lambda one: one.pop("shards"), r"is no manifest \(KeyError"),
        (lambda one: one.update(extra=1), r"is no manifest \(TypeError"),
    ],
)
def test_a_manifest_of_another_version_or_that_is_none_is_refused(tmp_path, change, said):
    a_manifest().write(tmp_path)
    one = json.loads((tmp_path / MANIFEST).read_text())
    change(one)
    (tmp_path / MANIFEST).write_text(json.dumps(one))
    with pytest.raises(ShotError, match=said):
        read_manifest(tmp_path)


def test_differences_are_what_decides_the_samples():
    other = a_manifest(options={"length": 8, "step": 2}, shards={}, problems=())
    assert a_manifest().differences(other) == ["length: 16 is now 8", "step: None is now 2"]
    assert a_manifest().differences(a_manifest()) == []
