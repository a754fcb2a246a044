"""What an artist sees of a backend that dies: her render's row, and its end once it is back.

Part of ``driver.py``, which runs it inside the window root. The server runs outside, so a file asks
for its end, and another for its return.
"""

from pathlib import Path

from driver import Blender, screenshot

LINK = "__import__('sys').modules['bl_ext.user_default.levitor.link.pump'].link()"
JOB = f"{LINK}.rows('submit')[-1]"
KILL, RESTART = "kill_server", "restart_server"


def lose_backend(blender: Blender, folder: Path, facts: dict) -> None:
    """Render something long, let the server die, see the row, and what became of it."""
    blender.run(
        "bpy.context.scene.frame_end = 512\n"
        "bpy.context.scene.levitor.frames = 512\n"
        "bpy.ops.levitor.render(engine='draft')"
    )
    blender.wait(f"{JOB}.phase == 'draft'", limit=120)
    (folder / KILL).touch()
    blender.wait(f"{JOB}.lost", limit=120)
    facts["lost_row"] = blender.value(f"[{JOB}.activity, {JOB}.eta, {JOB}.sentence]")
    blender.open_tab("LeviTor")
    facts["lost"] = screenshot(folder / "lost.png")
    (folder / RESTART).touch()
    blender.wait(f"{JOB}.final", limit=120)
    facts["row_after_return"] = blender.value(f"[{JOB}.state, {JOB}.sentence]")
