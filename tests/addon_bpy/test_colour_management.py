"""Through the camera and in the sequencer the photo is seen, whatever the file makes of colours."""

import uuid

import bpy
import numpy as np
import pytest

from .backend import make_film
from .conftest import link, module, rendered

BLOCK, ROWS, COLUMNS = 12, 4, 6
SPACES = ["Linear Rec.2020", "ACEScg"] if bpy.app.version >= (5, 0, 0) else []
LATER = [(space, convert) for space in SPACES for convert in (True, False)]
VIEWS = {
    "AgX": {"view_transform": "AgX"},
    "Filmic": {"view_transform": "Filmic"},
    "exposure": {"exposure": 1.5},
    "gamma": {"gamma": 2.0},
    "look": {"view_transform": "Standard", "look": "High Contrast"},
    "look of AgX": {"view_transform": "AgX", "look": "AgX - High Contrast"},
    "curves": {"use_curve_mapping": True},
    "white balance": {"use_white_balance": True, "white_balance_temperature": 3000.0},
}


def photo():
    """Blocks of random colours, and their values."""
    values = np.random.default_rng(3).integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)
    return values.repeat(BLOCK, 0).repeat(BLOCK, 1), values


def white_with_a_red_patch():
    """A photo in which all but three points are grey, which is grey in every space."""
    image = np.full((ROWS * BLOCK, COLUMNS * BLOCK, 3), 255, np.uint8)
    image[30, 40:43] = 200, 40, 30
    return image


def lift(stage, image=None):
    """Lift the blocks, or another image, at one depth, with an instance cut out of them."""
    image = photo()[0] if image is None else image
    height, width = image.shape[:2]
    k = np.array([[60.0, 0, width / 2], [0, 60.0, height / 2], [0, 0, 1.0]])
    depth, segments = np.full((height, width), 4.0, np.float32), np.zeros((height, width), np.int32)
    lifted = stage.shot.PhotoCamera(height=height, width=width, intrinsics=k, near=2.0, far=9.0)
    points = stage.pure.cloud_of(image, depth, segments, k)
    stage.lifts.place(bpy.context.scene, "blocks", lifted, points, {"uid": uuid.uuid4().hex})
    stage.instance(rows=slice(0, 24), columns=slice(0, 24), depth=4.0)


def blocks_of(seen):
    """The middle of each block, in the photo's bytes."""
    half = BLOCK // 2
    return seen[half::BLOCK, half::BLOCK] * 255


def shows_the_photo(path) -> bool:
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples = "CYCLES", 4
    seen = blocks_of(rendered(scene, path))
    off = np.abs(seen - photo()[1])
    # In a wide space a saturated colour's dark channel is a small difference of large halves
    return bool(off.mean() < 1.0 and off.max() < 10.0)


def sent(stage):
    """The photo that a shot would be made of."""
    scene = bpy.context.scene
    background, instances = stage.lifts.clouds_of(scene, scene.levitor.lift)
    found = np.zeros((ROWS * BLOCK * COLUMNS * BLOCK, 3), np.uint8)
    for one in (background, *instances):
        found[one.pixel] = stage.pure.to_bytes(one.colour[:, :3])
    return found.reshape(ROWS * BLOCK, COLUMNS * BLOCK, 3)


@pytest.fixture
def colours(addon):
    return module(addon, "scene.colour_management")


@pytest.fixture(autouse=True)
def own_working_space():
    yield
    if SPACES:
        bpy.ops.wm.read_homefile(use_empty=True)


@pytest.mark.parametrize("space", ["", *SPACES])
def test_a_lift_shows_the_photo_in_each_working_space_and_sends_it_to_the_bit(
    stage, colours, tmp_path, space
):
    if space:
        bpy.ops.wm.set_working_color_space(working_space=space, convert_colors=True)
    lift(stage)
    assert colours.differences(bpy.context.scene) == []
    assert shows_the_photo(tmp_path / "seen")
    assert (sent(stage) == photo()[0]).all()


@pytest.mark.parametrize(("space", "convert"), LATER)
def test_another_working_space_afterwards_shows_the_photo_or_says_that_it_does_not(
    stage, colours, tmp_path, space, convert
):
    lift(stage)
    bpy.ops.wm.set_working_color_space(working_space=space, convert_colors=convert)
    assert (sent(stage) == photo()[0]).all()
    differences = colours.differences(bpy.context.scene)
    assert shows_the_photo(tmp_path / "before") == (differences == [])
    assert bpy.ops.levitor.match_colours() == {"FINISHED"}
    assert colours.differences(bpy.context.scene) == []
    assert shows_the_photo(tmp_path / "after")
    assert (sent(stage) == photo()[0]).all()


@pytest.mark.parametrize("space", SPACES)
def test_a_small_coloured_thing_in_a_neutral_photo_tells_the_space_of_all(stage, colours, space):
    image = white_with_a_red_patch()
    lift(stage, image)
    assert colours.differences(bpy.context.scene) == []
    bpy.ops.wm.set_working_color_space(working_space=space, convert_colors=False)
    assert colours.differences(bpy.context.scene) == [
        "points in another working space than the file's"
    ]
    assert (sent(stage) == image).all()
    bpy.ops.levitor.match_colours()
    assert colours.differences(bpy.context.scene) == []
    assert (sent(stage) == image).all()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_view_that_bends_colours_is_told_and_set_back(stage, colours, tmp_path, name, when):
    def bend():
        for setting, value in VIEWS[name].items():
            setattr(bpy.context.scene.view_settings, setting, value)
        if name == "curves":
            mapping = bpy.context.scene.view_settings.curve_mapping
            mapping.curves[3].points[0].location = (0.0, 0.3)
            mapping.update()

    if when == "before":
        bend()
    lift(stage)
    if when == "after":
        bend()
    differences = colours.differences(bpy.context.scene)
    assert shows_the_photo(tmp_path / "before") == (differences == [])
    bpy.ops.levitor.match_colours()
    assert colours.differences(bpy.context.scene) == []
    assert shows_the_photo(tmp_path / "after")


@pytest.mark.parametrize("space", ["", *SPACES])
def test_a_take_in_the_sequencer_has_the_photos_colours(stage, tmp_path, space):
    if space:
        bpy.ops.wm.set_working_color_space(working_space=space, convert_colors=True)
    lift(stage)
    scene = bpy.context.scene
    scene.view_settings.exposure = 2.0
    bpy.ops.levitor.match_colours()
    sequencer = module(stage.addon, "scene.sequencer")
    film = make_film(tmp_path / "take.mp4", np.stack([photo()[0]] * 9))
    take = sequencer.Take(
        job="j",
        lift=scene.levitor.lift.levitor.uid,
        path=film,
        frame_start=1,
        frame_end=9,
        engine="draft",
        seed=0,
        options={},
        shot="ab" * 32,
    )
    link(stage.addon).takes[take.job] = take
    sequencer.place(take)
    scene.frame_set(1)
    # H.264 halves the resolution of colours, so that blocks bleed a little
    assert np.abs(blocks_of(rendered(scene, tmp_path / "seen")) - photo()[1]).mean() < 4.0
