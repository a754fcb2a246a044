"""A real backend with an engine that has every kind of option: what the panel draws and sends."""

from dataclasses import replace

import bpy
import pytest

from .conftest import WAIT, Page, drawn, link, module


@pytest.fixture
def toy(stage, addon, richer_endpoint):
    """A scene with three instances, the second static, and the toy engine chosen."""
    link(addon).disconnect()
    assert bpy.ops.levitor.connect(endpoint=richer_endpoint, wait=WAIT) == {"FINISHED"}
    stage.lift()
    for n, name in enumerate(("Box", "Rock", "Ball")):
        left = 2 + 10 * n
        stage.instance(name, columns=slice(left, left + 8), depth=4.0, moving=name != "Rock")
    for name in ("Box", "Ball"):
        handle = items()[name].handle
        handle.keyframe_insert("location", frame=1)
        handle.location.x += 0.2
        handle.keyframe_insert("location", frame=9)
    bpy.context.scene.levitor.engine = "toy"
    module(addon, "link.pump").pump()
    yield bpy.context.scene
    link(addon).disconnect()
    bpy.ops.wm.read_homefile(use_empty=True)


def items():
    return bpy.context.scene.levitor.lift.levitor.instances


def field(name):
    return bpy.context.scene.levitor.engine_options[f"toy.{name}"]


def choose(*names):
    for name in names:
        bpy.ops.levitor.choose_instance(option="toy.which", instance=name)


def sent(addon, tmp_path):
    """The options of the shot as it is saved."""
    path = tmp_path / "a.shot"
    assert bpy.ops.levitor.save_shot(filepath=str(path)) == {"FINISHED"}
    return dict(module(addon, "link.wire").content.unpack_shot(path.read_bytes())[0].options)


class Fields(Page):
    """Keeps the names of fields and buttons too, in brackets where they are pressed."""

    def prop(self, data, name, text="", **more):
        self.words.append(text)

    def operator(self, name, text="", depress=False, **more):
        self.words.append(f"[{text}]" if depress else text)
        return super().operator(name)


def fields(addon, panel="LEVITOR_PT_render"):
    """What stands on a panel, in its order."""
    return drawn(addon, panel, Fields())


def test_options_stand_under_headings_and_the_rare_ones_in_a_closed_panel(toy, addon):
    said = fields(addon)
    assert "Prompt Quality Mode Look Instances: all that move Box Ball Tint" in said
    assert "Rock" not in said  # it stays
    assert "Mirror" not in said
    assert "Softness" not in said
    assert fields(addon, "LEVITOR_PT_advanced").split() == ["Mirror", "Note"]
    panel = module(addon, "ui.panels").LEVITOR_PT_advanced
    assert panel.bl_options == {"DEFAULT_CLOSED"}
    assert panel.poll(bpy.context)
    toy.levitor.engine = "draft"
    module(addon, "scene.panel_state").refresh()
    assert not panel.poll(bpy.context)


def test_an_option_is_drawn_where_another_has_one_of_its_values(toy, addon):
    field("mode")["value"] = 1
    assert "Mode Softness" in fields(addon)
    field("mirror")["value"] = True
    said = fields(addon, "LEVITOR_PT_advanced")
    assert said.split() == ["Mirror", "Note", "Randomness", "Seeds"]


def test_an_option_that_is_not_drawn_is_not_sent_and_keeps_its_value(toy, addon, tmp_path):
    field("mode")["value"], field("softness")["value"] = 1, 0.75
    field("mirror")["value"], field("seeds")["value"] = True, 4
    assert sent(addon, tmp_path) == {"mode": "soft", "softness": 0.75, "mirror": True, "seeds": 4}
    field("mode")["value"], field("mirror")["value"] = 0, False
    assert sent(addon, tmp_path) == {}
    field("mode")["value"] = 2
    assert sent(addon, tmp_path) == {"mode": "fine", "softness": 0.75}


def test_a_reset_sets_back_what_is_not_drawn_too(toy, addon):
    field("softness")["value"] = 0.75  # drawn in another mode
    assert bpy.ops.levitor.reset_options() == {"FINISHED"}
    assert field("softness")["value"] == 0.5


def test_a_choice_follows_its_instances_through_names_and_places(toy, addon, tmp_path):
    choose("Ball")
    assert "Instances: Box [Ball]" in fields(addon)
    assert sent(addon, tmp_path) == {"which": "2"}  # moving ones count first
    items()["Ball"].name = "Marble"
    items().move(2, 0)
    assert "[Marble] Box" in fields(addon)
    assert sent(addon, tmp_path) == {"which": "1"}
    items()["Rock"].moving = True
    assert sent(addon, tmp_path) == {"which": "1"}
    choose("Box")
    assert sent(addon, tmp_path) == {"which": "1,2"}
    choose("Marble", "Box")
    assert sent(addon, tmp_path) == {}


def test_a_choice_survives_the_file_and_another_backend_and_is_reset(toy, addon, tmp_path):
    choose("Ball")
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    options = module(addon, "scene.options")
    scene = bpy.context.scene
    assert options.changed(scene, "toy") == {"which": "2"}
    assert options.sync(scene, link(addon).engines(), "another")
    assert options.changed(scene, "toy") == {"which": "2"}
    assert bpy.ops.levitor.reset_options() == {"FINISHED"}
    assert options.changed(scene, "toy") == {}


def test_a_removed_instance_is_no_longer_chosen(toy, addon):
    choose("Box", "Ball")
    bpy.ops.levitor.remove_instance(instance="Ball")
    assert module(addon, "scene.options").changed(toy, "toy") == {"which": "1"}


