"""Networks from folders: the layouts that open, and one sentence for each that does not."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from backend.engines.svd import load
from backend.engines.svd.controlnet import SVDControlNet
from backend.engines.svd.load import load_base, load_controlnet, read_weights
from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER, make_tiny_weights
from protocol.errors import ShotError

FP32 = torch.float32
NAME = "diffusion_pytorch_model"


@pytest.fixture(scope="module")
def unet(tiny_weights):
    return load_base(tiny_weights / BASE_FOLDER, FP32).unet


def test_the_tiny_networks_of_a_seed_are_the_same_wherever_the_programs_generator_stands(
    tiny_weights, tmp_path
):
    torch.manual_seed(12345)
    make_tiny_weights(tmp_path)
    files = sorted(tiny_weights.rglob("*.safetensors"))
    assert len(files) == 4
    for file in files:
        assert file.read_bytes() == (tmp_path / file.relative_to(tiny_weights)).read_bytes()


@pytest.fixture
def base(tiny_weights, tmp_path):
    """A base of the test's own, its large files the session's."""
    return shutil.copytree(tiny_weights / BASE_FOLDER, tmp_path / "svd", copy_function=os.link)


@pytest.fixture
def released(tiny_weights, tmp_path):
    """A ControlNet of the test's own in the released layout, its large file the session's."""
    return shutil.copytree(
        tiny_weights / CONTROL_FOLDER, tmp_path / "LeviTor", copy_function=os.link
    )


def replaced(file, text):
    """Write ``text`` in the place of a file that other folders may share."""
    file.unlink()
    file.write_text(text) if isinstance(text, str) else file.write_bytes(text)


def reconfigured(file, **changes):
    replaced(file, json.dumps(json.loads(file.read_text()) | changes))


def reweighted(folder, change):
    """Change the ControlNet's tensors in their file."""
    file = folder / "controlnet" / f"{NAME}.safetensors"
    tensors = load_file(file)
    change(tensors)
    file.unlink()
    save_file(tensors, file)


def refusal(load, *told):
    with pytest.raises(ShotError) as caught:
        load(*told)
    error = caught.value
    assert error.code == "weights"
    assert error.sentence.endswith(".")
    assert error.fix.endswith(".")
    assert "\n" not in error.sentence
    return error.sentence


class Hostile:
    """Pickled, it makes a folder when it is read."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_the_released_layout_opens_and_no_pickle_beside_it_is_read(
    unet, released, tiny_weights, tmp_path
):
    trap = tmp_path / "sprung"
    for name in ("random_states_0.pkl", "scaler.pt", "scheduler.bin"):
        torch.save({"state": Hostile(trap)}, released / name, _use_new_zipfile_serialization=False)
    torch.save({"state": Hostile(trap)}, released / "controlnet" / "training.pt")
    (released / "unet").mkdir()
    (released / "unet" / "config.json").write_text("no JSON: nobody reads the dumped base")
    network = load_controlnet(released, unet, FP32)
    assert not trap.exists()
    known = load_file(tiny_weights / CONTROL_FOLDER / "controlnet" / f"{NAME}.safetensors")
    torch.testing.assert_close(dict(network.state_dict()), known, atol=0, rtol=0)
    assert not any(value.requires_grad for value in network.parameters())
    assert not network.training
    torch.load(released / "scaler.pt", weights_only=False)  # the trap does work
    assert trap.exists()


def test_the_folder_itself_may_be_the_controlnet(unet, released):
    network = load_controlnet(released / "controlnet", unet, torch.float16)
    assert {value.dtype for value in network.parameters()} == {torch.float16}


def test_a_bin_of_tensors_opens(unet, released):
    file = released / "controlnet" / f"{NAME}.safetensors"
    tensors = load_file(file)
    file.unlink()
    torch.save(tensors, file.with_name(f"{NAME}.bin"))
    network = load_controlnet(released, unet, FP32)
    torch.testing.assert_close(dict(network.state_dict()), tensors, atol=0, rtol=0)


def test_a_controlnet_in_half_precision_opens_and_the_file_of_ones_own_precision_is_taken(
    unet, released
):
    full = released / "controlnet" / f"{NAME}.safetensors"
    halves = {key: value.half() for key, value in load_file(full).items()}
    halves["controlnet_mid_block.bias"] = torch.full((64,), 3.0, dtype=torch.float16)
    save_file(halves, full.with_name(f"{NAME}.fp16.safetensors"))

    def bias(dtype):
        return load_controlnet(released, unet, dtype).controlnet_mid_block.bias

    assert bias(torch.float16).eq(3.0).all()
    assert not bias(FP32).eq(3.0).any()
    full.unlink()
    assert bias(FP32).eq(3.0).all()
    assert bias(FP32).dtype == FP32


def test_what_training_saves_opens(unet, tiny_weights, tmp_path):
    trained = load_controlnet(tiny_weights / CONTROL_FOLDER, unet, FP32)
    trained.save_pretrained(tmp_path / "mine")
    network = load_controlnet(tmp_path / "mine", unet, FP32)
    torch.testing.assert_close(
        dict(network.state_dict()), dict(trained.state_dict()), atol=0, rtol=0
    )


def test_the_architecture_is_the_bases_whatever_the_checkpoints_configuration_says(unet, released):
    """The release's differs in what does not matter: heads, an unused branch of features."""
    config = released / "controlnet" / "config.json"
    reconfigured(config, num_attention_heads=[1, 1], with_id_feature=False, feature_channels=160)
    network = load_controlnet(released, unet, FP32)
    assert list(network.config["num_attention_heads"]) == [2, 4]


