"""What an artist does with an instance: takes clicks back, selects, moves, deletes, undoes.

Part of ``driver.py``, which runs it inside the window root.
"""

import subprocess
from pathlib import Path

from driver import Blender, move_pointer, screenshot

LIFT = "bpy.context.scene.levitor.lift.levitor"
RUNNING = "[key for w in bpy.context.window_manager.windows for key in w.modal_operators.keys()]"
CLICKS = f"[(round(c.x), round(c.y), c.positive) for c in {LIFT}.clicks]"
SELECTED = (
    "([ob.name for ob in bpy.context.view_layer.objects.selected], "
    "getattr(bpy.context.view_layer.objects.active, 'name', None))"
)
HANDLE = "bpy.data.objects['Flower Handle']"
WHOLE = f"({LIFT}.instances.keys(), len({LIFT}.background.data.vertices))"


class Hand:
    """Mouse and keyboard over the photo; places are shares of it."""

    def __init__(self, blender: Blender, frame: list[int]) -> None:
        self.blender = blender
        self.frame = frame

    def point(self, x: float, y: float) -> None:
        left, top, right, bottom = self.frame
        across, down = round(left + x * (right - left)), round(top + y * (bottom - top))
        move_pointer(across - 4, down)
        move_pointer(across, down)
        self.blender.run("pass")  # an answer means that what came before it was handled

    def click(self, x: float, y: float) -> None:
        self.point(x, y)
        subprocess.run(["xdotool", "click", "1"], check=True)

    def key(self, name: str) -> None:
        subprocess.run(["xdotool", "key", name], check=True)


def take_clicks_back(blender: Blender, folder: Path, facts: dict) -> None:
    """Two clicks, undo, another click; then the button again, which ends picking."""
    hand, told = Hand(blender, facts["frame"]), facts.setdefault("clicks", [])
    blender.run("bpy.context.scene.levitor.click_model = 'offline'")
    blender.press_pick()
    for place in ((0.45, 0.45), (0.6, 0.6)):
        before = blender.value(f"{LIFT}.pick")
        hand.click(*place)
        blender.wait(f"{LIFT}.pick != {before!r}", limit=60)
        told.append(blender.value(CLICKS))
    facts["picking"] = screenshot(folder / "picking.png")
    hand.key("ctrl+z")
    blender.wait(f"len({LIFT}.clicks) == 1")
    before = blender.value(f"{LIFT}.pick")
    hand.click(0.5, 0.35)
    blender.wait(f"{LIFT}.pick != {before!r}", limit=60)
    told.append(blender.value(CLICKS))
    facts["running"] = [blender.value(RUNNING)]
    blender.press_pick(on=False)
    facts["running"].append(blender.value(RUNNING))


def move_and_delete(blender: Blender, folder: Path, facts: dict) -> None:
    """Click the flower, move it with G, click beside it, delete it with X, and undo."""
    hand = Hand(blender, facts["frame"])
    blender.run("bpy.ops.levitor.make_instance(name='Flower')")
    hand.point(0.05, 0.5)
    hand.key("alt+a")
    blender.wait(f"not {SELECTED}[0]")
    hand.click(0.5, 0.45)
    blender.wait(f"{SELECTED}[0]")
    facts["clicked"] = blender.value(SELECTED)
    begun = blender.value(f"tuple({HANDLE}.location)")
    hand.key("g")
    blender.wait(RUNNING)
    hand.point(0.6, 0.45)
    subprocess.run(["xdotool", "click", "1"], check=True)
    blender.wait(f"not {RUNNING}")
    ended = blender.value(f"tuple({HANDLE}.location)")
    facts["moved"] = [b - a for a, b in zip(begun, ended, strict=True)]
    facts["moved_picture"] = screenshot(folder / "moved.png")
    hand.click(0.05, 0.9)
    blender.wait(f"not {SELECTED}[0]")
    facts["background"] = blender.value(SELECTED)[0]
    hand.click(0.6, 0.45)
    blender.wait(f"{SELECTED}[0]")
    facts["whole"] = [blender.value(WHOLE)]
    hand.key("x")
    hand.key("Return")
    blender.wait(f"not {LIFT}.instances")
    facts["whole"].append(blender.value(WHOLE))
    facts["healed"] = screenshot(folder / "healed.png")
    for _ in range(2):  # the healing, and what was deleted
        hand.key("ctrl+z")
        blender.run("pass")
    blender.wait(f"'Flower Handle' in bpy.context.scene.objects and len({LIFT}.instances) > 0")
    facts["whole"].append(blender.value(WHOLE))
    blender.run("bpy.ops.levitor.remove_instance(instance='Flower')")
    facts["whole"].append(blender.value(WHOLE))
