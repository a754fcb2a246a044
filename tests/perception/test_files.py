"""Weights that an artist may have got wrong: one sentence that names the file, and nothing run."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from backend.perception import depth_anything, segment_anything
from protocol.errors import ShotError

KINDS = {
    "depth": (depth_anything.load, "depth-anything-v2-small"),
    "sam": (segment_anything.load, "sam-vit-base"),
    "sam2": (segment_anything.load, "sam2.1-hiera-tiny"),
}


class Trap:
    """Would run code if a file that holds it were unpickled freely."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


@pytest.fixture(params=KINDS)
def broken(request, weights, tmp_path):
    """(how to load, a folder of its own to damage)."""
    folder = tmp_path / request.param
    shutil.copytree(weights / request.param, folder)
    load, name = KINDS[request.param]
    return lambda: load(name, folder), folder


@pytest.fixture(params=["depth", "sam"])
def original(request, weights, tmp_path):
    """(how to load, a .pth of its own to damage)."""
    path = tmp_path / f"{request.param}.pth"
    shutil.copy(weights / path.name, path)
    load, name = KINDS[request.param]
    return lambda: load(name, path), path


def assert_refused(load, path, says):
    with pytest.raises(ShotError, match=says) as caught:
        load()
    assert caught.value.code == "broken_weights"
    assert str(path) in caught.value.sentence
    assert caught.value.sentence.count("\n") == 0
    assert "levitor weights fetch" in caught.value.fix


def test_a_folder_without_config(broken):
    load, folder = broken
    (folder / "config.json").unlink()
    assert_refused(load, folder, "holds no config.json")


def test_a_config_that_is_no_json(broken):
    load, folder = broken
    (folder / "config.json").write_text("{")
    assert_refused(load, folder, "cannot be used: Expecting")


def test_a_folder_with_another_kind_of_model(broken):
    load, folder = broken
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    assert_refused(load, folder, "holds a 'bert' model, not '(depth_anything|sam|sam2)'")


def test_a_folder_without_weights(broken):
    load, folder = broken
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, perhaps")
    assert_refused(load, folder, "holds no .safetensors file")


@pytest.mark.parametrize("kept", [0, 7, 5000, 100_000])
def test_a_truncated_safetensors(broken, kept):
    load, folder = broken
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused(load, folder, "cannot be used")


def test_a_folder_from_which_tensors_are_missing(broken):
    from safetensors.torch import load_file, save_file

    load, folder = broken
    path = folder / "model.safetensors"
    tensors = load_file(path)
    gone = [name for name in sorted(tensors) if "neck" in name][:2]
    save_file({k: v for k, v in tensors.items() if k not in gone}, path, {"format": "pt"})
    assert_refused(load, folder, f"'{gone[0]}', '{gone[1]}' are missing")


def test_a_metric_depth_model_is_no_disparity(weights, tmp_path):
    shutil.copytree(weights / "depth", tmp_path / "metric")
    config = json.loads((tmp_path / "metric" / "config.json").read_text())
    config |= {"depth_estimation_type": "metric", "max_depth": 20}
    (tmp_path / "metric" / "config.json").write_text(json.dumps(config))
    assert_refused(
        lambda: depth_anything.load("depth-anything-v2-small", tmp_path / "metric"),
        tmp_path / "metric",
        "it is a metric model",
    )


@pytest.mark.parametrize("kept", [0, 3, 5000, 100_000])
def test_a_truncated_pth(original, kept):
    load, path = original
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused(load, path, f"the file of {kept} bytes is damaged")


def test_a_text_that_is_called_pth(original):
    load, path = original
    path.write_text("hello")
    assert_refused(load, path, "the file of 5 bytes is damaged, or holds more than tensors")


def test_a_pth_with_code_in_it_never_runs(original):
    load, path = original
    torch.save({"weights": Trap()}, path)
    assert_refused(load, path, "or holds more than tensors")
    assert not Trap.sprung


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([torch.zeros(1)], "holds a list, not named tensors"),
        ({}, "holds a dict, not named tensors"),
        ({"epoch": 3, "weights": torch.zeros(1)}, "'epoch' is no tensor"),
        ({"weights": torch.zeros(1)}, "of 1 tensors none is called"),
    ],
    ids=["a list", "nothing", "a number", "other tensors"],
)
def test_a_pth_with_other_content(original, content, says):
    load, path = original
    torch.save(content, path)
    assert_refused(load, path, says)


def test_a_pth_with_a_tensor_missing_left_over_or_of_another_shape(original):
    load, path = original
    whole = torch.load(path, weights_only=True)
    victim = next(name for name in sorted(whole) if name.endswith(".bias"))
    torch.save({k: v for k, v in whole.items() if k != victim}, path)
    assert_refused(load, path, "missing")
    torch.save(whole | {"something.else": torch.zeros(1)}, path)
    assert_refused(load, path, "'something.else' is no tensor of")
    torch.save(whole | {victim: torch.zeros(3, 5)}, path)
    assert_refused(load, path, r"\(3, 5\)")


def test_a_pth_inside_a_training_checkpoint_is_found(original):
    load, path = original
    torch.save({"model": torch.load(path, weights_only=True), "epoch": 3}, path)
    assert load().name in ("depth-anything-v2-small", "sam-vit-base")


def test_one_networks_file_given_for_the_other(weights):
    assert_refused(
        lambda: depth_anything.load("depth-anything-v2-small", weights / "sam.pth"),
        weights / "sam.pth",
        "of 174 tensors none is called 'pretrained.pos_embed'",
    )
    assert_refused(
        lambda: segment_anything.load("sam-vit-base", weights / "depth.pth"),
        weights / "depth.pth",
        "none is called 'image_encoder.pos_embed'",
    )


def test_a_path_that_is_not_there(tmp_path):
    assert_refused(
        lambda: depth_anything.load("depth-anything-v2-small", tmp_path / "no.pth"),
        tmp_path / "no.pth",
        "No such file",
    )