def test_a_checkpoint_without_a_configuration_is_of_the_released_kind(unet, released):
    """Its embedding is 16, 32, 96, 256 wide; the tiny one's is not, which is said."""
    (released / "controlnet" / "config.json").unlink()
    said = refusal(load_controlnet, released, unet, FP32)
    assert "controlnet_cond_embedding.blocks.1.weight is (16, 16, 3, 3) and not (32, 16" in said


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, FP32])
def test_a_base_has_the_precision_asked_for_and_full_files_do_as_well(base, dtype):
    for part, stem in (("unet", NAME), ("vae", NAME), ("image_encoder", "model")):
        (base / part / f"{stem}.fp16.safetensors").rename(base / part / f"{stem}.safetensors")
    (base / "feature_extractor" / "preprocessor_config.json").unlink()
    loaded = load_base(base, dtype)
    for network in (loaded.unet, loaded.vae, loaded.image_encoder):
        assert {value.dtype for value in network.parameters()} == {dtype}
    assert (loaded.sigma_min, loaded.sigma_max) == (0.002, 700.0)
    assert loaded.clip_mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_a_folder_that_is_not_there(unet, tmp_path):
    missing = tmp_path / "nowhere"
    assert refusal(load_base, missing, FP32) == f"The folder '{missing}' does not exist."
    assert refusal(load_controlnet, missing, unet, FP32) == (
        f"'{missing}' has neither controlnet/{NAME}.safetensors nor {NAME}.safetensors."
    )


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("unet/config.json", "unet/config.json' is missing."),
        ("vae/config.json", "vae/config.json' is missing."),
        ("image_encoder/config.json", "image_encoder/config.json' is missing."),
        ("scheduler/scheduler_config.json", "scheduler_config.json' is missing."),
        (f"unet/{NAME}.fp16.safetensors", f"neither {NAME}.fp16.safetensors nor {NAME}.safe"),
        (f"vae/{NAME}.fp16.safetensors", "/vae' has neither"),
        ("image_encoder/model.fp16.safetensors", "image_encoder' has neither model.fp16"),
    ],
)
def test_a_file_that_is_missing_is_named(base, file, sentence):
    (base / file).unlink()
    assert sentence in refusal(load_base, base, FP32)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"in_channels": 4}, "4 input channels, a context of 1024 for an image embedding of 1024"),
        ({"cross_attention_dim": 768}, "a context of 768 for an image embedding of 1024"),
        ({"projection_class_embeddings_input_dim": 1024}, "and 1024 added ids, where it has 8"),
    ],
)
def test_another_model_is_not_taken_for_the_base(base, changes, found):
    reconfigured(base / "unet" / "config.json", **changes)
    said = refusal(load_base, base, FP32)
    assert "is not Stable Video Diffusion's" in said
    assert found in said


@pytest.mark.parametrize("text", ["{", "", "[]", "\xff\xfe\x00"])
def test_a_configuration_that_is_none(base, text):
    replaced(base / "unet" / "config.json", text.encode("latin-1"))
    said = refusal(load_base, base, FP32)
    assert "unet/config.json' is not a configuration" in said or "cannot be read: " in said


@pytest.mark.parametrize(
    ("file", "changes", "why"),
    [
        ("unet/config.json", {"block_out_channels": [32]}, "Must provide the same number of"),
        ("unet/config.json", {"num_attention_heads": None}, "has no len()"),
        ("unet/config.json", {"addition_time_embed_dim": None}, "int() argument must be"),
        ("vae/config.json", {"down_block_types": ["Cube"] * 4}, "Cube does not exist"),
        ("scheduler/scheduler_config.json", {"sigma_min": "low"}, "could not convert string"),
        ("scheduler/scheduler_config.json", {"sigma_min": 800}, "noise levels 800 to 700 are not"),
        ("feature_extractor/preprocessor_config.json", {"image_std": [1, 0, 1]}, "three colours"),
    ],
)
def test_a_configuration_of_something_else_is_named_with_what_is_wrong(base, file, changes, why):
    reconfigured(base / file, **changes)
    said = refusal(load_base, base, FP32)
    assert said.startswith(f"'{base / file}' does not describe such a model: ")
    assert why in said


