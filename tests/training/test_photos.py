"""Photos to learn from and photos to be measured on."""

import pytest

from backend.training.photos import HELD_OUT, LONGEST_SIDE, TO_LEARN_FROM, load_photos
from protocol.errors import ShotError


def test_no_photo_is_both_learned_from_and_measured_on():
    assert not set(TO_LEARN_FROM) & set(HELD_OUT)


def test_all_photos_are_installed_and_small():
    for photo in load_photos(HELD_OUT + TO_LEARN_FROM):
        assert photo.shape[0] == 3
        assert max(photo.shape[1:]) == LONGEST_SIDE
        assert 0 <= photo.min() < 0.2 < 0.6 < photo.max() <= 1


def test_a_photo_that_is_not_installed_is_named():
    with pytest.raises(ShotError, match=r"no_such_package/a\.png is not installed"):
        load_photos(["no_such_package/a.png"])
