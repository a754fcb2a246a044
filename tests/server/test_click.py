"""The real `levitor serve` with a tiny SAM: a click's candidates, and the refinement of one."""

import dataclasses
import os
import shutil

import numpy as np
import pytest

from blender_addon.core.jobs import TaskFailed, TaskFinished
from protocol import content, messages
from tests.server.support import PATIENCE, Extension, python_server
from tests.server.test_whole import photo

CELLS = 64  # of a tiny SAM's logits, to a side


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The process of a server: its ``endpoint``, and the folder of its ``weights``."""
    # Imported here, since the other processes that collect this file have no use for torch
    from backend.perception import tiny

    assert tiny.SAM_SIDE == 4 * CELLS
    folder = tmp_path_factory.mktemp("click")
    weights = tiny.make_tiny_sam(folder / "sam")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEVITOR_")}
    nowhere = str(folder / "nowhere")
    told = ("--state", folder / "state", "--weights", f"sam-vit-base={weights}")
    with python_server(
        *("backend", "serve", "--port", 0, "--device", "cpu", *told),
        environment={**kept, "HF_HOME": nowhere, "XDG_DATA_HOME": nowhere},
    ) as process:
        process.weights = weights
        yield process


@pytest.fixture
def extension(server):
    one = Extension(server.endpoint)
    yield one
    one.client.close()


@pytest.fixture(scope="module")
def lifted(server):
    """The end of a lift; automatic segments by colour, since they are of no interest here."""
    one, data = Extension(server.endpoint), photo()
    image = content.blob_of(data, "image/png")
    ask = messages.LiftRequest(image=image, depth_model="offline", segment_model="offline")
    task = one.client.start(ask, {image.sha256: data})
    one.until(lambda: one.of(task, TaskFinished), "the lift", 4 * PATIENCE)  # its worker starts
    one.client.close()
    return one.of(task, TaskFinished)[-1]


def click(extension, lifted, *points, previous=None, **more):
    """The end of a click's task; ``previous`` is logits."""
    blobs = dict(lifted.blobs)
    ref = None
    if previous is not None:
        ref, data = content.array_blob_of(previous)
        blobs[ref.sha256] = data
        ref = dataclasses.replace(ref, **more.pop("said", {}))
    pick = messages.SegmentRequest(
        scene=lifted.result.scene,
        points=np.array(points or [(48.0, 36.0)]),
        positive=np.ones(max(1, len(points)), np.uint8),
        previous=ref,
        **more,
    )
    return extension.until_end(extension.client.start(pick, blobs))


def arrays(end, refs):
    return [content.array_of(ref, end.blobs[ref.sha256]) for ref in refs]


@pytest.mark.parametrize("upright", [True, False])
def test_all_candidates_come_with_the_reply_best_first(extension, lifted, upright):
    end = click(extension, lifted, upright=upright)
    assert isinstance(end, TaskFinished)
    reply = end.result
    assert reply.segment_model == "sam-vit-base"
    assert 2 <= len(reply.candidates) <= 3
    assert reply.candidates[0] == reply.mask
    assert list(reply.scores) == sorted(reply.scores, reverse=True)
    masks, depths = arrays(end, reply.candidates), arrays(end, reply.depths)
    assert {(mask.dtype.name, mask.shape) for mask in masks} == {("uint8", (64, 96))}
    assert [depth.size for depth in depths] == [int(mask.sum()) for mask in masks]
    assert all((np.unique(depth).size == 1) or not upright for depth in depths)
    assert {one.shape for one in arrays(end, reply.logits)} == {(CELLS, CELLS)}


def test_a_click_that_brings_logits_back_refines_exactly_that_mask(extension, lifted):
    first = click(extension, lifted)
    ends = [
        click(extension, lifted, (48.0, 36.0), (52.0, 30.0), previous=one)
        for one in arrays(first, first.result.logits)[:2]
    ]
    assert [len(end.result.candidates) for end in ends] == [1, 1]
    assert ends[0].result.logits != ends[1].result.logits


def test_weights_that_are_replaced_under_a_running_server_answer_the_next_click(
    server, extension, lifted, tmp_path
):
    """The same photo, the same click, the same names and sizes of files."""
    from backend.perception import tiny

    ours, other = server.weights / "model.safetensors", tmp_path / "ours.safetensors"
    before = click(extension, lifted).result.logits
    shutil.copy(ours, other)
    try:
        os.replace(tiny.make_tiny_sam(tmp_path / "other", seed=1) / ours.name, ours)
        replaced = click(extension, lifted).result.logits
    finally:
        shutil.copy(other, ours)  # written over in place, as a copying program does
    assert set(replaced).isdisjoint(before)
    assert click(extension, lifted).result.logits == before


def test_what_goes_by_colour_may_be_asked_for_by_name_and_has_one_candidate(extension, lifted):
    end = click(extension, lifted, segment_model="offline")
    reply = end.result
    assert reply.segment_model == "GrabCut"
    assert (reply.candidates, reply.scores, reply.logits) == ((reply.mask,), (1.0,), ())
    assert arrays(end, [reply.mask])[0][36, 48] == 1


@pytest.mark.parametrize(
    ("logits", "said", "sentence"),
    [
        (
            np.zeros((9, 7), np.float32),
            {},
            "The mask to refine has 7 x 9 cells, those of sam-vit-base have 64 x 64.",
        ),
        (
            np.zeros((CELLS, CELLS)),
            {},
            "The mask to refine is float64 of shape (64, 64), not float32 of shape (h, w) with up"
            " to 1024 a side.",
        ),
        (
            np.zeros((1, CELLS, CELLS), np.float32),
            {},
            "The mask to refine is float32 of shape (1, 64, 64), not float32 of shape (h, w) with"
            " up to 1024 a side.",
        ),
        (
            np.zeros((2, 1025), np.float32),
            {},
            "The mask to refine is float32 of shape (2, 1025), not float32 of shape (h, w) with"
            " up to 1024 a side.",
        ),
        (
            np.zeros((CELLS, CELLS), np.float32),
            {"shape": (CELLS, CELLS - 1)},
            "The mask to refine is said to have 16384 bytes, which (64, 63) float32 numbers do not"
            " fill.",
        ),
        (
            np.full((CELLS, CELLS), np.inf, np.float32),
            {},
            "4096 of 4096 cells of the mask to refine are no numbers.",
        ),
    ],
    ids=["another size", "float64", "three axes", "huge", "lying size", "infinite"],
)
def test_a_mask_to_refine_that_cannot_be_is_one_sentence(extension, lifted, logits, said, sentence):
    end = click(extension, lifted, previous=logits, said=said)
    assert isinstance(end, TaskFailed)
    assert (end.code, end.sentence) == ("previous", sentence)
    assert end.fix.startswith("Pick anew instead of extending")


def test_a_model_that_is_not_here_is_refused_by_name(extension, lifted):
    end = click(extension, lifted, segment_model="sam-vit-huge")
    assert isinstance(end, TaskFailed)
    assert "sam-vit-huge" in end.sentence