def test_a_controlnets_configuration_of_something_else_is_named(unet, released):
    file = released / "controlnet" / "config.json"
    reconfigured(file, conditioning_embedding_out_channels=16)
    said = refusal(load_controlnet, released, unet, FP32)
    assert said == (f"'{file}' does not describe such a model: 'int' object is not iterable.")


def test_keys_that_are_missing_are_listed_up_to_ten(unet, released):
    def change(tensors):
        for key in [key for key in tensors if key.startswith("down_blocks.0.attentions")]:
            del tensors[key]

    reweighted(released, change)
    said = refusal(load_controlnet, released, unet, FP32)
    count = int(said.split()[0])
    assert count > 10
    wanted = len(SVDControlNet.from_unet(unet, load_weights=False).state_dict())
    assert f"{count} of {wanted} keys in '{released / 'controlnet'}" in said
    assert said.count(" is missing") == 10
    assert said.endswith(f", and {count - 10} more.")


def test_missing_unknown_and_other_shapes_are_told_apart(unet, released):
    def change(tensors):
        del tensors["conv_in.bias"]
        tensors["conv_out.bias"] = torch.zeros(4)
        tensors["controlnet_mid_block.bias"] = torch.zeros(63)

    reweighted(released, change)
    said = refusal(load_controlnet, released, unet, FP32)
    assert said.endswith(
        "do not fit: conv_in.bias is missing; conv_out.bias is unknown; "
        "controlnet_mid_block.bias is (63,) and not (64,)."
    )


def test_a_key_mismatch_in_the_base_is_told_too(base):
    reconfigured(base / "unet" / "config.json", layers_per_block=2)
    said = refusal(load_base, base, FP32)
    assert f"keys in '{base / 'unet'}' do not fit: " in said
    assert said.count(" is missing") == 10


@pytest.mark.parametrize("what", ["list", "nested", "numbers", "no torch", "empty"])
def test_a_bin_that_is_no_state_dict(tmp_path, what):
    file = tmp_path / "weights.bin"
    stranger = {
        "list": [torch.zeros(1)],
        "nested": {"state_dict": {"conv_in.bias": torch.zeros(1)}},
        "numbers": {"step": 3},
    }
    if what in stranger:
        torch.save(stranger[what], file)
        assert refusal(read_weights, file, FP32) == (
            f"'{file}' is not a state dict: names with a tensor each."
        )
    else:
        file.write_bytes(b"" if what == "empty" else b"version https://git-lfs")
        assert refusal(read_weights, file, FP32).startswith(f"'{file}' ")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_that_holds_an_object_is_refused_and_not_run(tmp_path, zipped):
    file, trap = tmp_path / "weights.bin", tmp_path / "sprung"
    torch.save(
        {"conv_in.bias": torch.zeros(1), "more": Hostile(trap)},
        file,
        _use_new_zipfile_serialization=zipped,
    )
    said = refusal(read_weights, file, FP32)
    assert said.startswith(f"'{file}' holds something else than weights: ")
    assert not trap.exists()


@pytest.mark.parametrize("part", ["unet", "vae", "image_encoder"])
@pytest.mark.parametrize("kept", [0, 5, 20_000])
def test_a_file_that_is_cut_off_is_named(base, part, kept):
    stem = "model" if part == "image_encoder" else NAME
    file = base / part / f"{stem}.fp16.safetensors"
    content = file.read_bytes()[:kept]
    replaced(file, content)
    said = refusal(load_base, base, FP32)
    assert part in said
    assert "cannot be read: " in said or "is cut off or damaged: " in said


def test_an_image_encoder_with_keys_missing_or_of_another_shape(base):
    file = base / "image_encoder" / "model.fp16.safetensors"
    whole = load_file(file)
    tensors = dict(whole)
    del tensors["visual_projection.weight"]
    file.unlink()
    save_file(tensors, file, metadata={"format": "pt"})
    assert "1 keys are missing in" in refusal(load_base, base, FP32)
    tensors["visual_projection.weight"] = torch.zeros(5, 32)
    save_file(tensors, file, metadata={"format": "pt"})
    assert "The image encoder in" in refusal(load_base, base, FP32)


@pytest.mark.parametrize(
    ("reader", "error"),
    [
        ("load_file", SafetensorError("Error while mapping: Cannot allocate memory (os error 12)")),
        ("load_file", OSError(errno.ENOMEM, "Cannot allocate memory")),
        ("CLIPVisionModelWithProjection", RuntimeError("can't allocate memory: 9 GB")),
    ],
    ids=["mapped", "read", "image encoder"],
)
def test_too_little_memory_is_not_taken_for_a_damaged_file(base, monkeypatch, reader, error):
    def too_little(*_, **__):
        raise error

    reads = load if reader == "load_file" else load.CLIPVisionModelWithProjection
    name = reader if reader == "load_file" else "from_pretrained"
    monkeypatch.setattr(reads, name, too_little)
    with pytest.raises(type(error), match="memory"):
        load_base(base, FP32)
