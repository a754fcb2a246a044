"""Clicks of a pick: which the next one adds to, and how picking ends."""

from types import SimpleNamespace

import bpy
import pytest

from .conftest import link, module


@pytest.fixture
def pick(stage, addon):
    """Picking as if it had just begun; there is no window here that could send it events."""
    stage.lift()
    operator = module(addon, "ops.pick")
    lift = bpy.context.scene.levitor.lift.levitor
    said, ended = [], []
    one = SimpleNamespace(
        _before=lift.pick,
        _begun=operator._state(lift),
        _sent=operator._NOTHING,
        _drag=None,
        _has_place=lambda context: True,
        report=lambda kind, sentence: said.append(sentence),
        cancel=ended.append,
    )
    methods = operator.LEVITOR_OT_pick
    one._so_far = lambda context: methods._so_far(one, context)
    one._take_back = lambda context: methods._take_back(one, context)
    one.event = lambda **what: methods._modal(
        one,
        bpy.context,
        SimpleNamespace(**{"value": "PRESS", "ctrl": False, "oskey": False, "shift": False} | what),
    )
    one.said, one.ended, one.module = said, ended, operator
    return one


def answer(*clicks, box=(0.0,) * 4):
    """What placing an answer leaves in the lift."""
    lift = bpy.context.scene.levitor.lift.levitor
    lift.clicks.clear()
    for x, y, positive in clicks:
        one = lift.clicks.add()
        one.x, one.y, one.positive = x, y, positive
    lift.box, lift.picked, lift.pick = box, 9, f"{clicks}"
    bpy.ops.ed.undo_push(message="Pick")


def test_what_was_picked_before_is_not_added_to(stage, addon, pick):
    answer((1.0, 2.0, True))
    pick._before = bpy.context.scene.levitor.lift.levitor.pick
    assert pick._so_far(bpy.context) == ([], None)


def test_a_click_that_was_undone_is_not_sent_again_and_one_that_was_redone_is(pick):
    bpy.ops.ed.undo_push(message="Lift")
    answer((1.0, 2.0, True))
    answer((1.0, 2.0, True), (3.0, 4.0, False))
    assert len(pick._so_far(bpy.context)[0]) == 2
    assert pick.event(type="Z", ctrl=True) == {"PASS_THROUGH"}
    bpy.ops.ed.undo()  # what Blender makes of the event
    assert pick._so_far(bpy.context) == ([(1.0, 2.0, True)], None)
    assert pick.event(type="Z", ctrl=True, shift=True) == {"PASS_THROUGH"}
    bpy.ops.ed.redo()
    assert len(pick._so_far(bpy.context)[0]) == 2
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    assert pick._so_far(bpy.context) == ([], None)


def test_undo_goes_no_further_back_than_to_where_picking_began(pick):
    assert pick.event(type="Z", ctrl=True) == {"RUNNING_MODAL"}
    assert pick.said == ["There is no click to take back; Esc ends picking."]


def test_undo_takes_back_a_click_that_is_still_under_way(pick, addon, connected, flower):
    pump = module(addon, "link.pump")
    bpy.ops.levitor.lift(filepath=str(flower), max_side=160, wait=60.0)
    lift = bpy.context.scene.levitor.lift.levitor
    pick._before, pick._begun = lift.pick, pick.module._state(lift)
    bpy.ops.levitor.pick(x=80, y=50)  # sent, and not waited for
    task = link(addon).pending("segment")[-1]
    pick._sent = (task, ((80.0, 50.0, True),), None)
    assert pick._so_far(bpy.context) == ([(80.0, 50.0, True)], None)
    assert pick.event(type="Z", ctrl=True) == {"RUNNING_MODAL"}
    assert pick._so_far(bpy.context) == ([], None)
    assert pump.pump_until(lambda: not link(addon).pending("segment"), 60)
    assert lift.picked == 0


def test_a_request_that_failed_leaves_the_clicks_of_before(pick):
    answer((1.0, 2.0, True))
    pick._sent = ("a task that is over", ((1.0, 2.0, True), (60.0, 40.0, True)), None)
    assert pick._so_far(bpy.context) == ([(1.0, 2.0, True)], None)


@pytest.mark.parametrize("key", ["ESC", "RIGHTMOUSE", "RET", "NUMPAD_ENTER"])
def test_keys_that_end_picking(pick, key):
    assert pick.event(type=key) == {"FINISHED"}
    assert pick.ended == [bpy.context]


def test_a_press_of_the_button_while_it_is_on_ends_picking_at_the_next_event(pick, monkeypatch):
    monkeypatch.setattr(pick.module, "_ending", True)
    assert "FINISHED" in pick.event(type="MOUSEMOVE", value="NOTHING")
    assert pick.ended == [bpy.context]


@pytest.mark.parametrize("what", ["workspace", "area", "file"])
def test_picking_ends_where_it_has_nothing_to_go_on_with(stage, addon, what):
    stage.lift()
    has_place = module(addon, "ops.pick").LEVITOR_OT_pick._has_place
    me = SimpleNamespace(_workspace="Layout")
    area = SimpleNamespace(type="VIEW_3D")
    context = SimpleNamespace(
        workspace=SimpleNamespace(name="Layout"),
        scene=bpy.context.scene,
        window=SimpleNamespace(screen=SimpleNamespace(areas=[area])),
    )
    assert has_place(me, context)
    if what == "workspace":
        context.workspace.name = "Video Editing"
    elif what == "area":
        area.type = "IMAGE_EDITOR"
    else:
        context.scene.levitor.lift = None
    assert not has_place(me, context)
