"""A lift and a click with networks, as a worker of the server does them."""

from __future__ import annotations

import os
import shutil

import cv2
import numpy as np
import pytest

from backend.perception import model_names, tiny
from backend.perception.base import Candidates
from backend.perception.cache import ResultCache
from backend.perception.lift import LiftOptions
from backend.perception.perceive import Perception
from backend.pipeline import lift, segment
from backend.resources import Resources, no_weights
from backend.server import handlers
from backend.session import Session
from protocol import messages
from protocol.arrays import Array
from protocol.content import blob_of
from protocol.errors import ShotError
from tests.perception import photos

CLICK = np.array([[320.0, 200.0]]), np.ones(1, np.uint8)


class Memory:
    """A job's data in a dictionary."""

    def __init__(self):
        self.data = {}

    def get(self, sha256):
        return self.data[sha256]

    def put(self, data):
        self.data[blob_of(data, "application/octet-stream").sha256] = data

    def array(self, ref) -> Array:
        return np.frombuffer(self.data[ref.sha256], ref.dtype).reshape(ref.shape)


class Worker(Session):
    """A session that finds a depth network and a SAM in ``paths``, and has nothing loaded yet."""

    def __init__(self, paths, cache):
        super().__init__(
            Resources(weights=lambda name: paths.get(name) or no_weights(name), cache=cache)
        )
        self.paths = paths

    def run(self, message, blobs):
        return handlers.run(self, message, job="j", blobs=blobs, on_step=lambda *step: None)


def paths_of(weights):
    return {"depth-anything-v2-small": weights / "depth", "sam-vit-base": weights / "sam"}


@pytest.fixture
def worker(weights, tmp_path):
    """One that has seen no photo."""
    return Worker(paths_of(weights), tmp_path / "cache")


@pytest.fixture(scope="module")
def known_photos(tmp_path_factory):
    """What the networks have found in photos, for tests in which that is of no interest."""
    return tmp_path_factory.mktemp("known photos")


@pytest.fixture
def later_worker(weights, known_photos):
    """One that may have results of a worker before it."""
    return Worker(paths_of(weights), known_photos)


def lifted(worker, blobs):
    data = photos.flower()
    blobs.put(data)
    message = messages.LiftRequest(image=blob_of(data, "image/jpeg"), max_side=640)
    return worker.run(message, blobs)


def test_a_lift_uses_the_networks_that_are_here_and_says_which(worker):
    blobs = Memory()
    reply = lifted(worker, blobs)
    assert (reply.depth_model, reply.segment_model) == ("depth-anything-v2-small", "sam-vit-base")
    assert not reply.upright
    depth = blobs.array(reply.scene.depth)
    assert depth.dtype == np.float32
    np.testing.assert_allclose([depth.min(), depth.max()], [2.0, 20.0], rtol=1e-4)
    segments = blobs.array(reply.segments)
    assert segments.shape == depth.shape == (426, 640)
    assert segments.max() <= 120


def clicked(worker, blobs, scene, **more):
    points, positive = CLICK
    message = messages.SegmentRequest(scene=scene, points=points, positive=positive, **more)
    return worker.run(message, blobs)


def test_a_click_uses_the_segment_network_and_leaves_the_relief_alone(worker):
    blobs = Memory()
    scene = lifted(worker, blobs).scene
    reply = clicked(worker, blobs, scene)
    assert reply.segment_model == "sam-vit-base"
    mask = blobs.array(reply.mask) > 0
    assert mask.shape == (426, 640)
    depth, before = blobs.array(reply.depth), blobs.array(scene.depth)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    assert (depth[~mask] == before[~mask]).all()
    assert (depth[inside] == before[inside]).all()
    # The lift looked at the photo for its segments; the click did not look again
    assert worker._models.segments["sam-vit-base"].encoded == 1


def test_other_weights_under_the_same_name_answer_without_a_new_worker(worker, tmp_path):
    """Neither the networks in memory, nor photos remembered by them, nor results on disk stay.

    Other weights of the same kind have the same names and sizes, and here the same times too.
    """

    def answers():
        blobs = Memory()
        lift = lifted(worker, blobs)
        click = clicked(worker, blobs, lift.scene)
        return lift.scene.depth.sha256, click.logits

    def lay(seed):
        for file in [*tiny.make_tiny_depth_anything(tmp_path / f"depth {seed}", seed).iterdir()]:
            os.utime(shutil.move(file, place["depth"] / file.name), (1e9, 1e9))
        for file in [*tiny.make_tiny_sam(tmp_path / f"sam {seed}", seed).iterdir()]:
            os.utime(shutil.move(file, place["sam"] / file.name), (1e9, 1e9))

    place = {name: tmp_path / name for name in ("depth", "sam")}
    for folder in place.values():
        folder.mkdir()
    paths = {"depth-anything-v2-small": place["depth"], "sam-vit-base": place["sam"]}
    worker.paths.update(paths)
    lay(0)
    first = answers()
    lay(1)
    second = answers()
    assert [one != other for one, other in zip(first, second, strict=True)] == [True] * 2
    # Depth and segments of each; a network this small finds no segment, and finds that anew
    assert len(list((tmp_path / "cache").iterdir())) == 4
    networks = worker._models.depth["depth-anything-v2-small"]
    assert answers() == second
    assert worker._models.depth["depth-anything-v2-small"] is networks  # no change, no reading
    lay(0)
    assert answers() == first


def test_weights_that_are_taken_away_are_not_used_any_more(later_worker):
    blobs = Memory()
    assert lifted(later_worker, blobs).depth_model == "depth-anything-v2-small"
    del later_worker.paths["depth-anything-v2-small"]
    assert lifted(later_worker, blobs).depth_model == model_names.RAMP


