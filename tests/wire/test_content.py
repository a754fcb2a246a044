"""Data named by its content: blobs, shots, .shot files."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from protocol import ProtocolError, content, encode
from protocol.messages import RenderRequest
from tests.wire.samples import BLOBS, IDS, moved, shot


def test_an_array_comes_back_from_its_blob():
    ref, data = content.array_blob_of(np.arange(6, dtype=np.int32).reshape(2, 3))
    assert (ref.dtype, ref.shape, ref.size) == ("int32", (2, 3), 24)
    np.testing.assert_array_equal(content.array_of(ref, data), [[0, 1, 2], [3, 4, 5]])


def test_a_hash_names_bytes_and_nothing_else():
    assert content.is_sha256(content.sha256(b""))
    for text in ("", "../etc/passwd", "0F" * 32, "0f" * 31, "0f" * 32 + "\n"):
        assert not content.is_sha256(text)


def test_equal_shots_have_equal_hashes_and_any_change_changes_them():
    assert content.shot_hash(shot()) == content.shot_hash(shot())
    other = moved()
    other[1, 0, 0, 3] += 1e-9
    hashes = {
        content.shot_hash(item)
        for item in (
            shot(),
            shot(seed=8),
            shot(moved_from_rest=other),
            shot(options={}),
            shot(instances=(replace(shot().instances[0], flatten=0.25),)),
            shot(instances=(replace(shot().instances[0], thickness=0.5),)),
        )
    }
    assert len(hashes) == 6


def test_a_shots_hash_is_that_of_the_frames_that_the_specification_names():
    """Of what 1.0 did not know, a field that is used is hashed, and one at its default is not."""
    used = shot(instances=(replace(shot().instances[0], flatten=0.5, thickness=0.0),))
    header, *arrays = encode(RenderRequest(shot=used), version=(1, 0))
    body = json.loads(header)
    assert body["body"]["shot"]["instances"][0].pop("thickness") == 0.0
    assert body["body"]["shot"]["scene"].pop("kind") == ""
    assert body["body"]["shot"].keys() >= {"seed", "anchors", "options"}
    text = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    digest = hashlib.sha256()
    for frame in (text, *arrays):
        digest.update(struct.pack("<Q", len(frame)))
        digest.update(frame)
    assert content.shot_hash(used) == digest.hexdigest()


def test_a_whole_number_where_the_default_is_a_fraction_is_that_default():
    zero, nothing = (
        shot(instances=(replace(shot().instances[0], flatten=value, thickness=value),))
        for value in (0, 0.0)
    )
    assert content.shot_hash(zero) == content.shot_hash(nothing)


def test_a_shot_file_comes_back_whole():
    packed = content.pack_shot(shot(), BLOBS)
    again, blobs = content.unpack_shot(packed)
    assert content.shot_hash(again) == content.shot_hash(shot())
    assert blobs == BLOBS
    assert content.pack_shot(again, blobs) == packed


def test_packing_without_a_blob_is_refused():
    with pytest.raises(ProtocolError, match="1 of the shot's blobs"):
        content.pack_shot(shot(), {k: v for k, v in BLOBS.items() if k != IDS.sha256})


@pytest.mark.parametrize("cut", [0, 5, 16, 20, 40, 500, -1])
def test_a_cut_shot_file_is_refused(cut):
    with pytest.raises(ProtocolError, match="shot"):
        content.unpack_shot(content.pack_shot(shot(), BLOBS)[:cut])


def test_a_damaged_blob_in_a_shot_file_is_noticed():
    packed = bytearray(content.pack_shot(shot(), BLOBS))
    packed[-1] ^= 1
    with pytest.raises(ProtocolError, match="missing or damaged"):
        content.unpack_shot(bytes(packed))


def test_a_blob_of_the_wrong_size_is_refused():
    with pytest.raises(ProtocolError, match="bytes, but"):
        content.array_of(replace(IDS, shape=(4, 7)), BLOBS[IDS.sha256])
