"""What a photo may be: the list that all sides share is what is read, and what they say."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

import protocol
from backend.cli.main import main
from backend.images.photo import decode_photo
from protocol import ShotError
from protocol.photo_formats import DEPTH_MAP_WORDS, HEIC, PHOTO, PHOTO_GLOB, PHOTO_WORDS

README = (Path(protocol.__file__).parents[1] / "README.md").read_text()
GREEN = Image.new("RGB", (40, 24), (20, 160, 40))


@pytest.mark.parametrize("name", [*PHOTO, "HEIC"])
def test_a_photo_of_every_format_is_read(name):
    file = io.BytesIO()
    if name == "HEIC":
        pillow_heif.from_pillow(GREEN).save(file)
    else:
        GREEN.save(file, name)
    pixels = decode_photo(file.getvalue(), 1280).pixels
    assert pixels.shape == (24, 40, 3)
    assert np.abs(pixels.astype(int) - (20, 160, 40)).max() <= 8


def test_the_endings_are_those_of_the_formats():
    known = Image.registered_extensions()
    for name, endings in PHOTO.items():
        assert {known[ending] for ending in endings} == {name.upper()}
    everything = [ending for endings in PHOTO.values() for ending in endings] + [*HEIC]
    assert PHOTO_GLOB.split(";") == [f"*{ending}" for ending in everything]
    assert len(PHOTO_GLOB) < 256  # what Blender's file browser takes


def test_the_command_line_and_the_readme_name_the_same_formats(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit):
        main(["lift", "--help"])
    said = capsys.readouterr().out
    for words in (PHOTO_WORDS, DEPTH_MAP_WORDS):
        assert words in said
        assert words in " ".join(README.split())


def test_a_file_that_is_no_image_is_told_the_formats():
    with pytest.raises(ShotError) as caught:
        decode_photo(b"hello", 1280)
    assert caught.value.fix == f"Use one of {', '.join(PHOTO)}."
