"""What an artist does after a render: she presses Watch Take, and sees the take.

Part of ``driver.py``, which runs it inside the window root.
"""

import ast
import subprocess
from pathlib import Path

from driver import Blender, likeness, screenshot, wait_until

SCREEN = "bpy.context.window_manager.windows[0].screen"
WORKSPACE = "bpy.context.window_manager.windows[0].workspace"
FRAMES = 12

STAGE = f"""
scene = bpy.context.scene
scene.frame_start, scene.frame_end = 1, {FRAMES}
scene.levitor.click_model = 'offline'
bpy.ops.levitor.pick(x=120, y=80, wait=60)
bpy.ops.levitor.make_instance(name='Flower')
bpy.ops.levitor.key_handle(instance='Flower', frame={FRAMES}, move=(0.4, 0, 0.1))
bpy.ops.levitor.render(engine='draft')
"""

# Left, top, right, bottom of the largest preview of the sequencer, in pixels of the screen.
PREVIEW = f"""
found = [
    (r.width * r.height, r.x, r.y, r.width, r.height)
    for a in {SCREEN}.areas if a.type == 'SEQUENCE_EDITOR'
    for r in a.regions if r.type == 'PREVIEW' and 'PREVIEW' in a.spaces.active.view_type
]
_, x, y, width, height = max(found)
print([x, 900 - y - height, x + width, 900 - y])
"""


def watch_by_mouse(blender: Blender, plan: dict, folder: Path, facts: dict) -> None:
    """Render a take, press Watch Take, and see it play; then once more from the first workspace."""
    first = blender.value(f"{WORKSPACE}.name")
    known = blender.value("len(bpy.data.workspaces)")
    blender.run(STAGE)
    blender.wait("bool(bpy.context.scene.sequence_editor.strips)", limit=120)
    facts["before_watching"] = screenshot(folder / "before_watching.png")
    press_watch(blender)
    facts["watching"] = watching(blender, plan, folder, "watching.png")
    facts["added_workspaces"] = blender.value("len(bpy.data.workspaces)") - known
    back_to(blender, first)
    press_watch(blender)
    facts["watching_again"] = watching(blender, plan, folder, "watching_again.png")
    facts["added_workspaces_again"] = blender.value("len(bpy.data.workspaces)") - known
    back_to(blender, first)


def back_to(blender: Blender, workspace: str) -> None:
    """Stop playing, and show ``workspace``."""
    window = "bpy.context.window_manager.windows[0]"
    blender.run(
        f"with bpy.context.temp_override(window={window}): bpy.ops.screen.animation_cancel()\n"
        f"{window}.workspace = bpy.data.workspaces[{workspace!r}]"
    )
    blender.wait(f"{WORKSPACE}.name == {workspace!r}")


def press_watch(blender: Blender) -> None:
    """Point at the button in the sidebar, and click it."""
    sidebar = blender.open_tab("LeviTor")
    blender.point_at_button("bpy.ops.levitor.watch_take(", sidebar)
    subprocess.run(["xdotool", "click", "1"], check=True)


def watching(blender: Blender, plan: dict, folder: Path, name: str) -> dict:
    """What is on the screen once a take plays."""
    blender.wait(f"{SCREEN}.is_animation_playing", limit=60)
    seen = {"workspace": blender.value(f"{WORKSPACE}.name")}
    seen["scene"] = blender.value(
        f"getattr({WORKSPACE}, 'sequencer_scene', bpy.context.scene) == bpy.data.scenes[0]"
    )
    frames = set()

    def moves() -> bool:
        frames.add(blender.value("bpy.data.scenes[0].frame_current"))
        return len(frames) > 2

    wait_until(moves, 60, "the frame to change")
    seen["frames"] = sorted(frames)
    left, top, right, bottom = ast.literal_eval(blender.run(PREVIEW))
    blender.run("bpy.data.scenes[0].frame_set(1)")
    # The take is in the middle of the preview, as large as goes in but for a small rim
    width, height = blender.value(
        "(lambda r: (r.resolution_x, r.resolution_y))(bpy.data.scenes[0].render)"
    )
    scale = min((right - left) / width, (bottom - top) / height) * 0.9
    across, down = width * scale / 2, height * scale / 2
    middle = (left + right) / 2, (top + bottom) / 2
    frame = tuple(
        round(v)
        for v in (middle[0] - across, middle[1] - down, middle[0] + across, middle[1] + down)
    )
    path, photo = folder / name, Path(plan["photo"])
    wait_until(lambda: likeness(path, frame, photo) > 0.8, 120, "the take to be seen")
    seen["picture"] = path.name
    return seen
