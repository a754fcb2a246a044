"""What every version wrote is read for ever: its messages, its .shot files, its shots' hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from protocol import VERSION, content, decode, encode
from protocol.messages import MESSAGES, MINORS
from tests.toy.spec import SPEC as TOY
from tests.wire.golden import FOLDERS, GOLDEN, unpack

SEALED = {
    (1, 0): "b965bf2f706082ebb82f0a8d710a21ab76ec44b772d2b7e2117d2a652401d8fd",
    (1, 1): "c3cb5579a0c2eb93dc80759f409a4d205018f6c4c2f44ed727c930dae42dfcaf",
    (1, 2): "0dd18989bbbee6106a0b7ed322c4fef80fadfea734745358f918a0eed1c76111",
    (1, 3): "0060ef7da59287fb34d8d11e2228a2ef472f4477c778aedbb97d78192cf06692",
}
"""SHA-256 over the frames of the versions before the present one: nobody writes them anew."""
SHOTS = {
    "1.0/plain": "c678bd1080222acdcdd0ea24103f13eea2211632be97b1a986da93a8a60c3ada",
    "1.0/whole": "2a2344b8c52683d2a73619e988cd30092fc58ef240f40eb005eb31813556a05d",
    "1.1/whole": "d6ce044e318414a435647a1d79a993fa9b5015f88b1ea47e7f0f42e63373e8c8",
    "1.2/whole": "7b2fc3d2d87ffdeb8157344fa1f0e953d39711bf6ee0efaa52db0a4307587873",
    "1.3/whole": "38daf002f21b7c04a0910e14d0a23230c7ed72572dc87e8906a7609c08325e72",
    "1.4/whole": "38daf002f21b7c04a0910e14d0a23230c7ed72572dc87e8906a7609c08325e72",
}
"""Files that the code of that version saved, and the hash that it computed of the shot."""
FRAMES = [
    pytest.param(version, file.stem, id=f"{folder.name} {file.stem}")
    for version, folder in sorted(FOLDERS.items())
    for file in sorted(folder.glob("*.bin"))
]


def header_of(frames: Any) -> dict[str, Any]:
    return json.loads(bytes(frames[0]))


def assert_says(said: Any, read: Any) -> None:
    """All of ``said`` stands in ``read``, which may say more: what is newer."""
    if isinstance(said, dict):
        for name, value in said.items():
            assert_says(value, read[name])
    elif isinstance(said, list):
        for one, other in zip(said, read, strict=True):
            assert_says(one, other)
    else:
        assert said == read


@pytest.mark.parametrize(("version", "name"), FRAMES)
def test_what_a_version_sent_is_read_as_it_was_meant(version, name):
    frames = unpack((FOLDERS[version] / f"{name}.bin").read_bytes())
    envelope = decode(frames)
    assert envelope.version == version
    assert type(envelope.message) is MESSAGES[name]
    again = encode(envelope.message)
    assert_says(header_of(frames)["body"], header_of(again)["body"])
    for sent, read in zip(frames[1:], again[1:], strict=True):
        assert np.array_equal(np.frombuffer(sent, np.uint8), np.frombuffer(read, np.uint8))


@pytest.mark.parametrize("version", FOLDERS)
def test_a_version_has_frames_of_every_message_it_knows(version):
    known = {name for name, cls in MESSAGES.items() if MINORS[cls] <= version[1]}
    assert {file.stem for file in FOLDERS[version].iterdir()} == known


def test_there_is_a_folder_for_every_version_up_to_the_present_one():
    assert set(FOLDERS) == {(1, minor) for minor in range(VERSION[1] + 1)}


def test_a_take_of_a_server_that_measures_none_has_no_numbers():
    for version in [(1, minor) for minor in range(4)]:
        frames = unpack((FOLDERS[version] / "rendered.bin").read_bytes())
        assert "obedience" not in header_of(frames)["body"]
        assert decode(frames).message.obedience is None


def test_nobody_writes_the_frames_of_an_older_version_anew():
    found: dict[tuple[int, int], str] = {}
    for version in set(FOLDERS) - {VERSION}:
        digest = hashlib.sha256()
        for file in sorted(FOLDERS[version].iterdir()):
            digest.update(file.name.encode() + file.read_bytes())
        found[version] = digest.hexdigest()
    assert found == SEALED


@pytest.mark.parametrize("name", SHOTS)
def test_a_shot_file_of_any_version_opens_and_keeps_its_hash(name):
    shot, blobs = content.unpack_shot((GOLDEN / "shots" / f"{name}.shot").read_bytes())
    assert content.shot_hash(shot) == SHOTS[name]
    assert len(blobs) == 3
    assert (shot.moved_from_rest[:, 0, 0, 3] == [0.0, 0.25, 0.5]).all()
    again, _ = content.unpack_shot(content.pack_shot(shot, blobs))
    assert content.shot_hash(again) == SHOTS[name]


def test_a_shot_file_of_1_3_keeps_the_text_and_the_instances_of_its_options():
    shot, _ = content.unpack_shot((GOLDEN / "shots" / "1.3" / "whole.shot").read_bytes())
    assert shot.options["prompt"] == "A dahlia opens,\nund wächst"
    ids = {item.id for item in shot.instances}
    assert TOY.completed(shot.options, ids) == {**TOY.completed({}), **shot.options}


def test_there_is_a_shot_file_of_every_version():
    versions = {tuple(map(int, name.partition("/")[0].split("."))) for name in SHOTS}
    assert versions == set(FOLDERS)


def test_every_shot_file_is_asked():
    files = (GOLDEN / "shots").rglob("*.shot")
    assert {f"{file.parent.name}/{file.stem}" for file in files} == set(SHOTS)
