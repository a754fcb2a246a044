"""A lifted photo in the scene: seen exactly, held exactly, undone whole."""

import struct
import zlib
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from .conftest import contents, module

SIZES = [
    pytest.param({}, id="landscape"),
    pytest.param({"width": 48, "height": 64}, id="portrait"),
    pytest.param({"cx": 20.5, "cy": 31.0}, id="off-centre"),
    pytest.param({"fx": 72.0, "cx": 25.0}, id="pixels taller than wide"),
    pytest.param({"fx": 48.0, "cy": 30.0, "width": 48, "height": 64}, id="pixels wider than tall"),
]


@pytest.mark.parametrize("size", SIZES)
def test_every_point_is_seen_at_its_own_pixel_within_a_hundredth(stage, size):
    lift = stage.lift(**size).levitor
    scene = bpy.context.scene
    scene.view_layers[0].update()
    points = stage.cloud.read(lift.background)
    height, width = stage.depth.shape
    assert (scene.render.resolution_x, scene.render.resolution_y) == (width, height)
    for n in range(0, len(points), 97):
        seen = world_to_camera_view(scene, scene.camera, Vector(points.position[n].tolist()))
        row, column = divmod(int(points.pixel[n]), width)
        assert abs(seen.x * width - (column + 0.5)) < 0.01
        assert abs((1 - seen.y) * height - (row + 0.5)) < 0.01
        assert seen.z == pytest.approx(stage.depth[row, column], rel=1e-5)


def test_image_and_depth_come_back_bit_for_bit_from_background_and_instances(stage):
    collection = stage.lift()
    stage.instance("One", rows=slice(0, 9), depth=3.0)
    stage.instance("Two", rows=slice(5, 30), columns=slice(15, 40), depth=5.5)
    background, instances = stage.lifts.clouds_of(bpy.context.scene, collection)
    image, depth = stage.pure.photo_of([background, *instances], 48, 64)
    assert (image == stage.image).all()
    expected = stage.depth.copy()
    expected[0:9, 10:20] = 3.0
    # The five columns of the second block that were taken already stay with the first.
    rest = np.zeros_like(expected, bool)
    rest[5:30, 15:40] = True
    rest[0:9, 10:20] = False
    expected[rest] = 5.5
    assert (depth == expected).all()
    assert [len(cloud) for cloud in instances] == [90, 25 * 25 - 4 * 5]


def test_the_intrinsics_are_kept_as_doubles_and_survive_saving(stage, tmp_path):
    stage.lift(fx=60.123456789012345)
    path = str(tmp_path / "kept.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    photo = stage.lifts.photo_of(bpy.context.scene.levitor.lift)
    assert (photo.intrinsics == stage.k).all()
    assert (photo.near, photo.far) == (2.0, 9.0)


def test_points_become_a_point_cloud_with_the_radius_of_their_pixel(stage):
    lift = stage.lift().levitor
    graph = bpy.context.evaluated_depsgraph_get()
    evaluated = lift.background.evaluated_get(graph).evaluated_geometry()
    cloud = evaluated.pointcloud
    assert len(cloud.points) == 64 * 48
    radius = np.empty(64 * 48, np.float32)
    cloud.attributes["radius"].data.foreach_get("value", radius)
    # 1.9 pixels wide, and a pixel is 1/60 wide at depth 1.
    np.testing.assert_allclose(radius, stage.depth.ravel() * 0.95 / 60, rtol=1e-5)
    assert {"Col", "pixel"} <= set(cloud.attributes.keys())


def test_a_cube_around_the_camera_is_hidden_in_the_viewport_and_comes_back_with_undo(stage):
    bpy.ops.mesh.primitive_cube_add(size=2.0)
    bpy.ops.mesh.primitive_cube_add(size=2.0, location=(0.0, 6.0, 0.0))
    inside, ahead = (bpy.data.objects[name] for name in ("Cube", "Cube.001"))
    bpy.ops.ed.undo_push(message="Cubes")
    lift = stage.lift().levitor
    assert (inside.hide_viewport, inside.hide_render, ahead.hide_viewport) == (True, False, False)
    assert "'Cube' stands before the photo and was hidden in the viewport." in lift.notes
    bpy.ops.ed.undo_push(message="Lift Photo")
    bpy.ops.ed.undo()
    assert not bpy.data.objects["Cube"].hide_viewport


def add_ground():
    bpy.ops.mesh.primitive_plane_add(size=40.0)


def add_torus():
    # Around the camera's axis: the camera looks out of its hole.
    bpy.ops.mesh.primitive_torus_add(major_radius=2.0, rotation=(np.pi / 2, 0, 0))


def add_room():
    bpy.ops.mesh.primitive_cube_add(size=60.0)


def add_monkey_behind():
    bpy.ops.mesh.primitive_monkey_add(location=(0.0, -1.2, 0.0))


@pytest.mark.parametrize("add", [add_ground, add_torus, add_room, add_monkey_behind])
def test_what_does_not_stand_before_the_photo_stays(stage, add):
    add()
    (ob,) = bpy.context.scene.objects
    lift = stage.lift(cy=20.0).levitor
    assert not ob.hide_viewport
    assert lift.notes == ""


def test_two_things_before_the_photo_are_hidden_both_where_they_stand_now(stage):
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(0, 50, 0))
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(0, 1.4, 0))
    far, near = (bpy.data.objects[name] for name in ("Cube", "Cube.001"))
    far.location.y = 0.7  # and no update of the view layer since
    stage.lift()
    assert (far.hide_viewport, near.hide_viewport) == (True, True)


