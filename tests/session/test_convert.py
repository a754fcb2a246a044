"""From the wire's shot to the one that is rendered: each instance gets the shape it asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.convert import shot_from_message
from protocol import content
from tests.wire.samples import BLOBS, SCENE, shot

DEPTH = np.full((4, 6), 9.0, np.float32)
DEPTH[1:3, 2:4] = [[2.0, 4.0], [8.0, 8.0]]  # under the instance; 1/8 is the lower median of 1/z
REF, DATA = content.array_blob_of(DEPTH)


def converted(**form):
    instance = replace(shot().instances[0], **form)
    message = shot(scene=replace(SCENE, depth=REF), instances=(instance,))
    return shot_from_message(message, {**BLOBS, REF.sha256: DATA}.__getitem__)


def test_flattening_moves_the_depth_of_its_instance_alone():
    depth = converted(flatten=1.0, thickness=0.0).lift.depth.numpy()
    assert (depth[1:3, 2:4] == 8).all()
    depth[1:3, 2:4] = DEPTH[1:3, 2:4]
    np.testing.assert_array_equal(depth, DEPTH)


@pytest.mark.parametrize(("thickness", "kept"), [(0.0, {}), (0.25, {1: 0.25})])
def test_thickness_is_kept_by_id_and_relief_stays_to_the_bit(thickness, kept):
    made = converted(flatten=0.0, thickness=thickness)
    assert made.thickness == kept
    np.testing.assert_array_equal(made.lift.depth.numpy(), DEPTH)
