"""`levitor data`: what is in a folder, and what of it is broken."""

from __future__ import annotations

import json

import numpy as np

from backend.cli.main import main
from backend.datasets.base import rate_note
from backend.datasets.recognise import open_dataset
from tests.datasets import tiny


def test_a_line_says_what_was_recognised_and_a_note_how_fast_it_is(tmp_path, capsys):
    tiny.davis(tmp_path)
    assert main(["data", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}: DAVIS, 2 videos, 36 annotated frames, 2 clips of 16 frames.\n"
        "note: there are 24 annotated frames a second, and LeviTor learned from 6 a second: "
        "`levitor prepare` with --every 4 is near that.\n"
    )


def test_a_check_counts_objects_and_says_which_of_them_leave(tmp_path, capsys):
    tiny.sa_v_frames(tmp_path)
    assert main(["data", "check", str(tmp_path), "--frames", "6"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{tmp_path}: SA-V (validation, test), 1 video, 6 annotated frames, 2 objects, "
        "1 clip of 6 frames.",
        "note: sav_000002: 1 of 2 objects are out of sight for a time: 001.",
    ]


def test_what_is_broken_is_listed_and_the_rest_is_counted(tmp_path, capsys):
    tiny.davis(tmp_path)
    folder = tmp_path / "Annotations" / "480p"
    (folder / "bear" / "00002.png").write_bytes(b"not a picture")
    for path in (folder / "camel").glob("*.png"):
        tiny.indexed(np.zeros((tiny.HEIGHT, tiny.WIDTH), np.uint8)).save(path)
    assert main(["data", "check", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [row["video"] for row in found["videos"]] == ["camel"]
    assert len(found["broken"]) == 1
    assert "00002.png: the picture cannot be read" in found["broken"][0]
    assert found["notes"][0] == "camel: nothing is marked in any frame."
    assert found["notes"][1:] == [rate_note(open_dataset(tmp_path))]


def test_videos_that_are_too_short_for_a_clip_are_counted(tmp_path, capsys):
    tiny.youtube_vos(tmp_path)
    assert main(["data", "list", str(tmp_path / "train")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "Of fewer than 16 frames, and so without a clip: 1 video."


def test_a_folder_that_is_no_dataset_is_one_sentence(tmp_path, capsys):
    assert main(["data", "list", str(tmp_path)]) == 1
    assert "no dataset was recognised in it. Give a folder with SA-V" in capsys.readouterr().err
