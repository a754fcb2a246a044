"""Photos to learn from and photos to be measured on."""

import pytest
from PIL import Image

from backend.training.photos import HELD_OUT, LONGEST_SIDE, TO_LEARN_FROM, load_photos, photos_in
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


def test_a_folders_photos_of_any_kind_are_read_as_the_installed_ones_are(tmp_path):
    Image.new("RGB", (900, 450), (255, 0, 51)).save(tmp_path / "a.webp", lossless=True)
    Image.new("L", (20, 10), 51).save(tmp_path / "b.PNG")
    large, small = photos_in(tmp_path)
    assert large.shape == (3, LONGEST_SIDE // 2, LONGEST_SIDE)
    assert large[:, 5, 5].tolist() == pytest.approx([1, 0, 0.2], abs=0.01)
    assert small.shape == (3, 10, 20)
    (tmp_path / "c.jpg").write_bytes(b"no photo")
    with pytest.raises(ShotError, match=r"c\.jpg cannot be read"):
        photos_in(tmp_path)
