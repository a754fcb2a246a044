"""Where weights are looked for, in which order, under which names, and what is said if not."""

import pytest

from backend.config import Config
from backend.weights.search import Search, parse_options, variable_of
from backend.weights.table import NAMES, TABLE, weights_of
from protocol.errors import ShotError
from tests.weights.layouts import fill, in_hub_cache, write

SVD = weights_of("svd-xt")


@pytest.fixture
def environ(tmp_path):
    return {"XDG_DATA_HOME": str(tmp_path / "data"), "HF_HOME": str(tmp_path / "hf")}


@pytest.fixture
def default(tmp_path):
    return tmp_path / "data" / "levitor" / "weights"


def test_each_place_comes_before_the_next(tmp_path, environ, default):
    fill(default / "svd-xt", "svd-xt")
    search = Search(environ=environ)
    assert search.find("svd-xt").where == "the default folder"

    in_hub_cache(tmp_path / "hf" / "hub", SVD)
    assert search.find("svd-xt").where == "the hub's cache"

    fill(tmp_path / "all" / "svd-xt", "svd-xt")
    environ["LEVITOR_WEIGHTS"] = str(tmp_path / "all")
    assert search.find("svd-xt").where == "LEVITOR_WEIGHTS"

    environ["LEVITOR_WEIGHTS_SVD_XT"] = str(fill(tmp_path / "own", "svd-xt"))
    assert search.find("svd-xt").where == "LEVITOR_WEIGHTS_SVD_XT"

    file = tmp_path / "levitor.toml"
    fill(tmp_path / "toml" / "svd-xt", "svd-xt")
    by_folder = Config(file=file, folder=tmp_path / "toml")
    assert Search(environ=environ, config=by_folder).require("svd-xt") == (
        tmp_path / "toml" / "svd-xt"
    )
    by_name = Config(file=file, folder=tmp_path / "toml", weights={"svd-xt": tmp_path / "own"})
    assert Search(environ=environ, config=by_name).require("svd-xt") == tmp_path / "own"

    options = {"svd-xt": fill(tmp_path / "option", "svd-xt")}
    search = Search(environ=environ, config=by_name, options=options)
    assert search.require("svd-xt") == tmp_path / "option"


def test_whole_weights_further_on_are_better_than_a_part_of_them(tmp_path, environ, default):
    environ["LEVITOR_WEIGHTS"] = str(tmp_path / "all")
    fill(tmp_path / "all" / "svd-xt", "svd-xt", leave_out="vae/config.json")
    assert Search(environ=environ).find("svd-xt").missing == ("vae/config.json",)
    fill(default / "svd-xt", "svd-xt")
    assert Search(environ=environ).find("svd-xt").where == "the default folder"


def test_a_place_named_for_one_set_is_final(tmp_path, environ, default):
    fill(default / "levitor", "levitor")
    environ["LEVITOR_WEIGHTS_LEVITOR"] = str(tmp_path / "gone")
    assert Search(environ=environ).find("levitor") is None
    with pytest.raises(ShotError, match=r"are not at .*gone \(LEVITOR_WEIGHTS_LEVITOR\)"):
        Search(environ=environ).require("levitor")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["{name}", "{part}", "{hub}", "checkpoints/{part}"])
def test_a_folder_of_several_is_looked_into_by_every_name(tmp_path, environ, default, name, folder):
    hub = weights_of(name).hub
    place = fill(default / folder.format(name=name, hub=hub, part=hub.rpartition("/")[2]), name)
    assert Search(environ=environ).require(name) == place


def test_the_released_layout_is_found_from_beside_and_from_inside(tmp_path):
    checkpoints = tmp_path / "LeviTor" / "checkpoints"
    fill(checkpoints / "stable-video-diffusion-img2vid-xt", "svd-xt")
    fill(checkpoints / "LeviTor", "levitor", alternative=1)
    write(checkpoints / "LeviTor" / "random_states_0.pkl")
    write(checkpoints / "sam_vit_h_4b8939.pth")
    write(checkpoints / "depth_anything_v2_vitl.pth")
    for folder in (checkpoints, checkpoints.parent):
        search = Search(environ={"LEVITOR_WEIGHTS": str(folder)})
        assert search.require("svd-xt") == checkpoints / "stable-video-diffusion-img2vid-xt"
        assert search.require("levitor") == checkpoints / "LeviTor"
        assert search.require("sam-vit-huge") == checkpoints / "sam_vit_h_4b8939.pth"
        large = search.require("depth-anything-v2-large")
        assert large == checkpoints / "depth_anything_v2_vitl.pth"


@pytest.mark.parametrize("weights", [w for w in TABLE if w.original], ids=lambda w: w.name)
def test_an_original_file_serves_under_its_name_or_where_an_option_points(
    tmp_path, environ, default, weights
):
    file = weights.original.file
    inside = write(default / weights.name / file)
    assert Search(environ=environ).require(weights.name) == inside
    renamed = write(tmp_path / "mine.pth")
    options = parse_options([f"{weights.name}={renamed}"])
    assert Search(environ=environ, options=options).require(weights.name) == renamed