def test_a_chosen_instance_that_is_set_to_stay_is_not_sent_until_it_moves_again(
    toy, addon, tmp_path
):
    choose("Box", "Ball")
    bpy.ops.levitor.reset_handle(instance="Ball", clear_keys=True)
    items()["Ball"].moving = False
    assert sent(addon, tmp_path) == {"which": "1"}
    assert "Instances: [Box] Tint" in fields(addon)
    items()["Ball"].moving = True
    assert sent(addon, tmp_path) == {"which": "1,2"}


def stay(name):
    bpy.ops.levitor.reset_handle(instance=name, clear_keys=True)
    items()[name].moving = False


LOST = {
    "removed": lambda stage: bpy.ops.levitor.remove_instance(instance="Ball"),
    "set to stay": lambda stage: stay("Ball"),
}


@pytest.mark.parametrize("how", LOST)
def test_a_choice_of_which_nothing_is_left_is_refused_and_never_means_all(
    toy, stage, addon, tmp_path, how
):
    choose("Ball")
    LOST[how](stage)
    said = "Of the instances chosen for 'Instances', none is in 'LeviTor test' and moves"
    with pytest.raises(RuntimeError, match=said):
        sent(addon, tmp_path)
    assert module(addon, "scene.options").sync(toy, link(addon).engines(), "another")
    page = fields(addon)
    assert said in page
    assert "Instances: all that move" not in page
    choose("Box")
    assert sent(addon, tmp_path) == {"which": "1"}
    assert said not in fields(addon)


def test_a_lost_choice_is_cleared_by_its_button_and_by_reset_options(toy, addon, tmp_path):
    for clear in (
        lambda: bpy.ops.levitor.clear_choice(option="toy.which"),
        bpy.ops.levitor.reset_options,
    ):
        items()["Ball"].moving = True
        choose("Ball")
        stay("Ball")
        assert clear() == {"FINISHED"}
        assert sent(addon, tmp_path) == {}
        assert "Instances: all that move" in fields(addon)


def test_a_choice_in_another_lift_is_refused_here_and_holds_there(toy, stage, addon):
    options = module(addon, "scene.options")
    first = toy.levitor.lift
    choose("Ball")
    stage.lift(name="second")
    stage.instance("Box")
    assert list(options.lost_choices(toy, "toy")) == ["which"]
    bpy.ops.levitor.choose_lift(lift=first.name)
    assert options.lost_choices(toy, "toy") == {}
    assert options.changed(toy, "toy") == {"which": "2"}


def test_a_lost_choice_of_an_option_that_is_of_no_use_or_of_another_engine_is_no_trouble(
    toy, addon
):
    options = module(addon, "scene.options")
    choose("Ball")
    stay("Ball")
    assert options.lost_choices(toy, "draft") == {}
    option = module(addon, "core.options").unpacked(field("which").option)
    field("which").option = module(addon, "core.options").packed(
        replace(option, visible_if=("mode", "soft"))
    )
    assert options.lost_choices(toy, "toy") == {}


def test_live_previews_see_that_instances_are_chosen_and_options_are_reset(toy, addon):
    live = module(addon, "scene.live_preview")
    seen = [live._settings_of(toy)]

    def changed():
        seen.append(live._settings_of(toy))
        return seen[-1] != seen[-2]

    assert not changed()
    choose("Ball")
    assert changed()
    choose("Box", "Ball")
    assert changed()
    field("tint")["value"] = 0.75
    assert changed()
    bpy.ops.levitor.reset_options()
    assert changed()
    choose("Ball")
    stay("Ball")
    assert changed()
    bpy.ops.levitor.clear_choice(option="toy.which")
    assert changed()
    assert not changed()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"option": "toy.mode"}, "There is no choice of instances 'toy.mode'"),
        pytest.param({"instance": "Rock"}, "'Rock' is set to stay. Switch Moving on first"),
        pytest.param({"instance": "Cat"}, "There is no instance 'Cat'. There are: Box, Rock, Ball"),
    ],
)
def test_what_cannot_be_chosen_is_said(toy, given, said):
    with pytest.raises(RuntimeError, match=said):
        bpy.ops.levitor.choose_instance(**{"option": "toy.which", "instance": "Box"} | given)


def test_samples_that_the_engine_does_not_make_are_refused_and_the_panel_says_so(
    toy, addon, tmp_path
):
    toy.levitor.frames = 7
    sentence = "The engine 'toy' makes 1, 5, 9 ... 81 frames, the shot has 7. Sample the shot in 5"
    assert sentence in drawn(addon, "LEVITOR_PT_render")
    with pytest.raises(RuntimeError, match=r"makes 1, 5, 9 \.\.\. 81 frames"):
        bpy.ops.levitor.save_shot(filepath=str(tmp_path / "a.shot"))
    toy.levitor.frames = 9
    assert "makes 1, 5" not in drawn(addon, "LEVITOR_PT_render")


def test_a_take_is_rendered_with_text_and_instances_and_as_many_samples_as_it_makes(toy, addon):
    toy.frame_end = 8  # the nearest number of samples is 9
    field("prompt")["value"] = "red,\nvery red"
    choose("Ball")
    assert bpy.ops.levitor.render(wait=WAIT) == {"FINISHED"}
    take = next(reversed(link(addon).takes.values()))
    assert take.options["prompt"] == "red,\nvery red"
    assert take.options["which"] == "2"


def test_boxes_are_asked_for_before_anything_is_sent(toy):
    for item in items():
        item.moving = False
    for name in ("Box", "Ball"):
        bpy.ops.levitor.reset_handle(instance=name, clear_keys=True)
    eye = toy.camera
    eye.keyframe_insert("location", frame=1)
    eye.location.x += 0.2
    eye.keyframe_insert("location", frame=9)
    with pytest.raises(RuntimeError, match="'toy' follows instances that move, and the shot has 0"):
        bpy.ops.levitor.render(wait=WAIT)
