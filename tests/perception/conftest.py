"""Tiny networks on disk, made once a run."""

import pytest

from backend.perception import depth_anything, segment_anything, tiny
from tests.perception import photos


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with each tiny network in each layout."""
    folder = tmp_path_factory.mktemp("weights")
    tiny.make_tiny_depth_anything(folder / "depth")
    tiny.make_tiny_depth_anything_pth(folder / "depth.pth")
    tiny.make_tiny_sam(folder / "sam")
    tiny.make_tiny_sam_pth(folder / "sam.pth")
    tiny.make_tiny_sam2(folder / "sam2")
    return folder


@pytest.fixture(scope="session")
def depth_model(weights):
    return depth_anything.load("depth-anything-v2-small", weights / "depth")


@pytest.fixture(scope="session", params=["sam-vit-base", "sam.pth", "sam2.1-hiera-tiny"])
def segment_model(request, weights):
    path = {"sam-vit-base": "sam", "sam.pth": "sam.pth", "sam2.1-hiera-tiny": "sam2"}
    return segment_anything.load(request.param, weights / path[request.param])


@pytest.fixture(scope="session")
def files():
    return photos.files()
