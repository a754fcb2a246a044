"""Which weights lie at a place, and networks that outlive their files."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from backend.networks import BLOCK, HEAD, copy_from_mapped_file, fingerprint, read_unchanged
from protocol.errors import ShotError

LONG = HEAD + 100 * BLOCK


@pytest.fixture
def folder(tmp_path):
    """Weights in a folder; all files are of the same minute."""
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text("{}")
    save_file({"a": torch.zeros(LONG)}, place / "model.safetensors")
    (place / "old.pth").write_bytes(bytes(LONG))
    keep_time(place)
    return place


def keep_time(folder):
    for file in folder.iterdir():
        os.utime(file, (1e9, 1e9))


def zeros_become_ones(folder):
    save_file({"a": torch.ones(LONG)}, folder / "model.safetensors")


def a_tensor_is_called_otherwise(folder):
    save_file({"b": torch.zeros(LONG)}, folder / "model.safetensors")


def a_configuration_changes(folder):
    (folder / "config.json").write_text("[]")


def a_file_is_called_otherwise(folder):
    (folder / "config.json").rename(folder / "konfig.json")


def a_file_goes(folder):
    (folder / "config.json").unlink()


def the_last_bytes_change(folder):
    with (folder / "old.pth").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"1")


def a_file_is_longer(folder):
    with (folder / "old.pth").open("ab") as file:
        file.write(b"0")


@pytest.mark.parametrize(
    "change",
    [
        zeros_become_ones,
        a_tensor_is_called_otherwise,
        a_configuration_changes,
        a_file_is_called_otherwise,
        a_file_goes,
        the_last_bytes_change,
        a_file_is_longer,
    ],
)
def test_other_weights_have_another_fingerprint_also_at_the_same_time(folder, change):
    before = fingerprint(folder)
    change(folder)
    keep_time(folder)
    assert fingerprint(folder) != before


def test_a_change_that_no_sample_shows_is_known_by_its_time(folder):
    before = fingerprint(folder)
    with (folder / "old.pth").open("r+b") as file:
        file.seek(HEAD + BLOCK + 1)
        file.write(b"1")
    keep_time(folder)
    assert fingerprint(folder) == before
    os.utime(folder / "old.pth", ns=(10**18, 10**18 + 1))
    assert fingerprint(folder) != before


def test_what_is_no_weight_and_where_the_folder_lies_change_nothing(folder):
    before = fingerprint(folder)
    (folder / "README.md").write_text("Hello.")
    (folder / ".cache").mkdir()
    moved = folder.rename(folder.with_name("elsewhere"))
    assert fingerprint(moved) == before
    file = moved / "old.pth"
    before = fingerprint(file)
    assert fingerprint(file.rename(moved / "sam_vit_b.pth")) == before


def test_what_is_not_there_has_a_fingerprint_too(folder):
    assert fingerprint(folder / "gone") != fingerprint(folder / "old.pth")
    assert fingerprint(folder, folder / "gone") != fingerprint(folder)


def test_no_more_than_a_part_of_a_large_file_is_read(tmp_path):
    """A terabyte of nothing: who read it whole would not come back."""
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(b"\xff" * 8)
        file.truncate(1 << 40)
    assert len(fingerprint(tmp_path)) == 64


def test_weights_that_change_while_they_are_read_are_read_again(folder):
    read = []

    def reading():
        read.append((folder / "config.json").read_text())
        if len(read) == 1:
            a_configuration_changes(folder)
        return read[-1]

    assert read_unchanged(reading, folder) == ("[]", fingerprint(folder))
    assert read == ["{}", "[]"]


def test_weights_that_never_rest_are_refused(folder):
    with pytest.raises(ShotError, match="change while they are read") as refused:
        read_unchanged(lambda: a_file_is_longer(folder), folder)
    assert "Wait until they are copied" in refused.value.fix


def test_a_network_taken_out_of_its_file_does_not_change_with_it(tmp_path):
    file = tmp_path / "weights"
    torch.ones(64).numpy().tofile(file)
    mapped, copied = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    for network in (mapped, copied):
        storage = torch.UntypedStorage.from_file(str(file), shared=True, nbytes=256)
        network.weight.data = torch.tensor([], dtype=torch.float32).set_(storage).view(8, 8)
    copy_from_mapped_file(copied)
    torch.zeros(64).numpy().tofile(file)
    assert mapped.weight.sum() == 0
    assert copied.weight.sum() == 64
