"""Drives a real Blender with real pointer events; runs inside the window root, under Xvfb.

    python3 driver.py PLAN.json

The plan names the zip, the backend's endpoint and the photo, as paths seen in here. What Blender
made of it is written to ``facts.json`` beside the plan, with two screenshots; the test outside
judges them. Standard library only: in here the project is not installed.

Nothing waits a fixed time: each wait is for a state and has a limit. Buttons are found by pointing
at the sidebar and asking Blender which operator is under the pointer, not by counting pixels.
"""

import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONTROL = "/share/blw/ctl.py"
SIZE = (1600, 900)
DRAGGED = ((0.22, 0.14), (0.76, 0.88))
"""Two corners of a box around the flower, as shares of the photo."""
MODULE = "bl_ext.user_default.levitor"
ROW = 9  # pixels between two looks; a row of buttons is about 26 high

# The button under the pointer, as the call it would make; '' where there is none.
BUTTON_UNDER_POINTER = """
window, area, regions, space = view3d()
found = ''
with bpy.context.temp_override(window=window, area=area, region=regions['UI']):
    if bpy.ops.ui.copy_python_command_button.poll():
        bpy.ops.ui.copy_python_command_button()
        found = window and bpy.context.window_manager.clipboard
print(repr(found))
"""

# Left, top, right and bottom of what the camera sees, in pixels of the screen, y downwards.
CAMERA_FRAME = f"""
from bpy_extras.view3d_utils import location_3d_to_region_2d
window, area, regions, space = view3d()
scene, region = bpy.context.scene, regions['WINDOW']
corners = [scene.camera.matrix_world @ v for v in scene.camera.data.view_frame(scene=scene)]
flat = [location_3d_to_region_2d(region, space.region_3d, corner) for corner in corners]
xs, ys = [region.x + p.x for p in flat], [{SIZE[1]} - region.y - p.y for p in flat]
print([round(v) for v in (min(xs), min(ys), max(xs), max(ys))])
"""


