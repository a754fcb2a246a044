"""Tiny networks in the real layouts, made once a run."""

from __future__ import annotations

import pytest

from backend.engines.svd.tiny_weights import BASE_FOLDER, CONTROL_FOLDER, make_tiny_weights
from backend.resources import Resources


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A folder with a tiny SVD-XT and a tiny LeviTor."""
    folder = tmp_path_factory.mktemp("weights")
    make_tiny_weights(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_resources(tiny_weights):
    """What an engine is handed where these are the weights."""
    folders = {"svd-xt": tiny_weights / BASE_FOLDER, "levitor": tiny_weights / CONTROL_FOLDER}
    return Resources(weights=folders.__getitem__)
