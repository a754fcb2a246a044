"""Auto: ground or backdrop, by what the photo shows."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
import sklearn.datasets
from PIL import Image

from backend.perception import model_names, scene_kind
from backend.perception.lift import LiftOptions
from backend.perception.perceive import Perception
from backend.pipeline import lift

FOLDERS = {
    "skimage": Path(skimage.__file__).parent / "data",
    "sklearn": Path(sklearn.datasets.__file__).parent / "images",
}
# (package, file, what it is, why): judged by eye, from the picture alone.
TABLE = (
    ("sklearn", "china.jpg", "ground", "trees before a lake that runs to a horizon, sky above"),
    ("skimage", "camera.png", "ground", "a man on a lawn that runs to a skyline"),
    (
        "skimage",
        "motorcycle_left.png",
        "ground",
        "a motorcycle on a garage's floor, shelves behind",
    ),
    ("skimage", "rocket.jpg", "ground", "towers on a plain at the lower edge, night sky above"),
    ("skimage", "coffee.png", "ground", "a cup on a table top that runs through to the lower edge"),
    ("skimage", "brick.png", "ground", "a pavement that goes away: its rows get narrower upwards"),
    ("sklearn", "flower.jpg", "backdrop", "a flower before a blur, nothing that it stands on"),
    ("skimage", "astronaut.png", "backdrop", "a portrait: the frame cuts her at the waist"),
    ("skimage", "chelsea.png", "backdrop", "a cat's face fills the photo, blur behind"),
    ("skimage", "grass.png", "backdrop", "a lawn from above, equally far everywhere"),
    ("skimage", "gravel.png", "backdrop", "pebbles from above, equally far everywhere"),
    ("skimage", "coins.png", "backdrop", "coins laid flat, seen from above"),
)
RIGHT = 9
"""Of the twelve; today it is eleven: the rows of coins look like layers."""


def photo(package, name):
    with Image.open(FOLDERS[package] / name) as image:
        return np.asarray(image.convert("RGB"))


def correctly_classified(change=lambda pixels: pixels):
    """Which of the table are taken for what they are, after a ``change``."""
    return {
        name
        for package, name, truth, _ in TABLE
        if scene_kind.choose(change(photo(package, name))).kind == truth
    }


def test_auto_is_right_on_at_least_nine_of_twelve_photos():
    assert len(correctly_classified()) >= RIGHT, correctly_classified()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p[:, ::-1], id="mirrored"),
        pytest.param(
            lambda p: cv2.resize(p, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
            id="smaller",
        ),
        pytest.param(
            lambda p: cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), id="larger"
        ),
        pytest.param(lambda p: (255 * (p / 255.0) ** 1.6).astype(np.uint8), id="darker"),
        pytest.param(lambda p: (255 * (p / 255.0) ** 0.6).astype(np.uint8), id="brighter"),
        pytest.param(lambda p: cv2.GaussianBlur(p, (0, 0), 1.0), id="softer"),
    ],
)
def test_auto_stays_right_where_the_same_scene_is_photographed_otherwise(change):
    assert len(correctly_classified(lambda pixels: np.ascontiguousarray(change(pixels)))) >= RIGHT


@pytest.mark.parametrize("name", ["grass.png", "gravel.png"])
def test_a_texture_from_above_is_a_backdrop_and_tilted_it_is_a_ground(name):
    """The same pixels twice, so that nothing but the tilt tells them apart."""
    pixels = photo("skimage", name)
    side, inset = 512, 140
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    far = np.array([[inset, 0], [side - inset, 0], [side, side], [0, side]], np.float32)
    tilted = cv2.warpPerspective(
        cv2.GaussianBlur(pixels, (0, 0), 0.7),
        cv2.getPerspectiveTransform(corners, far),
        (side,) * 2,
    )[:, inset : side - inset]
    assert scene_kind.choose(pixels).kind == "backdrop"
    choice = scene_kind.choose(np.ascontiguousarray(tilted))
    assert (choice.kind, "texture" in choice.reason) == ("ground", True)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((16, 16, 3), np.uint8), id="black and small"),
        pytest.param(np.full((40, 3000, 3), 255, np.uint8), id="white and wide"),
        pytest.param(np.full((3000, 40, 3), 128, np.uint8), id="grey and high"),
    ],
)
def test_a_photo_without_anything_is_a_backdrop(pixels):
    found = scene_kind.measure(pixels)
    assert np.isfinite([found.score, found.even, found.gradient, found.order]).all()
    assert scene_kind.choose(pixels).kind == "backdrop"


def lifted(pixels, kind, depth_map=None, **options):
    wanted = LiftOptions(scene_kind=kind, **options)
    return lift(pixels, 1.0, depth_map, wanted, lambda *step: None, Perception())


def test_auto_says_which_it_took_and_why():
    found = lifted(photo("sklearn", "flower.jpg"), "auto", far=30.0)
    (note,) = found.notes
    assert note.startswith("Scene: Auto took Backdrop, since ")
    assert note.endswith(
        " If that is wrong, choose the other Scene (on the command line, --scene)."
    )
    assert (found.lift.kind, found.depth_model, found.upright) == (
        "backdrop",
        model_names.BACKDROP,
        True,
    )
    assert set(found.lift.depth.unique().tolist()) == {30.0}


@pytest.mark.parametrize("kind", ["ground", "backdrop"])
def test_what_is_asked_for_is_made_without_a_word(kind):
    found = lifted(photo("sklearn", "flower.jpg"), kind)
    assert (found.lift.kind, found.notes) == (kind, ())


@pytest.mark.parametrize("kind", ["auto", "ground", "backdrop"])
def test_a_depth_map_goes_before_the_scene_and_a_backdrop_asked_for_in_vain_is_said(kind):
    map_ = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    found = lifted(np.zeros((6, 8, 3), np.uint8), kind, map_)
    assert (found.lift.kind, found.upright) == ("", False)
    said = [note for note in found.notes if "does not apply" in note]
    assert said == (
        ["Scene: Backdrop does not apply, since the depth is from depth map from file."]
        if kind == "backdrop"
        else []
    )