def test_what_stands_before_a_photo_in_another_scene_is_hidden_there(stage, addon):
    bpy.ops.mesh.primitive_cube_add(size=2.0)
    here = bpy.context.object
    other = bpy.data.scenes.new("Other")
    there = bpy.data.objects.new("There", here.data.copy())
    other.collection.objects.link(there)
    photo = stage.lifts.photo_of(stage.lift())
    here.hide_viewport = False
    points = stage.pure.cloud_of(stage.image, stage.depth, np.zeros((48, 64), np.int32), stage.k)
    stage.lifts.place(other, "there", photo, points, {"uid": "there"})
    assert (here.hide_viewport, there.hide_viewport) == (False, True)


def test_a_second_lift_becomes_active_and_hides_the_first(stage):
    first = stage.lift(name="first")
    stage.instance("Kept")
    second = stage.lift(name="second", width=32, height=32)
    scene = bpy.context.scene
    assert (first.name, second.name) == ("LeviTor first", "LeviTor second")
    assert scene.levitor.lift == second
    assert first.hide_viewport
    assert first.hide_render
    assert not second.hide_viewport
    assert scene.camera == second.levitor.camera != first.levitor.camera
    assert [item.name for item in first.levitor.instances] == ["Kept"]
    assert len(second.levitor.instances) == 0
    assert scene.render.resolution_x == 32
    assert len(bpy.data.node_groups) == len(bpy.data.materials) == 1


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "step", ["scene.point_display.show", "scene.camera.use", "scene.point_display.use_own_colours"]
)
def test_placing_that_goes_wrong_at_any_step_changes_nothing(
    stage, addon, monkeypatch, step, first
):
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_cube_add(size=2.0)
    stage.lift()
    photo = stage.lifts.photo_of(scene.levitor.lift)
    if first:
        bpy.ops.wm.read_homefile(use_empty=True)
        bpy.ops.mesh.primitive_cube_add(size=2.0)
        scene = bpy.context.scene
    before = contents()
    points = stage.pure.cloud_of(stage.image, stage.depth, np.zeros((48, 64), np.int32), stage.k)
    part, name = step.rsplit(".", 1)
    right = getattr(module(addon, part), name)

    def fail(*values):
        right(*values)
        raise RuntimeError("no memory")

    monkeypatch.setattr(module(addon, part), name, fail)
    with pytest.raises(RuntimeError, match="no memory"):
        stage.lifts.place(scene, "bad", photo, points, {"uid": "bad"})
    assert contents() == before


