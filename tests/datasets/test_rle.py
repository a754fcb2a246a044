"""Run lengths of COCO, against strings of pycocotools 2.0.11 and a plain encoder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from backend.datasets import rle
from tests.datasets.tiny import run_lengths


def test_a_mask_that_can_be_read_by_hand():
    """13 zeros down two columns and one pixel, two ones, and 15 zeros: '=', '2', '?'."""
    mask = np.zeros((6, 5), bool)
    mask[1:3, 2] = True
    np.testing.assert_array_equal(rle.decode((6, 5), "=2?"), mask)
    np.testing.assert_array_equal(rle.decode((6, 5), b"=2?"), mask)


@pytest.mark.parametrize(
    ("counts", "size", "area"),
    [
        pytest.param("n0", (6, 5), 0, id="nothing"),
        pytest.param("0n0", (6, 5), 30, id="everything"),
        pytest.param("Pb1", (40, 40), 0, id="a number of three characters"),
        pytest.param(
            "[6a0g00000F^ONb02^ONb02^ONb02^ONb0<" + 40 * "0" + "e8",
            (40, 40),
            456,
            id="a square with a hole",
        ),
    ],
)
def test_strings_of_pycocotools(counts, size, area):
    mask = rle.decode(size, counts)
    assert (mask.shape, int(mask.sum())) == (size, area)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_what_was_encoded_is_decoded(mask):
    np.testing.assert_array_equal(rle.decode(mask.shape, run_lengths(mask)), mask)
    assert rle.encode(mask) == run_lengths(mask)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        pytest.param("", "cut short", id="nothing"),
        pytest.param("=o", "cut short", id="ends inside a number"),
        pytest.param("=2", "fill 15 of 5 x 6 pixels", id="too short"),
        pytest.param("=2?2", "fill 34 of 5 x 6 pixels", id="too long"),
        pytest.param("=\u00e42?", "none of theirs", id="not of the alphabet"),
        pytest.param("=O?", "negative", id="a negative run"),
    ],
)
def test_a_damaged_string_is_refused(counts, said):
    with pytest.raises(ValueError, match=said):
        rle.decode((6, 5), counts)


@given(st.binary(max_size=60))
def test_no_string_gives_a_mask_that_was_not_written(data):
    try:
        mask = rle.decode((6, 5), data)
    except ValueError:
        return
    assert mask.shape == (6, 5)
