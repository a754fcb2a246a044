"""Make one demo shot in a headless Blender that has the built extension installed and enabled.

    .venv-blender/bin/python scripts/demo_in_blender.py PLAN.json

The plan names the zip, the endpoint, the photo, what to pick and how it moves; `levitor demo`
writes it. All is done through the extension's own operators, as an artist's script would. Progress
goes to standard output as lines of "STEP done total what".
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

MODULE = "bl_ext.user_default.levitor"


def main() -> None:
    """Run the plan."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name it cannot show ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    plan = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory(prefix="levitor_demo_", ignore_cleanup_errors=True) as folder:
        # Before bpy is imported: preferences and extensions of its own, so that nothing leaks.
        os.environ["BLENDER_USER_RESOURCES"] = folder
        run(plan)


def run(plan: dict[str, Any]) -> None:
    """Run the plan in a Blender that starts now."""
    import bpy

    steps = [
        ("install the extension", lambda: install(bpy, plan["zip"])),
        ("connect", lambda: bpy.ops.levitor.connect(endpoint=plan["endpoint"], wait=60.0)),
        ("lift the photo", lambda: lift(bpy, plan)),
        *[(f"pick {item['name']}", lambda item=item: pick(bpy, item)) for item in plan["picks"]],
        ("key the handles", lambda: key(bpy, plan)),
        ("save the shot", lambda: save_shot(bpy, plan)),
        ("render and place the take", lambda: render(bpy, plan)),
        ("save the .blend", lambda: save(bpy)),
    ]
    for done, (what, step) in enumerate(steps):
        print(f"STEP {done} {len(steps)} {what}", flush=True)
        step()
    print(f"STEP {len(steps)} {len(steps)} done", flush=True)
    print("RESULT " + json.dumps(report(bpy)), flush=True)


def save(bpy: Any) -> None:
    """Save the file as one would like to open it: through the camera, and the take beside it.

    Nothing is selected: the outline of what was made last would lie over the picture.
    """
    for ob in bpy.context.selected_objects:
        ob.select_set(False)
    bpy.context.view_layer.objects.active = None
    for screen in bpy.data.screens:
        for area in screen.areas:
            if area.type == "VIEW_3D":
                space = area.spaces.active
                space.region_3d.view_perspective = "CAMERA"
                space.shading.type = "MATERIAL"
    show_take(bpy)
    bpy.ops.wm.save_mainfile()


def show_take(bpy: Any) -> None:
    """Let the take and its strip be seen beside the view, on the screen the file opens with."""
    window, scene = bpy.context.window, bpy.context.scene
    screen, before = window.screen, set(window.screen.areas)
    view = max(screen.areas, key=lambda area: (area.type == "VIEW_3D", area.width * area.height))
    with bpy.context.temp_override(window=window, screen=screen, area=view):
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.5)
    (half,) = set(screen.areas) - before
    half.type = "SEQUENCE_EDITOR"
    half.spaces.active.view_type = "SEQUENCER_PREVIEW"
    if hasattr(window.workspace, "sequencer_scene"):  # since 5.0
        window.workspace.sequencer_scene = scene


def install(bpy: Any, path: str) -> None:
    """Install the zip and enable it, in an empty scene."""
    bpy.ops.extensions.package_install_files(
        filepath=path, repo="user_default", enable_on_install=False, overwrite=True
    )
    bpy.ops.preferences.addon_enable(module=MODULE)
    bpy.ops.wm.read_homefile(use_empty=True)
    # Installing reports success for a zip that does not fit this Blender: only this is proof.
    assert MODULE in sys.modules, f"{path} could not be enabled in Blender {bpy.app.version_string}"


def lift(bpy: Any, plan: dict[str, Any]) -> None:
    """Lift the photo, in a scene that is saved from now on."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, plan["frames"]
    scene.render.fps = plan["fps"]
    bpy.ops.wm.save_as_mainfile(filepath=plan["blend"])
    bpy.ops.levitor.lift(filepath=plan["photo"], wait=120.0, **plan["lift"])


def pick(bpy: Any, item: dict[str, Any]) -> None:
    """Click, in a box where there is one, until the mask is the instance; then cut it out."""
    box = {"box": item["box"]} if "box" in item else {}
    for count, (x, y, positive) in enumerate(item["clicks"]):
        bpy.ops.levitor.pick(x=x, y=y, positive=positive, extend=count > 0, wait=120.0, **box)
    bpy.ops.levitor.make_instance(name=item["name"], moving=item["moving"])


def key(bpy: Any, plan: dict[str, Any]) -> None:
    """Key the handles, and the camera if the plan moves it."""
    for item in plan["keys"]:
        bpy.ops.levitor.key_handle(**item)
    camera = bpy.context.scene.camera
    rest = camera.location.copy()
    for item in plan.get("camera", []):
        camera.location = [a + b for a, b in zip(rest, item["move"], strict=True)]
        camera.keyframe_insert("location", frame=item["frame"])
    bpy.context.scene.frame_set(1)


def save_shot(bpy: Any, plan: dict[str, Any]) -> None:
    """Save what is rendered next."""
    bpy.ops.levitor.save_shot(
        filepath=plan["shot"], engine=plan["engine"], options=json.dumps(plan["options"])
    )


def render(bpy: Any, plan: dict[str, Any]) -> None:
    """Render; the extension places the take in the sequencer."""
    bpy.ops.levitor.render(
        engine=plan["engine"], options=json.dumps(plan["options"]), seed=0, wait=600.0
    )


def report(bpy: Any) -> dict[str, Any]:
    """What the photo was lifted with, and how the take stands in the sequencer."""
    # The extension's own helpers know how each Blender names a strip's ends.
    sequencer, pump = (sys.modules[f"{MODULE}.{name}"] for name in ("scene.sequencer", "link.pump"))
    job = list(pump.link().takes)[-1]
    _, strips = sequencer.strips_of(bpy.context.scene)
    strip = next(strip for strip in strips if strip.get("levitor_job") == job)
    span = sequencer.span_of(strip)
    lift = bpy.context.scene.levitor.lift.levitor
    return {
        "blender": bpy.app.version_string,
        "take": bpy.path.abspath(strip.filepath),
        "start": span.start,
        "end": span.end - 1,
        "depth_model": lift.depth_model,
        "segment_model": lift.segment_model,
        "fov": f"{lift.horizontal_fov:.0f} degrees ({lift.fov_source})",
        "click_model": next(
            model.name for model in pump.link().welcome.perception if model.task == "segments"
        ),
        "properties": {name: value for name, value in strip.items() if name.startswith("levitor_")},
    }


if __name__ == "__main__":
    code = 1
    try:
        main()
        code = 0
    except Exception as error:  # noqa: BLE001 - the last line of defence of a script
        print(f"FAILED {error}", flush=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Blender as a module may hang at an ordinary exit
