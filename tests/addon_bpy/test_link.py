"""The link: lazy, explicit, without threads, and quiet while Blender must be left alone."""

import socket
import sys
import threading

import bpy
import pytest

from .conftest import PACKAGE, contents, link, module


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_timer_is_registered_and_there_is_no_thread_but_the_main_one(connected, addon):
    assert bpy.app.timers.is_registered(module(addon, "link.pump").beat)
    assert threading.enumerate() == [threading.main_thread()]


def test_the_timer_survives_a_new_file(scene, addon):
    bpy.ops.wm.read_homefile(use_empty=True)
    assert bpy.app.timers.is_registered(module(addon, "link.pump").beat)


def test_another_computer_needs_permission_and_the_sentence_says_where(scene, addon):
    link(addon).disconnect()
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match=r"tcp://192\.0\.2\.7:5599 is another computer.*Online"):
        bpy.ops.levitor.connect(endpoint="tcp://192.0.2.7:5599")
    assert link(addon).client is None


def test_what_is_no_address_is_refused_with_an_example(scene, addon):
    with pytest.raises(RuntimeError, match=r"'localhost' is not an address.*tcp://127\.0\.0\.1"):
        bpy.ops.levitor.connect(endpoint="localhost")


def test_a_backend_that_is_not_there_is_told_with_its_address(scene, addon):
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(RuntimeError, match=f"{endpoint}.*levitor serve"):
        bpy.ops.levitor.connect(endpoint=endpoint, wait=240.0)
    assert not link(addon).connected
    bpy.ops.levitor.disconnect()


def test_rendering_without_a_backend_is_refused_with_a_sentence(stage):
    stage.lift()
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    bpy.ops.levitor.connect(endpoint=endpoint)
    with pytest.raises(RuntimeError, match=endpoint):
        bpy.ops.levitor.render()
    bpy.ops.levitor.disconnect()


def test_the_client_id_is_made_once_and_kept_on_disk(addon):
    prefs = module(addon, "prefs")
    first = prefs.client_id()
    assert len(first) == 32
    assert prefs.client_id() == first
    kept = prefs.user_folder("identity") / "client_id"
    assert kept.read_text() == first
    assert ".user" in kept.parts


PAIRS = [
    ("save", "save_pre", "save_post"),
    ("save", "save_pre", "save_post_fail"),
    ("undo", "undo_pre", "undo_post"),
    ("redo", "redo_pre", "redo_post"),
    ("load", "load_pre", "load_post"),
    ("render", "render_init", "render_cancel"),
]


@pytest.mark.parametrize(("flag", "begin", "end"), PAIRS)
def test_every_moment_raises_its_flag_and_drops_it(addon, flag, begin, end):
    busy = module(addon, "scene.blender_state")
    for event, wanted in ((begin, {flag}), (end, set())):
        for handler in getattr(bpy.app.handlers, event):
            if handler.__module__ == busy.__name__:
                handler(None)
        assert busy.raised == wanted


