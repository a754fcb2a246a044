"""The README beside tracks for other tools: what each file is, and the command that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tracks import Frame, Tool


def readme(
    frame: Frame, tool: Tool, frames: int, count: int, told: tuple[str, ...], own: int
) -> str:
    """The text.

    Args:
        frame: of the tool.
        tool: the tool.
        frames: of the tracks.
        count: how many tracks there are.
        told: what was left out, a sentence each.
        own: samples of the shot.
    """
    lines = [
        f"{count} tracks for {tool.label}, {frames} frames of {frame.width} x {frame.height}.",
        "",
        f"image.png        {frame.rule}; hand this to the tool, not the photo",
    ]
    if frame.tool == "wan-move":
        lines += [
            "tracks.npy       float32 (1, frames, tracks, 2): x, y in pixels of image.png",
            "visibility.npy   bool (1, frames, tracks): false where hidden or out of the frame",
            "depth.npy        float32 (frames, tracks): z in scene units; not for Wan-Move",
        ]
    else:
        lines += [
            "tracks.json      [[{x, y}, ..], ..] in pixels of image.png, for ComfyUI's nodes",
            "                 WanTrackToVideo and WanVideoATITracks; it cannot mark hidden points",
            "visibility.npy   bool (1, frames, tracks): false where hidden or out of the frame",
        ]
        if frames == tool.frames:
            lines += ["tracks.npz       the same for ATI itself, hidden points marked"]
    lines += ["about.json       what is what, for programs", ""]
    if frames == own:
        lines += [f"The tracks have the shot's own {own} frames."]
    else:
        lines += [
            f"The shot's {own} samples are spread evenly over {frames} frames, straight between",
            f"two of them; at {tool.fps} frames a second that is {(frames - 1) / tool.fps:.1f} s.",
        ]
    if frames != tool.frames or (frame.width, frame.height) not in ((832, 480), (480, 832)):
        lines += [
            f"{tool.label} is made for {tool.frames} frames of 832 x 480 or 480 x 832; with other",
            "sizes or numbers it may refuse, or not follow.",
        ]
    lines += [*told, "", *_command(frame, tool, frames)]
    return "\n".join(lines) + "\n"


def _command(frame: Frame, tool: Tool, frames: int) -> list[str]:
    """How the files are read, from the tool's own folder; FOLDER is where they lie."""
    if frame.tool == "wan-move":
        return [  # its size names an area; the shape is the image's
            "In a checkout of github.com/ali-vilab/Wan-Move, with FOLDER for this folder:",
            "",
            f"    python generate.py --task wan-move-i2v --size '480*832' --frame_num {frames} \\",
            "        --ckpt_dir ./Wan-Move-14B-480P --image FOLDER/image.png \\",
            "        --track FOLDER/tracks.npy --track_visibility FOLDER/visibility.npy \\",
            '        --prompt "what the photo shows and what happens" --save_file take.mp4',
        ]
    lines = [
        "In ComfyUI: image.png as start image, the text of tracks.json as tracks,",
        f"width {frame.width}, height {frame.height}, length 81.",
    ]
    if frames != tool.frames:
        return lines
    return [
        *lines,
        "",
        "In a checkout of github.com/bytedance/ATI, with FOLDER for this folder:",
        "",
        '    python -c "import sys, torch; '
        "torch.save(open(sys.argv[1], 'rb').read(), sys.argv[2])\" \\",
        "        FOLDER/tracks.npz FOLDER/tracks.pth",
        "    printf -- '- image: FOLDER/image.png\\n  text: what happens\\n"
        "  track: FOLDER/tracks.pth\\n' > shot.yaml",
        "    bash run_example.sh -p shot.yaml -c ./Wan2.1-ATI-14B-480P -o samples",
    ]
