"""Files that are written whole or not at all, whatever goes wrong meanwhile."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys

import pytest

from backend.files.atomic import PRIVATE, PUBLIC, write_atomically


@pytest.fixture
def path(tmp_path):
    """A file with content, alone in its folder."""
    path = tmp_path / "new" / "take.mp4"
    write_atomically(path, b"first")
    return path


def only(path):
    return [item.name for item in path.parent.iterdir()] == [path.name]


def test_what_was_there_is_replaced_as_a_whole(path):
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert only(path)


def test_what_is_not_bytes_leaves_what_was_there(path):
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")
    assert path.read_bytes() == b"first"
    assert only(path)


def test_a_disk_that_takes_only_a_part_leaves_what_was_there(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            write_atomically(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"first"
    assert only(path)


def test_a_disk_that_fails_at_the_end_leaves_what_was_there(path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"second")
    assert path.read_bytes() == b"first"
    assert only(path)


@pytest.mark.parametrize("refused", [errno.EINVAL, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_is_logged_and_the_file_is_new(
    path, monkeypatch, caplog, call, refused
):
    """As on network and FUSE mounts."""
    real = getattr(os, call)

    def refuse(what, *rest):
        if os.path.isdir(what):
            raise OSError(refused, os.strerror(refused))
        return real(what, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert only(path)
    assert f"{path.parent} may not outlast a power failure" in caplog.text
    assert os.strerror(refused) in caplog.text


def test_a_folder_in_the_place_of_the_file_stays_and_nothing_is_left_beside_it(tmp_path):
    folder = tmp_path / "new" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_atomically(folder, b"data")
    assert folder.is_dir()
    assert only(folder)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_killed_in_between_leaves_what_was_there(path, moment):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from backend.files.atomic import write_atomically\n"
        f"os.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.replace = lambda self, target: os.replace(self, target)\n"
        "write_atomically(Path(sys.argv[1]), b'second')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"first"
    (left,) = (item for item in path.parent.iterdir() if item != path)
    assert left.name.startswith(".take.mp4.")
    assert left.suffix == ".part"
    write_atomically(path, b"third")
    assert path.read_bytes() == b"third"


@pytest.mark.parametrize("mode", [PUBLIC, PRIVATE])
def test_permissions_are_those_asked_for_whatever_the_umask(path, mode):
    before = os.umask(0o077)
    try:
        write_atomically(path, b"second", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(("sync", "times"), [(True, 2), (False, 0)])
def test_file_and_folder_are_synced_where_that_is_wanted(path, monkeypatch, sync, times):
    seen = []
    monkeypatch.setattr(os, "fsync", seen.append)
    write_atomically(path, b"second", sync=sync)
    assert len(seen) == times


def test_a_temporary_file_elsewhere_is_gone_too_when_it_fails(tmp_path):
    elsewhere, folder = tmp_path / "incoming", tmp_path / "folder"
    elsewhere.mkdir()
    folder.mkdir()
    write_atomically(tmp_path / "blob", b"data", temporaries=elsewhere)
    with pytest.raises(IsADirectoryError):
        write_atomically(folder, b"data", temporaries=elsewhere)
    assert not list(elsewhere.iterdir())
    assert (tmp_path / "blob").read_bytes() == b"data"
