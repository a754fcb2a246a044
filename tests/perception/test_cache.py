"""Results on disk: found again, bounded, and safe when several processes write."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest

from backend.perception.cache import ResultCache

PHOTO = "ab" * 32


def keep(cache, number, size=1000, **options):
    """A result of about ``size`` bytes that does not compress."""
    values = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
    cache.put(PHOTO, "depth", {"size": number, **options}, {"values": values})
    return values


def test_what_was_kept_is_found_with_its_type_and_shape(tmp_path):
    cache = ResultCache(tmp_path / "new" / "folder")
    depth = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    assert cache.get(PHOTO, "depth", {"size": 518}) is None
    cache.put(PHOTO, "depth", {"size": 518}, {"depth": depth, "ids": np.arange(3, dtype=np.int32)})
    found = ResultCache(tmp_path / "new" / "folder").get(PHOTO, "depth", {"size": 518})
    assert found is not None
    assert found.keys() == {"depth", "ids"}
    assert found["depth"].dtype == np.float32
    assert (found["depth"] == depth).all()


def test_another_photo_model_or_option_is_another_question(tmp_path):
    cache = ResultCache(tmp_path)
    keep(cache, 1, edges=True)
    assert cache.get(PHOTO, "depth", {"size": 1, "edges": True}) is not None
    assert cache.get(PHOTO, "depth", {"edges": True, "size": 1}) is not None
    assert cache.get(PHOTO, "depth", {"size": 1, "edges": False}) is None
    assert cache.get(PHOTO, "other", {"size": 1, "edges": True}) is None
    assert cache.get("cd" * 32, "depth", {"size": 1, "edges": True}) is None


def test_the_folder_never_outgrows_its_limit_and_what_was_used_last_stays(tmp_path):
    cache = ResultCache(tmp_path, limit=8000)
    for number in range(4):
        keep(cache, number)
        for path in tmp_path.iterdir():  # each a minute older than the next
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))
    assert cache.get(PHOTO, "depth", {"size": 0}) is not None  # used: now the youngest
    for number in range(4, 9):
        keep(cache, number)
        assert cache.size() <= 8000
    assert cache.get(PHOTO, "depth", {"size": 1}) is None
    assert cache.get(PHOTO, "depth", {"size": 8}) is not None


def test_a_result_larger_than_the_limit_is_not_kept(tmp_path):
    cache = ResultCache(tmp_path, limit=500)
    keep(cache, 1)
    assert cache.get(PHOTO, "depth", {"size": 1}) is None
    assert cache.size() == 0


@pytest.mark.parametrize("damage", ["torn", "empty", "foreign", "pickle", "swapped"])
def test_a_file_that_is_no_result_is_removed(tmp_path, damage, caplog):
    cache = ResultCache(tmp_path)
    keep(cache, 1)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    if damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(b"GIF89a" + data)
        path.write_bytes(data[:200] + bytes(200) + data[400:])
    elif damage == "pickle":
        with path.open("wb") as file:
            np.savez(file, asked=np.array([{"an": "object"}], dtype=object))
    else:
        keep(cache, 2)
        other = next(file for file in tmp_path.iterdir() if file != path)
        path.write_bytes(other.read_bytes())
    assert cache.get(PHOTO, "depth", {"size": 1}) is None
    assert not path.exists()
    assert "is not a valid result and is removed" in caplog.text
    expected = keep(cache, 1)
    found = cache.get(PHOTO, "depth", {"size": 1})
    assert found is not None
    assert (found["values"] == expected).all()


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    cache = ResultCache(tmp_path / "file")
    keep(cache, 1)
    assert cache.get(PHOTO, "depth", {"size": 1}) is None


def _work(folder, start):
    cache = ResultCache(folder, limit=20_000)
    for step in range(60):
        number = (start + step) % 12
        found = cache.get(PHOTO, "depth", {"size": number})
        expected = np.random.default_rng(number).integers(0, 256, 3000, dtype=np.uint8)
        if found is not None and not (found["values"] == expected).all():
            os._exit(3)
        keep(cache, number, 3000)
    os._exit(0)


def test_two_processes_share_a_folder(tmp_path):
    """Each reads what the other writes and removes: whole results or none, and never an error."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(tmp_path, start)) for start in (0, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert ResultCache(tmp_path).size() <= 2 * 20_000
    assert all(path.suffix == ".npz" for path in tmp_path.iterdir())
