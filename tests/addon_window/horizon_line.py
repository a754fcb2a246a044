"""Edits the horizon of a lift and looks at the line over the photo; a part of the driver."""

from pathlib import Path

from driver import MODULE, Blender, screenshot

LIFT = "bpy.context.scene.levitor.lift.levitor"
LINE = f"__import__('sys').modules['{MODULE}.scene.horizon_line']"
HEIGHTS = (0.3, 0.6)
AGES = 600.0
"""Seconds that no software renderer needs for a picture."""


def edit_horizon(blender: Blender, folder: Path, facts: dict) -> None:
    """Make the scene a ground, set its horizon twice, then let the line's time be over."""
    kind = blender.value(f"{LIFT}.scene_kind")
    seconds = blender.value(f"{LINE}.SECONDS")
    blender.run(f"{LINE}.SECONDS = {AGES}\n{LIFT}.scene_kind = 'GROUND'")
    facts["horizons"] = []
    for height in HEIGHTS:
        blender.run(f"{LIFT}.horizon = {height}")
        redraw(blender)
        facts["horizons"].append([height, screenshot(folder / f"horizon_{10 * height:.0f}.png")])
    blender.run(f"{LINE}.SECONDS = {seconds}\n{LINE}.stop()\n{LIFT}.horizon = {HEIGHTS[0]}")
    blender.wait(f"not {LINE}.shown()")
    redraw(blender)
    facts["no_horizon"] = screenshot(folder / "horizon_gone.png")
    blender.run(f"{LIFT}.scene_kind = {kind!r}")


def redraw(blender: Blender) -> None:
    """Have all that was changed on the screen."""
    blender.run("bpy.ops.wm.redraw_timer(type='DRAW_WIN_SWAP', iterations=2)")