def test_a_real_save_load_undo_and_redo_raise_their_flags_and_drop_them(stage, tmp_path):
    busy = module(stage.addon, "scene.blender_state")
    seen = {}

    def watch(event):
        handler = bpy.app.handlers.persistent(lambda *_: seen.update({event: set(busy.raised)}))
        getattr(bpy.app.handlers, event).append(handler)
        return handler

    events = ("save_pre", "load_pre", "undo_pre", "redo_pre")
    watching = {event: watch(event) for event in events}
    try:
        path = str(tmp_path / "real.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
        bpy.ops.ed.undo_push(message="Opened")
        bpy.context.scene.levitor.seed = 3
        bpy.ops.ed.undo_push(message="Seed")
        bpy.ops.ed.undo()
        assert bpy.context.scene.levitor.seed == 0
        bpy.ops.ed.redo()
    finally:
        for event, handler in watching.items():
            getattr(bpy.app.handlers, event).remove(handler)
    assert seen == {event: {event.removesuffix("_pre")} for event in events}
    assert busy.raised == set()


def test_nothing_is_placed_while_the_file_is_saved(connected, addon, flower, tmp_path):
    pump, owner = module(addon, "link.pump"), link(addon)
    before, seen = contents(), []

    def while_saving(*_):
        assert pump.pump_until(lambda: owner.held, 240.0)
        pump.pump()
        seen.append((contents() == before, owner.jobs.get(task).state))

    bpy.ops.levitor.lift(filepath=str(flower))
    task = owner.under_way()[-1]
    bpy.app.handlers.save_pre.append(while_saving)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    finally:
        bpy.app.handlers.save_pre.remove(while_saving)
    assert seen == [(True, "running")]
    pump.pump()
    assert owner.jobs.get(task).state == "done"
    assert "LeviTor flower" in bpy.data.collections


def test_a_cloud_that_arrives_in_another_file_is_not_placed(connected, addon, flower):
    pump = module(addon, "link.pump")
    bpy.ops.levitor.lift(filepath=str(flower))
    task = link(addon).under_way()[-1]
    bpy.ops.wm.read_homefile(use_empty=True)
    before = contents()
    assert pump.pump_until(lambda: not link(addon).under_way(), 240.0)
    assert contents() == before
    job = link(addon).jobs.get(task)
    assert (job.state, job.sentence) == ("failed", "Another file was opened before this was done.")


def test_the_pump_goes_on_after_an_error_and_logs_it_once(scene, addon, caplog):
    pump = module(addon, "link.pump")

    class Broken:
        def poll(self):
            raise OSError("a socket that is gone")

    owner = link(addon)
    kept, owner.client = owner.client, Broken()
    try:
        assert [pump.pump(), pump.pump()] == [1.0, 1.0]
    finally:
        owner.client = kept
    assert [record.message for record in caplog.records] == ["the pump failed"]
    assert pump.pump() < 1.0


def test_cancelling_nothing_is_said(scene, addon):
    with pytest.raises(RuntimeError, match="No job is under way"):
        bpy.ops.levitor.cancel()


def test_disabling_removes_everything_and_enabling_brings_it_back(addon):
    beat = module(addon, "link.pump").beat

    def classes():
        return [name for name in dir(bpy.types) if name.startswith("LEVITOR_")]

    names = [
        name for name in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, name), list)
    ]

    def attached():
        return sorted(
            (name, handler.__module__, handler.__qualname__)
            for name in names
            for handler in getattr(bpy.app.handlers, name)
            if handler.__module__.startswith(PACKAGE)
        )

    before = attached()
    assert {module.removeprefix(PACKAGE) for _, module, _ in before} >= {
        ".scene.blender_state",
        ".scene.edit_counter",
    }
    assert len(set(before)) == len(before)  # none is called twice
    assert len(classes()) > 15
    try:
        assert bpy.ops.preferences.addon_disable(module=PACKAGE) == {"FINISHED"}
        assert attached() == []
        assert classes() == []
        assert not bpy.app.timers.is_registered(beat)
        assert not hasattr(bpy.types.Scene, "levitor")
        assert not hasattr(bpy.types.Collection, "levitor")
        assert "lift" not in dir(bpy.ops.levitor)
    finally:
        assert bpy.ops.preferences.addon_enable(module=PACKAGE) == {"FINISHED"}
    assert sys.modules[PACKAGE] is not None
    assert attached() == before


def test_a_backend_of_another_major_version_is_refused_with_both_versions(scene, addon):
    import json

    zmq = sys.modules["zmq"]
    pump = module(addon, "link.pump")
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    try:
        endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        bpy.ops.levitor.connect(endpoint=endpoint)

        def answered():
            while router.poll(0):
                peer, first, *_ = router.recv_multipart()
                asked = json.loads(first)
                reply = {"levitor": [9, 0], "type": "refusal", "id": "", "re": asked["id"]}
                reply["body"] = {"code": "version", "sentence": "We speak 9.0.", "fix": "Update."}
                router.send_multipart([peer, json.dumps(reply | {"arrays": []}).encode()])
            return link(addon).status.phase == "refused"

        assert pump.pump_until(answered, 240.0)
        assert link(addon).status.sentence == "We speak 9.0. Update."
    finally:
        bpy.ops.levitor.disconnect()
        context.destroy(linger=0)


def test_a_folder_that_cannot_be_made_is_told_and_nothing_is_written_elsewhere(addon):
    prefs = module(addon, "prefs")
    blocked = prefs.user_folder("identity").with_name("blocked")
    blocked.write_text("a file where a folder should be")
    try:
        with pytest.raises(module(addon, "link.wire").ShotError) as told:
            prefs.user_folder("blocked")
    finally:
        blocked.unlink()
    assert told.value.sentence == f"The folder {blocked} cannot be made."
    assert "writable" in told.value.fix


def test_lifting_without_a_photo_says_where_to_choose_one(scene):
    with pytest.raises(RuntimeError, match=r"No photo is chosen\. Choose one in the Photo field\."):
        bpy.ops.levitor.lift()


@pytest.mark.parametrize("far", [float("inf"), 1.0, float("nan")])
def test_a_far_distance_that_is_none_is_refused(scene, flower, far):
    with pytest.raises(RuntimeError, match=r"not 0 < near < far <= 1e\+06"):
        bpy.ops.levitor.lift(filepath=str(flower), near=2.0, far=far)


def test_of_25_jobs_that_ended_the_last_20_are_remembered(scene, addon):
    owner, pump = link(addon), module(addon, "link.pump")
    wire = module(addon, "link.wire")
    owner.connect(f"tcp://127.0.0.1:{free_port()}")
    try:
        message = wire.messages.LiftRequest(image=wire.content.blob_of(b"x", "image/png"))
        for _ in range(25):
            handler = pump.ResultHandler(kind="lift", label="x", subject="x", place=lambda *_: None)
            task = owner.start(message, {}, handler)
            owner.cancel(task)
            pump.pump()
            assert owner.jobs.get(task).state == "cancelled"
    finally:
        owner.disconnect()
    assert len(owner.jobs) == len(owner._outcomes) == 20
    assert owner.names == {}
