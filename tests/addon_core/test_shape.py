"""Flat fronts and thick bodies, beside those that engines make."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from backend.contracts import Camera, Lift
from backend.geometry import body as backend
from backend.geometry.lift import cloud_from_lift
from protocol import shape
from tests.randomness import examples

K = np.array([[30.0, 0, 16], [0, 28.0, 12], [0, 0, 1]])


@pytest.mark.parametrize(
    ("amount", "depths"),
    [(0.0, [2, 4, 8]), (0.5, [8 / 3, 4, 16 / 3]), (1.0, [4, 4, 4])],
)
def test_disparities_of_an_instance_are_blended_with_their_median(amount, depths):
    # 1/2, 1/4, 1/8: half way to 1/4 they are 3/8, 1/4, 3/16
    found = shape.flattened(np.array([2, 4, 8], np.float32), amount)
    np.testing.assert_allclose(found, depths, rtol=1e-6)
    assert found.dtype == np.float32


def test_nothing_is_flattened_to_nothing():
    assert len(shape.flattened(np.zeros(0, np.float32), 1.0)) == 0
    assert shape.body(np.ones((2, 2, 3), np.float32), np.zeros((2, 2), bool), K, 1.0).shape == (
        0,
        3,
    )


@examples(40)
@given(
    seed=st.integers(0, 99),
    amount=st.floats(0, 1),
    thickness=st.floats(0, 5),
    share=st.floats(0, 1),
)
@example(seed=0, amount=0.0, thickness=5e-324, share=1.0)  # no thickness at any depth above 1
def test_bodies_are_those_of_the_engines(seed, amount, thickness, share):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, 20, (24, 32)).astype(np.float32)
    mask = rng.uniform(size=(24, 32)) < share
    depth[mask] = shape.flattened(depth[mask], amount)
    camera = Camera(intrinsics=torch.from_numpy(K), height=24, width=32)
    lift = Lift(
        image=torch.zeros(3, 24, 32),
        depth=torch.from_numpy(depth),
        camera=camera,
        near=1.0,
        far=20.0,
    )
    ids = torch.from_numpy(mask.astype(np.int32))
    front = cloud_from_lift(lift, ids)
    whole = backend.add_bodies(front, lift, ids, {1: thickness})
    body = shape.body(front.xyz.numpy().reshape(24, 32, 3), mask, K, thickness)
    np.testing.assert_allclose(body, whole.xyz[len(front.xyz) :].numpy(), rtol=1e-6)
    assert bool((whole.instance[len(front.xyz) :] == 1).all())