def test_full_precision_serves_where_half_is_not(tmp_path):
    options = {"svd-xt": fill(tmp_path, "svd-xt", alternative=1)}
    assert (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").exists()
    assert Search(options=options).require("svd-xt") == tmp_path


def test_the_controlnet_folder_itself_may_be_named(tmp_path):
    fill(tmp_path / "LeviTor", "levitor")
    options = parse_options([f"levitor={tmp_path / 'LeviTor' / 'controlnet'}"])
    assert Search(options=options).require("levitor") == tmp_path / "LeviTor" / "controlnet"


def test_a_snapshot_that_is_not_the_current_one_serves_too(tmp_path, environ):
    snapshot = in_hub_cache(tmp_path / "hf" / "hub", SVD, "c0ffee")
    write(snapshot.parents[1] / "refs" / "main", b"deadbeef")
    assert Search(environ=environ).require("svd-xt") == snapshot


@pytest.mark.parametrize(
    ("leave_out", "also", "says"),
    [
        ("vae/config.json", (), "lack vae/config.json."),
        (
            "unet/diffusion_pytorch_model.fp16.safetensors",
            ("vae/config.json", "unet/config.json"),
            "lack unet/config.json and 2 more of its files.",
        ),
    ],
)
def test_an_incomplete_folder_names_the_missing_file(tmp_path, leave_out, also, says):
    fill(tmp_path, "svd-xt", leave_out=leave_out)
    for file in also:
        (tmp_path / file).unlink()
    with pytest.raises(ShotError) as refused:
        Search(options={"svd-xt": tmp_path}).require("svd-xt")
    assert refused.value.code == "no_weights_there"
    assert f"{tmp_path} (--weights)" in refused.value.sentence
    assert says in refused.value.sentence


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0f0f\nsize 9"]
)
def test_an_empty_file_and_the_stand_in_of_a_clone_are_missing(tmp_path, content):
    fill(tmp_path, "svd-xt")
    write(tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors", content)
    missing = Search(options={"svd-xt": tmp_path}).find("svd-xt").missing
    assert missing == ("unet/diffusion_pytorch_model.fp16.safetensors",)


def test_weights_that_are_nowhere_are_told_with_places_size_licence_and_ways(environ, default):
    with pytest.raises(ShotError) as refused:
        Search(environ=environ).require("svd-xt")
    said = refused.value
    assert said.sentence.startswith("The weights 'svd-xt' (Stable Video Diffusion XT) are not on")
    assert str(default) in said.sentence
    for part in ("levitor weights fetch svd-xt", "4.5 GB", "Stability AI", "--weights svd-xt=PATH"):
        assert part in said.fix
    assert said.sentence.count(". ") == 0  # one sentence


def test_the_others_that_are_missing_are_told_with_the_first(environ):
    both = Search(environ=environ).lack(("svd-xt", "levitor"))
    assert "'svd-xt'" in both.sentence
    assert "needs 'levitor' (2.7 GB) as well" in both.fix
    assert "`levitor weights fetch svd-xt levitor` gets all" in both.fix


def test_the_first_of_several_that_is_missing_is_told(environ, default):
    fill(default / "svd-xt", "svd-xt")
    assert "'levitor'" in Search(environ=environ).lack(("svd-xt", "levitor")).sentence
    fill(default / "levitor", "levitor")
    assert Search(environ=environ).lack(("svd-xt", "levitor")) is None


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("svd-xt", "not NAME=PATH"),
        ("svd-xt=", "not NAME=PATH"),
        ("svd=/tmp", "no weights called 'svd'"),
        ("svd-xt=/gone/away", "at /gone/away, where nothing is"),
    ],
)
def test_an_option_that_is_wrong_is_one_sentence(option, says):
    with pytest.raises(ShotError, match=says):
        parse_options([option])


def test_fetched_weights_go_where_they_are_looked_for_first(tmp_path, environ, default):
    assert Search(environ=environ).target() == default
    environ["LEVITOR_WEIGHTS"] = str(tmp_path / "all")
    assert Search(environ=environ).target() == tmp_path / "all"
    assert Search(environ=environ, config=Config(folder=tmp_path)).target() == tmp_path


def test_the_table_is_sound():
    assert len(set(NAMES)) == len(TABLE) == 12
    assert len({variable_of(name) for name in NAMES}) == 12
    assert variable_of("sam2.1-hiera-base-plus") == "LEVITOR_WEIGHTS_SAM2_1_HIERA_BASE_PLUS"
    for weights in TABLE:
        assert all(weights.needs)
        assert weights.licence
        assert len(weights.revision) == (0 if weights.name == "levitor" else 40)
        assert all(len(sha256) == 64 and size > 1e7 for size, sha256 in weights.sums.values())
        if weights.original is not None:
            assert len(weights.original.sha256) == 64
            assert weights.original.size == pytest.approx(4 * weights.parameters, rel=0.02)
    assert SVD.bytes_on("cuda:0") == SVD.parameters * 2
    assert SVD.size == pytest.approx(SVD.bytes_on("cuda"), rel=0.01)
