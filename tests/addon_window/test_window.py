"""A real Blender window, a real mouse, a real server: what an artist does first.

Run by ``make window-test``, which makes the root with Debian's Blender and sets LEVITOR_WINDOW to
the command that enters it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

import build_addon
from backend.perception import tiny

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "window"
HERE = Path(__file__).parent

KILL, RESTART = "kill_server", "restart_server"
"""Files by which the driver, which is inside the root, asks for what it cannot do itself."""

pytestmark = [pytest.mark.window, pytest.mark.timeout(1260)]


class Server:
    """A ``levitor serve`` of its own, which can be killed and started again at the same address."""

    def __init__(self, state: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        weights = tiny.make_tiny_sam(state.parent / f"{state.name}-sam")
        command = [sys.executable, "-m", "backend", "serve", "--port", str(self.port)]
        self.command = [*command, "--state", str(state), "--weights", f"sam-vit-base={weights}"]
        self.start()

    def start(self) -> None:
        with (RESULTS / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        wait_for_listener(self.process, self.port)

    def obey(self, share: Path) -> None:
        """Do what the driver asks for by a file."""
        if (share / KILL).exists():
            (share / KILL).unlink()
            self.process.kill()
            self.process.wait(30)
        if (share / RESTART).exists():
            (share / RESTART).unlink()
            self.start()


@contextmanager
def server(state: Path):
    one = Server(state)
    try:
        yield one
    finally:
        one.process.terminate()
        one.process.wait(30)


def wait_for_listener(process: subprocess.Popen, port: int, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"no server on port {port}, see {RESULTS / 'server.log'}")


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict:
    """What the driver saw while it lifted a photo of 240 x 160 pixels by mouse."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    share = tmp_path_factory.mktemp("share")
    tools = Path(os.environ["LEVITOR_SHARED_TOOLS"]) / "blender_window"
    shutil.copytree(tools, share / "blw")
    for name in ("driver.py", "handling.py", "horizon_line.py", "losing.py", "watching.py"):
        shutil.copy(HERE / name, share)
    package = build_addon.build(share, "cp312-abi3")
    photo = cv2.resize(load_sample_image("flower.jpg"), (240, 160), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(share / "flower.jpg"), photo[:, :, ::-1])

    with server(tmp_path_factory.mktemp("state")) as backend:
        inside = {"zip": package.name, "photo": "flower.jpg"}
        plan = {name: f"/share/{value}" for name, value in inside.items()}
        (share / "plan.json").write_text(json.dumps(plan | {"endpoint": backend.endpoint}))
        command = [os.environ["LEVITOR_WINDOW"], "blw", "timeout", "1200", "python3"]
        with subprocess.Popen(
            [*command, "/share/driver.py", "/share/plan.json"],
            env=os.environ | {"BLW_SHARE": str(share)},
        ) as driver:
            while driver.poll() is None:
                backend.obey(share)
                time.sleep(0.05)
        assert driver.returncode == 0
    for path in share.iterdir():
        if path.suffix in {".png", ".jpg", ".log", ".json"}:
            shutil.copy(path, RESULTS)
    facts = json.loads((share / "facts.json").read_text())
    assert "error" not in facts, f"{facts['error']}\n(see {RESULTS})"
    return facts


def picture(name: str) -> np.ndarray:
    return cv2.imread(str(RESULTS / name)).astype(np.float32)


def test_the_zip_is_installed_and_enabled_and_brings_its_own_wheel(seen):
    assert seen["enabled"]
    assert "/extensions/.local/" in seen["zmq"], "another zmq hides the wheel of the zip"


def test_a_click_on_lift_makes_a_point_for_each_of_the_photos_pixels(seen):
    assert seen["size"] == [160, 240]
    assert seen["points"] == 160 * 240
    assert seen["depth_model"]


def test_the_horizon_is_a_light_line_with_a_dark_rim_while_it_is_edited(seen):
    left, top, right, bottom = seen["frame"]
    inside = (slice(top + 5, bottom - 5), slice(left + 5, right - 5))
    without = picture(seen["no_horizon"])[inside]
    for height, name in seen["horizons"]:
        found = picture(name)[inside]
        changed = np.abs(found - without).max(2).mean(1)
        row = round(height * (bottom - top)) - 5
        assert abs(int(changed.argmax()) - row) <= 3
        line = found[row - 5 : row + 6].mean((1, 2))
        assert line.max() > 200
        assert line.min() < 40