@pytest.mark.parametrize("upright", [False, True])
def test_a_click_is_answered_with_every_candidate_its_score_depth_and_logits(later_worker, upright):
    blobs = Memory()
    scene = lifted(later_worker, blobs).scene
    reply = clicked(later_worker, blobs, scene, upright=upright)
    assert 1 < len(reply.candidates) <= 3
    assert reply.candidates[0] == reply.mask
    assert list(reply.scores) == sorted(reply.scores, reverse=True)
    assert len(reply.scores) == len(reply.depths) == len(reply.logits) == len(reply.candidates)
    first = blobs.array(reply.depth)[blobs.array(reply.mask) > 0]
    assert (blobs.array(reply.depths[0]) == first).all()
    for mask, depth, logits in zip(reply.candidates, reply.depths, reply.logits, strict=True):
        assert (logits.dtype, logits.shape) == ("float32", (64, 64))
        assert depth.shape == (int(blobs.array(mask).sum()),)
        assert len(np.unique(blobs.array(depth))) == 1 or not upright


def test_a_further_click_refines_exactly_the_candidate_that_was_chosen(later_worker):
    blobs = Memory()
    scene = lifted(later_worker, blobs).scene
    reply = clicked(later_worker, blobs, scene)
    refined = [clicked(later_worker, blobs, scene, previous=one) for one in reply.logits[:2]]
    assert [len(one.candidates) for one in refined] == [1, 1]
    assert refined[0].logits != refined[1].logits
    assert clicked(later_worker, blobs, scene, previous=reply.logits[1]).logits == refined[1].logits


def test_the_model_of_a_click_may_be_chosen_and_one_that_cannot_refine_says_so(later_worker):
    blobs = Memory()
    scene = lifted(later_worker, blobs).scene
    logits = clicked(later_worker, blobs, scene).logits[0]
    reply = clicked(later_worker, blobs, scene, segment_model="offline", previous=logits)
    assert reply.segment_model == model_names.GRABCUT
    assert (len(reply.candidates), reply.scores, reply.logits) == (1, (1.0,), ())
    assert reply.notes == ("GrabCut cannot refine a mask; it looked at all clicks anew.",)
    with pytest.raises(ShotError, match="no model 'mine'"):
        clicked(later_worker, blobs, scene, segment_model="mine")


def test_the_second_lift_of_a_photo_asks_no_network(worker, monkeypatch):
    first = lifted(worker, Memory())

    def never(*_):
        raise AssertionError("the network was asked again")

    model = worker._models.depth["depth-anything-v2-small"]
    monkeypatch.setattr(model, "disparity", never)
    monkeypatch.setattr(worker._models.segments["sam-vit-base"], "segments", never)
    second = lifted(worker, Memory())
    assert second.scene.depth.sha256 == first.scene.depth.sha256
    assert second.segments.sha256 == first.segments.sha256


def test_broken_weights_are_a_note_and_the_offline_way_goes_on(later_worker, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"nothing of the kind")
    later_worker.paths["depth-anything-v2-small"] = tmp_path / "bad.pth"
    reply = lifted(later_worker, Memory())
    assert reply.depth_model == model_names.RAMP
    assert reply.upright
    assert sum("bad.pth cannot be used" in note for note in reply.notes) == 1


def test_without_edge_cleaning_more_points_hang_between():
    class Steps:
        name, fingerprint = "steps", ""

        def disparity(self, pixels, size=518, on_note=None):
            across = np.clip((np.arange(pixels.shape[1]) - 97) / 3, 0, 1)
            return np.tile(across.astype(np.float32), (pixels.shape[0], 1))

    pixels = np.zeros((100, 200, 3), np.uint8)
    found = {}
    for clean in (True, False):
        options = LiftOptions(clean_edges=clean)
        result = lift(pixels, 1.0, None, options, lambda *_: None, Perception(depth=Steps()))
        z = result.lift.depth.numpy()
        found[clean] = int(((z > 2.1) & (z < 19.0)).sum())
    assert found == {True: 0, False: 200}


def test_another_size_or_cleaning_is_not_taken_from_the_cache(depth_model, tmp_path):
    cache = ResultCache(tmp_path)
    perception = Perception(depth=depth_model, cache=cache)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for size, clean in ((56, True), (56, False), (70, True), (56, True)):
        perception.disparity(pixels, "", size, clean, lambda note: None)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_best_candidate_that_is_neither_empty_nor_everything_is_taken(depth_model):
    class Three:
        name = automatic_name = "three"
        fingerprint = ""

        def __init__(self, masks):
            self.masks = masks

        def encode(self, pixels, key=""):
            return None

        def segment(self, embedding, points, positive, box, previous=None):
            scores = np.linspace(1, 0, len(self.masks))
            return Candidates(masks=self.masks, scores=scores, logits=None)

    masks = np.zeros((3, 10, 10), bool)
    masks[0], masks[2, 3:5, 3:5] = True, True
    pixels, depth = np.zeros((10, 10, 3), np.uint8), np.ones((10, 10), np.float32)
    call = (pixels, depth, *CLICK, None, None, None)
    found = segment(*call, Perception(segments=Three(masks)))
    assert [(mask == masks[2]).all() for mask in found.masks] == [True]
    assert (found.scores.tolist(), found.model) == ([0.0], "three")
    masks[1] = masks[2]  # one like a better one is no choice
    assert segment(*call, Perception(segments=Three(masks))).scores.tolist() == [0.5]
    masks[1] = False
    with pytest.raises(ShotError, match="covers the whole photo"):
        segment(*call, Perception(segments=Three(masks[:2])))