def test_a_real_photo_is_lifted_and_undo_brings_back_the_empty_scene(connected, flower):
    before = contents()
    assert bpy.ops.levitor.lift(filepath=str(flower), wait=240.0) == {"FINISHED"}
    scene = bpy.context.scene
    lift = scene.levitor.lift.levitor
    assert scene.levitor.lift.name == "LeviTor flower"
    assert (lift.width, lift.height) == (640, 426)
    assert (lift.depth_model, lift.scene_kind) == ("backdrop", "BACKDROP")
    assert scene.camera.name == "LeviTor Camera"
    bpy.ops.ed.undo()
    assert contents() == before
    assert bpy.context.scene.levitor.lift is None
    assert bpy.context.scene.camera is None
    bpy.ops.ed.redo()
    assert bpy.context.scene.levitor.lift.levitor.width == 640


def test_a_blender_without_the_view_standard_lifts_all_the_same(stage, addon, monkeypatch):
    class Settings:
        view_transform = property(lambda self: "Raw", lambda self, value: self.refuse())

        def refuse(self):
            raise TypeError("enum 'Standard' not found")

    display, rollback = (
        module(addon, "scene.point_display"),
        module(addon, "scene.rollback").Rollback(),
    )
    assert not display.use_own_colours(SimpleNamespace(view_settings=Settings()), rollback)
    monkeypatch.setattr(display, "use_own_colours", lambda scene, rollback: False)
    lift = stage.lift().levitor
    assert lift.notes == "This Blender has no view 'Standard', so colours are not the photo's own."


def test_the_file_browser_shows_what_a_backend_reads(stage, addon):
    formats = module(addon, "link.wire").photo_formats
    operator = bpy.ops.levitor.lift.get_rna_type().properties
    assert operator["filter_glob"].default == formats.PHOTO_GLOB
    assert "filter_image" not in operator  # Blender's own list lacks AVIF, GIF, HEIC
    for field in (operator, bpy.context.scene.levitor.bl_rna.properties):
        assert formats.DEPTH_MAP_WORDS in field["depth_path"].description


def test_settings_offer_what_the_backend_takes_and_the_operators_default(stage, addon):
    messages = module(addon, "link.wire").messages
    lift = messages.LiftRequest(image=messages.Blob(sha256="", size=0, media=""))
    settings = bpy.context.scene.levitor.bl_rna.properties
    operator = bpy.ops.levitor.lift.get_rna_type().properties
    for name in ("horizon", "near", "far", "max_side", "depth_size"):
        default = getattr(lift, name)
        assert settings[name].default == operator[name].default == pytest.approx(default)
    for name in ("depth_model", "segment_model", "clean_edges"):
        assert settings[name].default == operator[name].default == getattr(lift, name)
    # Nothing said: from the photo, which is 0 on the wire and in the operator
    assert settings["fov_from_photo"].default
    assert settings["horizontal_fov"].default == lift.horizontal_fov
    assert operator["horizontal_fov"].default == 0
    assert settings["horizontal_fov"].hard_max == 175
    assert settings["horizon"].hard_max == pytest.approx(0.95)
    assert settings["max_side"].hard_max == messages.Limits().max_side == 4096