def test_the_view_looks_through_the_camera_that_took_the_photo(seen):
    assert seen["camera"]
    assert seen["looking"] == "CAMERA"


def test_the_screenshots_are_not_black_and_the_view_has_changed(seen):
    before, after = picture(seen["before"]), picture(seen["after"])
    assert before.shape == after.shape == (900, 1600, 3)
    assert before.mean() > 5
    assert after.mean() > 5
    left, top, right, bottom = seen["frame"]
    change = np.abs(after - before)[top:bottom, left:right].max(-1)
    assert (change > 16).mean() > 0.5


def test_what_the_camera_shows_is_the_photo(seen):
    left, top, right, bottom = seen["frame"]
    inside = picture(seen["after"])[top:bottom, left:right]
    shown = cv2.resize(inside, (240, 160), interpolation=cv2.INTER_AREA)
    photo = picture("flower.jpg")
    alike = np.corrcoef(shown.ravel(), photo.ravel())[0, 1]
    assert alike > 0.9


def test_a_box_dragged_with_the_mouse_picks_the_flower_in_it(seen):
    expected = [0.22 * 240, 0.14 * 160, 0.76 * 240, 0.88 * 160]
    assert all(abs(a - b) < 1.0 for a, b in zip(seen["box"], expected, strict=True))
    # The whole photo's dahlia has 58,500 of 640 x 426 pixels
    assert 0.18 < seen["picked"] / (240 * 160) < 0.25


def test_tab_goes_through_the_masks_of_a_click_and_edits_no_points(seen):
    shown = [index for index, _ in seen["masks"]]
    # A network of random weights has two or three masks that differ
    assert shown in ([0, 1, 2, 1], [0, 1, 0, 1])
    assert seen["masks"][1] == seen["masks"][3]
    assert len(dict(seen["masks"])) == len({tuple(one) for one in seen["masks"]})
    assert seen["mode"] == "OBJECT"


def test_a_click_that_was_undone_is_not_sent_again_with_the_next(seen):
    first, second, third = ([108, 72, True], [144, 96, True], [120, 56, True])
    assert [len(clicks) for clicks in seen["clicks"]] == [1, 2, 2]
    for told, wanted in zip(seen["clicks"][2], (first, third), strict=True):
        assert all(abs(a - b) <= 1 for a, b in zip(told, wanted, strict=True))
    assert second not in seen["clicks"][2]


def test_a_second_press_of_pick_ends_it_and_none_is_left(seen):
    assert seen["running"] == [["LEVITOR_OT_pick"], []]


def test_a_click_on_the_flower_selects_its_handle_and_g_moves_it(seen):
    assert seen["clicked"] == [["Flower Handle"], "Flower Handle"]
    assert seen["moved"][0] > 0.01
    assert seen["background"] == []


def test_what_x_or_the_button_deletes_is_background_again_and_undo_brings_it_back(seen):
    before, healed, undone, removed = seen["whole"]
    assert before[0] == undone[0] == ["Flower"]
    assert before[1] == undone[1] < 240 * 160
    assert healed == removed == [[], 240 * 160]


@pytest.mark.parametrize("time", ["watching", "watching_again"])
def test_watch_take_shows_the_take_from_its_start_and_plays_it(seen, time):
    assert seen[time]["scene"], "the sequencer shows another scene, or none"
    assert set(seen[time]["frames"]) <= set(range(1, 13))
    assert picture(seen[time]["picture"]).mean() > 5  # the driver found the photo in it


def test_watch_take_adds_a_workspace_once_and_uses_it_again(seen):
    assert seen["added_workspaces"] == seen["added_workspaces_again"] == 1
    assert seen["watching"]["workspace"] == seen["watching_again"]["workspace"]


def test_a_view_in_solid_shading_shows_the_points_colours_after_a_lift(seen):
    assert (seen["shading_before"], seen["shading"]) == ("SOLID", "MATERIAL")


def test_a_render_whose_server_dies_reads_lost_and_then_what_became_of_it(seen):
    activity, seconds_left, sentence = seen["lost_row"]
    assert (activity, seconds_left) == ("lost", None)
    assert sentence
    state, told = seen["row_after_return"]
    assert state == "failed"
    assert told


def test_nothing_went_wrong_in_blender_on_the_way(seen):
    assert seen["new_objects"] > 0
    assert "Traceback" not in (RESULTS / "blender.log").read_text()
