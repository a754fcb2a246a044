"""A field for every option of an engine: its limits, its value in the shot, and the way back."""

import bpy
import pytest

from .conftest import link, module


def engines(addon, softness=1.0, choices=("fast", "exact")):
    """An engine with an option of every kind, and one with none."""
    messages = module(addon, "link.wire").messages
    every = [
        ("softness", "Edge Softness", softness, 0.0, 4.0, ()),
        ("steps", "Steps", 25, 1.0, 100.0, ()),
        ("mirror", "Mirror", False, None, None, ()),
        ("mode", "Mode", choices[0], None, None, choices),
        ("prompt", "Prompt", "a photo", None, None, ()),
    ]
    options = tuple(
        messages.EngineOption(
            name=name, label=label, help=f"About {name}", default=default,
            low=low, high=high, choices=choices,
        )
        for name, label, default, low, high, choices in every
    )  # fmt: skip
    return (
        messages.EngineInfo(name="draft", label="Draft", help="", options=options),
        messages.EngineInfo(name="plain", label="Plain", help=""),
    )


@pytest.fixture
def fields(scene, addon):
    """The module of the fields; the scene has those of :func:`engines`."""
    link(addon).disconnect()
    made = module(addon, "scene.options")
    assert made.sync(scene, engines(addon), "one")
    return made


def field(name: str):
    return bpy.context.scene.levitor.engine_options[f"draft.{name}"]


def ui(name: str) -> dict:
    return field(name).id_properties_ui("value").as_dict()


def test_a_field_has_the_kind_limits_default_and_help_of_its_option(fields):
    scene = bpy.context.scene
    assert [item.label for item in fields.of_engine(scene, "draft")] == [
        "Edge Softness", "Steps", "Mirror", "Mode", "Prompt",
    ]  # fmt: skip
    values = [item["value"] for item in fields.of_engine(scene, "draft")]
    assert values == [1.0, 25, False, 0, "a photo"]
    assert [type(value) for value in values] == [float, int, bool, int, str]
    softness, steps = ui("softness"), ui("steps")
    assert (softness["min"], softness["max"], softness["default"]) == (0, 4, 1)
    assert (steps["soft_min"], steps["soft_max"], steps["default"]) == (1, 100, 25)
    assert [item[0] for item in ui("mode")["items"]] == ["fast", "exact"]
    assert {ui(name)["description"] for name in ("mirror", "mode", "prompt")} == {
        "About mirror", "About mode", "About prompt",
    }  # fmt: skip
    assert [field(name).slider for name in ("softness", "prompt")] == [True, False]
    assert fields.of_engine(scene, "plain") == []


def test_only_what_is_not_at_its_default_is_told_to_the_engine(fields):
    scene = bpy.context.scene
    assert fields.changed(scene, "draft") == {}
    field("softness")["value"], field("mode")["value"], field("mirror")["value"] = 0.3, 1, True
    assert fields.changed(scene, "draft") == {"softness": 0.3, "mode": "exact", "mirror": True}
    assert fields.changed(scene, "plain") == {}


def test_values_and_limits_survive_saving_and_opening_without_a_backend(fields, tmp_path):
    field("softness")["value"], field("steps")["value"] = 0.02, 7
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert len(bpy.context.scene.levitor.engine_options) == 0
    bpy.ops.wm.open_mainfile(filepath=path)
    assert fields.changed(bpy.context.scene, "draft") == {"softness": 0.02, "steps": 7}
    assert ui("softness")["max"] == 4
    assert [item[0] for item in ui("mode")["items"]] == ["fast", "exact"]


def test_another_backend_changes_the_fields_and_keeps_what_was_set(fields, addon):
    scene = bpy.context.scene
    field("mode")["value"], field("steps")["value"] = 1, 50
    assert not fields.sync(scene, engines(addon), "one")
    assert fields.sync(scene, engines(addon, softness=2.0, choices=("exact", "slow")), "two")
    assert field("softness")["value"] == 2.0
    assert fields.changed(scene, "draft") == {"steps": 50}
    assert ui("mode")["items"][field("mode")["value"]][0] == "exact"


def test_engines_that_the_backend_has_not_keep_their_fields(fields, addon):
    scene = bpy.context.scene
    plain = engines(addon)[1]
    assert fields.sync(scene, [plain], "two")
    assert len(fields.of_engine(scene, "draft")) == 5


def test_reset_options_sets_every_field_of_the_engine_back_and_can_be_undone(fields):
    field("softness")["value"], field("prompt")["value"] = 3.0, "another"
    bpy.ops.ed.undo_push(message="Set")
    assert bpy.ops.levitor.reset_options() == {"FINISHED"}
    assert fields.changed(bpy.context.scene, "draft") == {}
    assert ui("softness")["max"] == 4
    bpy.ops.ed.undo_push(message="Reset")
    bpy.ops.ed.undo()
    assert fields.changed(bpy.context.scene, "draft") == {"softness": 3.0, "prompt": "another"}


def test_there_is_nothing_to_reset_for_an_engine_without_options(fields):
    bpy.context.scene.levitor.engine = "plain"
    with pytest.raises(RuntimeError, match="This engine has no options"):
        bpy.ops.levitor.reset_options()


def moving_box(stage):
    stage.lift()
    handle = stage.instance("Box", depth=4.0)
    handle.keyframe_insert("location", frame=1)
    handle.location.x += 1
    handle.keyframe_insert("location", frame=9)


def options_of(path, addon):
    wire = module(addon, "link.wire")
    return dict(wire.content.unpack_shot(path.read_bytes())[0].options)


def test_a_saved_shot_holds_what_was_set_and_options_as_json_come_first(
    stage, fields, addon, tmp_path
):
    moving_box(stage)
    path = tmp_path / "a.shot"
    field("softness")["value"] = 2.5
    for given, expected in (
        ({}, {"softness": 2.5}),
        ({"options": '{"steps": 3}'}, {"steps": 3}),
        ({"options": ""}, {}),
    ):
        assert bpy.ops.levitor.save_shot(filepath=str(path), **given) == {"FINISHED"}
        assert options_of(path, addon) == expected


def test_a_backend_gives_every_scene_its_engines_fields_and_renders_with_them(
    connected, stage, addon
):
    scene = bpy.context.scene
    moving_box(stage)
    other = bpy.data.scenes.new("Other")
    module(addon, "link.pump").pump()
    for one in (scene, other):
        assert one.levitor.engine_options["draft.softness"]["value"] == 1.0
    field("softness")["value"] = 2.0
    module(addon, "link.pump").pump()
    assert field("softness")["value"] == 2.0
    assert bpy.ops.levitor.render(wait=240.0) == {"FINISHED"}
    take = next(reversed(link(addon).takes.values()))
    assert take.options["softness"] == 2.0
    field("softness")["value"] = 9.0
    with pytest.raises(RuntimeError, match="Option 'softness' is 9, allowed 0 to 4"):
        bpy.ops.levitor.render(wait=240.0)