class Blender:
    """One Blender with a window, answering snippets of Python."""

    def __init__(self, user: str, log: Path) -> None:
        self.control = Path(tempfile.mkdtemp(prefix="control_"))
        self.count = 0
        environment = os.environ | {"BLENDER_USER_RESOURCES": user, "BLW_CTL": str(self.control)}
        geometry = ["--window-geometry", "0", "0", *map(str, SIZE)]
        self.log = log.open("w")
        self.process = subprocess.Popen(
            ["blender", "--gpu-backend", "opengl", *geometry, "--python", CONTROL],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=environment,
        )

    def run(self, code: str, limit: float = 120.0) -> str:
        """Run ``code`` in Blender's main thread; the last line that it printed."""
        self.count += 1
        base = self.control / f"{self.count:06d}"
        base.with_suffix(".new").write_text(code)
        base.with_suffix(".new").rename(base.with_suffix(".py"))
        answer = base.with_suffix(".out")

        def answered() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"Blender ended with {self.process.returncode}")
            return answer.exists()

        wait_until(answered, limit, f"an answer to {code.strip()[:60]!r}")
        text = answer.read_text().strip()
        if "Traceback" in text:
            raise RuntimeError(text)
        return text.splitlines()[-1] if text else ""

    def value(self, expression: str) -> object:
        return ast.literal_eval(self.run(f"print(repr({expression}))"))

    def wait(self, expression: str, limit: float = 30.0) -> object:
        return wait_until(lambda: self.value(expression), limit, expression)

    def open_tab(self, tab: str) -> tuple[int, int, int, int]:
        """Show a tab of the sidebar; (left, top, right, bottom) of it, y downwards."""
        self.run("w, a, r, s = view3d(); s.show_region_ui = True; a.tag_redraw()")
        self.wait("view3d()[2]['UI'].width > 1")

        def chosen() -> bool:  # the tabs are there only after the sidebar was drawn once
            choose = f"r['UI'].active_panel_category = {tab!r}"
            self.run(
                f"w, a, r, s = view3d()\ntry: {choose}\nexcept TypeError: pass\na.tag_redraw()"
            )
            return self.value("view3d()[2]['UI'].active_panel_category") == tab

        wait_until(chosen, 30, f"the tab {tab}")
        x, y, width, height = ast.literal_eval(
            self.run("u = view3d()[2]['UI']; print((u.x, u.y, u.width, u.height))")
        )
        return x, SIZE[1] - y - height, x + width, SIZE[1] - y

    def point_at_button(self, command: str, sidebar: tuple[int, int, int, int]) -> None:
        """Move the pointer onto the button that calls ``command``."""
        left, top, right, bottom = sidebar
        # Two columns, should the button share its row; left of the tabs at the right edge.
        columns = [left + (right - left) * part // 10 for part in (4, 7)]

        def found() -> bool:
            return any(
                self.rests_on(command, x, y) for y in range(top + 20, bottom, ROW) for x in columns
            )

        def found_below() -> bool:  # the sidebar may be longer than the window is high
            if not found():
                subprocess.run(["xdotool", "click", "--repeat", "8", "5"], check=True)
            return found()

        wait_until(found_below, 120, f"a button that calls {command}")

    def press_pick(self, on: bool = True) -> None:
        """Click Pick until picking is on, or off: a busy machine now and then loses a click."""
        running = "any(w.modal_operators.keys() for w in bpy.context.window_manager.windows)"
        for left in (2, 1, 0):
            self.point_at_button("bpy.ops.levitor.pick(", self.open_tab("LeviTor"))
            subprocess.run(["xdotool", "click", "1"], check=True)
            try:
                self.wait(f"{running} is {on}", limit=15)
                return
            except RuntimeError:
                if not left:
                    raise

    def rests_on(self, command: str, x: int, y: int) -> bool:
        # Blender looks for the button under the pointer when it moves, hence two steps.
        move_pointer(x - 3, y)
        move_pointer(x, y)
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            if ast.literal_eval(self.run(BUTTON_UNDER_POINTER)).startswith(command):
                return True
        return False

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def wait_until(state, limit: float, what: str):
    """The first true answer of ``state()``, asked until ``limit`` seconds are over."""
    end = time.monotonic() + limit
    while not (answer := state()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited {limit:.0f} s in vain for {what}")
        time.sleep(0.02)
    return answer


def move_pointer(x: int, y: int) -> None:
    subprocess.run(["xdotool", "mousemove", str(x), str(y)], check=True)


def screenshot(path: Path) -> str:
    # From the X server: Blender's own screenshot is black on this software renderer.
    subprocess.run(["import", "-window", "root", str(path)], check=True)
    return path.name


def likeness(path: Path, frame: tuple[int, int, int, int], photo: Path) -> float:
    """Correlation of the photo with a part of a screenshot taken now into ``path``."""
    screenshot(path)
    left, top, right, bottom = frame
    crop = ["-crop", f"{right - left}x{bottom - top}+{left}+{top}", "+repage"]
    seen, wanted = small(path, crop), small(photo, [])
    if min(len(set(seen)), len(set(wanted))) < 2:
        return 0.0
    return statistics.correlation(seen, wanted)


def small(path: Path, options: list[str]) -> list[float]:
    """The picture's values at 24 x 16 pixels."""
    command = ["convert", str(path), *options, "-resize", "24x16!", "-depth", "8", "rgb:-"]
    return [float(b) for b in subprocess.run(command, check=True, capture_output=True).stdout]


def install(package: str, user: str) -> str:
    """Install the zip as a user does from the command line, and write the preferences."""
    command = ["blender", "--factory-startup", "--command", "extension", "install-file"]
    result = subprocess.run(
        [*command, "-r", "user_default", "-e", package],
        env=os.environ | {"BLENDER_USER_RESOURCES": user},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"Blender did not install {package}: {result.stdout}{result.stderr}")
    return result.stdout


def lift_by_mouse(blender: Blender, plan: dict, folder: Path, facts: dict) -> None:
    """Enter the photo, click Lift, and wait for the point cloud."""
    facts["version"] = blender.run("print(bpy.app.version_string)", limit=300)
    modules = "__import__('sys').modules"
    facts["enabled"] = blender.value(f"{MODULE!r} in {modules}")
    blender.run(
        f"bpy.context.preferences.addons[{MODULE!r}].preferences.endpoint = {plan['endpoint']!r}\n"
        f"bpy.context.scene.levitor.photo = {plan['photo']!r}\n"
        "bpy.context.scene.levitor.segment_model = 'offline'\n"
        "bpy.context.scene.levitor.click_model = 'offline'"
    )
    sidebar = blender.open_tab("LeviTor")
    blender.point_at_button("bpy.ops.levitor.lift(", sidebar)
    facts["before"] = screenshot(folder / "before.png")
    facts["shading_before"] = blender.value("view3d()[3].shading.type")
    objects = blender.value("len(bpy.data.objects)")
    start = time.monotonic()
    subprocess.run(["xdotool", "click", "1"], check=True)
    blender.wait("bpy.context.scene.levitor.lift is not None", limit=120)
    facts["seconds"] = time.monotonic() - start
    facts["zmq"] = blender.value(f"getattr({modules}.get('zmq'), '__file__', '')")
    facts["new_objects"] = blender.value("len(bpy.data.objects)") - objects
    lift = "bpy.context.scene.levitor.lift.levitor"
    facts["points"] = blender.value(f"len({lift}.background.data.vertices)")
    facts["size"] = blender.value(f"({lift}.height, {lift}.width)")
    facts["depth_model"] = blender.value(f"{lift}.depth_model")
    facts["camera"] = blender.value(f"bpy.context.scene.camera == {lift}.camera")
    facts["looking"] = blender.value("view3d()[3].region_3d.view_perspective")
    facts["shading"] = blender.value("view3d()[3].shading.type")
    facts["frame"] = frame = ast.literal_eval(blender.run(CAMERA_FRAME))
    after = folder / "after.png"
    # Blender compiles shaders first, which takes a software renderer a while: grey until then.
    photo = Path(plan["photo"])
    wait_until(lambda: likeness(after, frame, photo) > 0.9, 240, "the photo to be seen")
    facts["after"] = after.name


def pick_by_mouse(blender: Blender, folder: Path, facts: dict) -> None:
    """Click Pick, drag a box around the flower, take a click away, leave with Esc."""
    blender.press_pick()
    lift = "bpy.context.scene.levitor.lift.levitor"
    left, top, right, bottom = facts["frame"]

    def at(x: float, y: float) -> tuple[int, int]:
        return round(left + x * (right - left)), round(top + y * (bottom - top))

    begin, end = at(*DRAGGED[0]), at(*DRAGGED[1])
    move_pointer(begin[0] - 4, begin[1])
    move_pointer(*begin)
    blender.run("pass")  # an answer means that what came before it was handled
    subprocess.run(["xdotool", "mousedown", "1"], check=True)
    blender.run("pass")
    for part in range(1, 5):
        move_pointer(*(a + (b - a) * part // 4 for a, b in zip(begin, end, strict=True)))
        blender.run("pass")
    facts["dragging"] = screenshot(folder / "dragging.png")
    subprocess.run(["xdotool", "mouseup", "1"], check=True)
    blender.wait(f"{lift}.picked > 0", limit=60)
    facts["picked"] = blender.value(f"{lift}.picked")
    facts["box"] = blender.value(f"tuple({lift}.box)")
    facts["picture"] = screenshot(folder / "picked.png")
    subprocess.run(["xdotool", "key", "Escape"], check=True)
    blender.wait("not [w.modal_operators.keys() for w in bpy.context.window_manager.windows][0]")


def cycle_by_keys(blender: Blender, folder: Path, facts: dict) -> None:
    """Click where a network answers with several masks, and go through them with Tab."""
    blender.run("bpy.context.scene.levitor.click_model = 'auto'")
    blender.press_pick()
    lift = "bpy.context.scene.levitor.lift.levitor"
    left, top, right, bottom = facts["frame"]
    key = blender.value(f"{lift}.pick")
    move_pointer((left + right) // 2 - 4, (top + bottom) // 2)
    move_pointer((left + right) // 2, (top + bottom) // 2)
    blender.run("pass")
    subprocess.run(["xdotool", "click", "1"], check=True)
    blender.wait(f"{lift}.pick != {key!r}", limit=120)
    shown = f"({lift}.candidate, {lift}.picked)"
    facts["masks"] = [blender.value(shown)]
    for press in ("Tab", "Tab", "shift+Tab"):
        before = blender.value(f"{lift}.candidate")
        subprocess.run(["xdotool", "key", press], check=True)
        blender.wait(f"{lift}.candidate != {before}")
        facts["masks"].append(blender.value(shown))
    facts["cycled"] = screenshot(folder / "cycled.png")
    facts["mode"] = blender.value("bpy.context.mode")
    subprocess.run(["xdotool", "key", "Escape"], check=True)
    blender.wait("not [w.modal_operators.keys() for w in bpy.context.window_manager.windows][0]")


def main() -> int:
    plan_path = Path(sys.argv[1])
    folder = plan_path.parent
    plan = json.loads(plan_path.read_text())
    facts: dict = {}
    user = tempfile.mkdtemp(prefix="user_")
    blender = None
    try:
        facts["install"] = install(plan["zip"], user)
        blender = Blender(user, folder / "blender.log")
        lift_by_mouse(blender, plan, folder, facts)
        from horizon_line import edit_horizon  # which imports this module

        edit_horizon(blender, folder, facts)
        pick_by_mouse(blender, folder, facts)
        cycle_by_keys(blender, folder, facts)
        from handling import move_and_delete, take_clicks_back  # which import this module
        from losing import lose_backend
        from watching import watch_by_mouse

        take_clicks_back(blender, folder, facts)
        move_and_delete(blender, folder, facts)
        watch_by_mouse(blender, plan, folder, facts)
        lose_backend(blender, folder, facts)
    except Exception as error:  # noqa: BLE001 - told in full to the test outside, which fails
        facts["error"] = f"{type(error).__name__}: {error}"
        if blender is not None:
            screenshot(folder / "error.png")
    finally:
        if blender is not None:
            blender.close()
        (folder / "facts.json").write_text(json.dumps(facts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