def test_paths_of_the_scene_may_be_relative_to_its_file(scene):
    for name in ("photo", "depth_path"):
        prop = scene.levitor.bl_rna.properties[name]
        assert prop.is_path_supports_blend_relative


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """An RGB PNG; without ``rows`` it has a header and no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) if rows else b""
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


def animation() -> bytes:
    """A GIF of two frames, each 16 x 16 pixels of one colour."""
    # Codes of three bits: 4 clears, then two pixels of colour 0, again and again; 5 ends.
    bits = "".join(f"{code:03b}"[::-1] for code in [4, 0, 0] * 128 + [5])
    packed = bytes(int(bits[n : n + 8][::-1], 2) for n in range(0, len(bits), 8))
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 16, 16, 0)
    picture += bytes([2, len(packed)]) + packed + b"\x00"
    header = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    return header + (b"\x21\xf9\x04\x00\x0a\x00\x00\x00" + picture) * 2 + b"\x3b"


BAD = {
    "missing.jpg": (lambda flower: None, "cannot be read: no such file"),
    "empty.jpg": (lambda flower: b"", "is empty"),
    "text.jpg": (
        lambda flower: b"not a photo at all",
        "The photo (18 bytes) is not an image that can be read",
    ),
    "truncated.jpg": (
        lambda flower: flower[: len(flower) // 3],
        "The photo cannot be read: image file is truncated",
    ),
    "one.png": (lambda flower: png(1, 1, b"\x00abc"), "The photo has 1 x 1 pixels"),
    "animated.gif": (lambda flower: animation(), "an animation of 2 frames, not a photo"),
    "huge.png": (lambda flower: png(20_000, 20_000), "the limit is 64 million"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_photo_gets_one_sentence_and_changes_nothing(
    connected, flower, tmp_path, name
):
    data, sentence = BAD[name]
    if (content := data(flower.read_bytes())) is not None:
        (tmp_path / name).write_bytes(content)
    before = contents()
    with pytest.raises(RuntimeError) as raised:
        bpy.ops.levitor.lift(filepath=str(tmp_path / name), wait=240.0)
    assert sentence in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert contents() == before


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(0, "Nothing was found there: the mask has 0 pixels"), (255, "covers the whole photo")],
)
def test_a_mask_of_nothing_or_of_everything_gets_one_sentence_and_changes_nothing(
    connected, flower, tmp_path, value, sentence
):
    bpy.ops.levitor.lift(filepath=str(flower), max_side=64, wait=240.0)
    lift = connected.levitor.lift.levitor
    row = b"\x00" + bytes([value] * 3 * lift.width)
    (tmp_path / "mask.png").write_bytes(png(lift.width, lift.height, row * lift.height))
    before = contents()
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.levitor.pick(mask_path=str(tmp_path / "mask.png"), wait=240.0)
    assert contents() == before


def test_a_far_distance_below_the_near_one_is_refused_with_both_numbers(connected, flower):
    with pytest.raises(RuntimeError, match="Near 5 and far 3"):
        bpy.ops.levitor.lift(filepath=str(flower), near=5.0, far=3.0)


def test_a_picture_rendered_through_the_camera_is_the_photo(stage, addon, tmp_path):
    background = stage.lift(width=64, height=48).levitor.background
    module(addon, "scene.point_display").set_input(background.modifiers[0], "Point Size", 1.5)
    background.update_tag()
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.max_bounces = 1, 0
    scene.cycles.use_denoising = False
    scene.render.filepath = str(tmp_path / "seen.png")
    scene.render.image_settings.file_format = "PNG"
    bpy.ops.render.render(write_still=True)
    seen = bpy.data.images.load(scene.render.filepath)
    pixels = np.empty(64 * 48 * 4, np.float32)
    seen.pixels.foreach_get(pixels)
    rows = pixels.reshape(48, 64, 4)[::-1, :, :3]
    error = np.abs(rows * 255 - stage.image.astype(float)).max(axis=2)
    # The photo is noise and a pixel's one ray goes anywhere within it, so some meet a neighbour.
    assert (error < 1).mean() > 0.8
    assert scene.view_settings.view_transform == "Standard"


def test_solid_views_are_switched_to_show_the_points_colours_and_it_is_said(scene, addon):
    area = max(bpy.context.screen.areas, key=lambda one: one.width * one.height)
    before, area.type = area.type, "VIEW_3D"
    try:
        shading = area.spaces.active.shading
        shading.type = "SOLID"
        said = module(addon, "scene.viewport").show_colours([shading])
        assert shading.type == "MATERIAL"
        assert said.startswith("The 3D view is in Material Preview now, since Solid shows points")
        shading.type = "RENDERED"  # which shows them: it stays, without a word
        assert module(addon, "scene.viewport").show_colours([shading]) == ""
        assert shading.type == "RENDERED"
    finally:
        area.type = before
