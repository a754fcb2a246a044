"""Names of what the commands write: the ending of another kind of file is refused at once."""

from __future__ import annotations

import pytest

from backend.cli.main import main
from backend.cli.outputs import FILE_ENDINGS, check_folder, check_outputs
from protocol.errors import ShotError

FILES = {
    "render": (["render", "no.shot", "-o", "{}"], ".mp4"),
    "render --control": (["render", "no.shot", "-o", "a.mp4", "--control", "{}"], ".mp4"),
    "control": (["control", "no.shot", "-o", "{}"], ".mp4"),
    "lift": (["lift", "no.png", "-o", "{}"], ".ply"),
    "the second of lift": (["lift", "no.png", "-o", "a.ply", "-o", "{}"], ".npz"),
    "bench": (["bench", "--engine", "none", "--json", "{}"], ".json"),
}
FOLDERS = {
    "export": ["export", "no.shot", "--format", "masks", "-o", "{}"],
    "demo": ["demo", "--blender-python", "nowhere", "--out", "{}"],
    "prepare": ["prepare", "nowhere", "--size", "1x1", "-o", "{}"],
}
"""Each has more that is wrong, which would be told if the name were not looked at first."""


def told(command, out, capsys):
    """The sentence of a command that fails."""
    assert main([part.format(out) for part in command]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("command", "ending"), FILES.values(), ids=FILES)
def test_a_file_of_another_kind_is_refused_with_the_right_name(command, ending, capsys, folder):
    for name in ("y.avi", "y.txt", "y.AVI"):
        said = told(command, name, capsys)
        assert f"{name} ends in {name[1:]}; this command writes" in said
        assert f"y{ending}" in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("command", "ending"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("name", ["y", ".mp4", "y.", "in.between/y"])
def test_a_file_without_an_ending_is_refused(command, ending, name, capsys, folder):
    said = told(command, name, capsys)
    assert f"{name} has no ending; this command writes" in said
    assert ending in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("command", "ending"), FILES.values(), ids=FILES)
def test_the_right_ending_will_do_in_any_case(command, ending, capsys):
    for name in (f"y{ending}", f"y{ending.upper()}", f"y.avi{ending}"):
        assert "this command writes" not in told(command, name, capsys)


@pytest.mark.parametrize("command", FOLDERS.values(), ids=FOLDERS)
def test_a_folder_called_as_a_file_is_refused(command, capsys, folder):
    for name in ("y.mp4", "y.NPY", "y.zip"):
        said = told(command, name, capsys)
        assert f"{name} ends in {name[1:]}; this command makes a folder. Name it y." in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", FOLDERS.values(), ids=FOLDERS)
def test_a_folder_may_have_dots_in_its_name(command, capsys):
    for name in ("y", "shot.v2", "1.5"):
        assert "makes a folder" not in told(command, name, capsys)


def test_a_folder_is_no_file_whatever_it_is_called(folder):
    (folder / "a.mp4").mkdir()
    for path in (folder, folder / "a.mp4"):
        with pytest.raises(ShotError, match="is a folder"):
            check_outputs([path], [], (".mp4",))
    for ending in FILE_ENDINGS:
        with pytest.raises(ShotError, match="makes a folder"):
            check_folder(folder / f"a{ending}")
