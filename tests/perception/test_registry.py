"""Which model is taken, and that it is said."""

from __future__ import annotations

import pytest

from backend.perception import model_names, registry
from backend.perception.registry import LoadedModels
from backend.resources import Resources, no_weights
from backend.weights.search import Search
from protocol.errors import ShotError


def resources(weights, **present):
    """Resources that know these weights: name with _ for - and . -> what lies in the folder."""
    paths = {
        name.replace("__", ".").replace("_", "-"): weights / at for name, at in present.items()
    }
    return Resources(weights=lambda name: paths.get(name) or no_weights(name))


def test_without_weights_the_offline_ones_are_taken(weights):
    loaded = LoadedModels()
    assert registry.depth_model("auto", Resources(), loaded).model is None
    segments = registry.segment_model("auto", Resources(), loaded).model
    assert (segments.name, segments.automatic_name) == (
        model_names.GRABCUT,
        model_names.FELZENSZWALB,
    )
    assert not loaded.depth
    assert not loaded.segments


def test_the_best_that_is_here_is_taken_and_loaded_once(weights):
    here = resources(weights, depth_anything_v2_small="depth", depth_anything_v2_base="depth.pth")
    loaded = LoadedModels()
    chosen = registry.depth_model("auto", here, loaded)
    assert chosen.model.name == "depth-anything-v2-base"
    assert registry.depth_model("auto", here, loaded).model is chosen.model
    assert list(loaded.depth) == ["depth-anything-v2-base"]


def test_it_is_said_before_a_network_is_read_and_only_then(weights):
    here, said = resources(weights, depth_anything_v2_small="depth", sam_vit_base="sam"), []
    loaded = LoadedModels()
    loaded.before_load = lambda: said.append((len(loaded.depth), len(loaded.segments)))
    registry.depth_model("auto", here, loaded)
    registry.segment_model("auto", here, loaded)
    registry.depth_model("auto", here, loaded)
    assert said == [(0, 0), (1, 0)]


def test_a_wish_wins_over_what_is_best(weights):
    here = resources(weights, sam_vit_base="sam", sam2__1_hiera_tiny="sam2", sam_vit_huge="sam.pth")
    loaded = LoadedModels()
    assert registry.segment_model("auto", here, loaded).model.name == "sam-vit-huge"
    assert registry.segment_model("sam2.1-hiera-tiny", here, loaded).model.name == (
        "sam2.1-hiera-tiny"
    )
    assert registry.segment_model("offline", here, loaded).model.name == model_names.GRABCUT
    assert registry.depth_model("offline", here, loaded).model is None


def test_a_wish_that_is_not_here_says_what_to_fetch():
    with pytest.raises(ShotError, match="depth-anything-v2-large' are not here") as caught:
        registry.depth_model("depth-anything-v2-large", Resources(), LoadedModels())
    assert "levitor weights fetch depth-anything-v2-large" in caught.value.fix


def test_a_wish_nobody_knows_lists_what_there_is():
    with pytest.raises(ShotError, match="no model 'midas'") as caught:
        registry.depth_model("midas", Resources(), LoadedModels())
    assert "depth-anything-v2-small" in caught.value.fix


def test_weights_that_were_said_to_lie_where_they_do_not_are_passed_over_with_a_note(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    search = Search(options={"depth-anything-v2-base": tmp_path}, environ={"HF_HOME": "/nowhere"})
    chosen = registry.depth_model("auto", Resources(weights=search.require), LoadedModels())
    assert chosen.model is None
    assert len(chosen.notes) == 1
    assert f"{tmp_path} (--weights) lack model.safetensors." in chosen.notes[0]


def test_broken_weights_are_passed_over_with_a_note_unless_they_were_asked_for(weights, tmp_path):
    here = resources(weights, depth_anything_v2_large=tmp_path, depth_anything_v2_small="depth")
    chosen = registry.depth_model("auto", here, LoadedModels())
    assert chosen.model.name == "depth-anything-v2-small"
    assert len(chosen.notes) == 1
    assert "holds no config.json" in chosen.notes[0]
    with pytest.raises(ShotError, match=r"holds no config\.json"):
        registry.depth_model("depth-anything-v2-large", here, LoadedModels())
