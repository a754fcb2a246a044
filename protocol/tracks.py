"""Tracks for other tools: in their frame, with their number of frames, and how they are run.

Both sides write such files, the extension by itself and the ``levitor export`` command; what they
must agree on stands here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ShotError
from .tracks_readme import readme

Array = npt.NDArray[Any]

SIZES = ("auto", "832x480", "480x832", "photo")
FITS = ("crop", "pad")
PARTS = 8
"""ATI's own files hold eighths of a pixel."""
MOST_ATI = 20
"""ATI was trained with 1 to 20 tracks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that reads tracks.

    Attributes:
        label: its name.
        frames: how many it wants.
        fps: that these frames stand for.
    """

    label: str
    frames: int
    fps: int


TOOLS: Mapping[str, Tool] = {
    "wan-move": Tool(label="Wan-Move", frames=81, fps=16),
    # 121 points at 24 fps, which it makes the 81 frames of its video of
    "ati": Tool(label="ATI", frames=121, fps=24),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackExport:
    """Points that carry the motion, the same ones in every frame.

    Attributes:
        xy: (F, N, 2) float32 pixels; a hidden point keeps its position.
        depth: (F, N) float32 z.
        visible: (F, N) bool, from the real depth order.
        instance: (N,) int32; 0 is what was not picked.
    """

    xy: Array
    depth: Array
    visible: Array
    instance: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How a photo lies in a tool's frame: ``frame = (photo - (left, top)) * scale``.

    Attributes:
        width: of the frame, pixels.
        height: of the frame.
        photo: (width, height) of the photo.
        scale: frame pixels per pixel of the photo.
        left: of the photo's pixels, where the frame begins; below 0 where bars pad it.
        top: likewise.
        frames: of the tracks; 0 as many as the shot has.
        tool: who reads them, of :data:`TOOLS`.
    """

    width: int
    height: int
    photo: tuple[int, int]
    scale: float
    left: float
    top: float
    frames: int
    tool: str

    @property
    def rule(self) -> str:
        """What happens to the photo, in words."""
        across, down = self.photo
        if (self.width, self.height) == self.photo:
            return "the photo's own pixels"
        shown = round(self.width / self.scale), round(self.height / self.scale)
        if self.left < 0 or self.top < 0:
            bars = "left and right" if self.left < 0 else "above and below"
            return f"the whole photo of {across} x {down}, scaled to fit, with black bars {bars}"
        if shown == (across, down):
            return f"the whole photo of {across} x {down}, scaled to fit"
        return f"the middle {shown[0]} x {shown[1]} of the photo's {across} x {down} pixels, scaled"

    def within(self) -> Array:
        """Bool (H, W): which pixels of the photo lie in the frame."""
        across, down = self.photo
        centres = np.stack(np.meshgrid(np.arange(across) + 0.5, np.arange(down) + 0.5), -1)
        return self.inside(centres)

    def inside(self, xy: Array) -> Array:
        """Which (..., 2) pixels of the photo lie in the frame."""
        there = self.moved(xy)
        return (there >= 0).all(-1) & (there[..., 0] < self.width) & (there[..., 1] < self.height)

    def moved(self, xy: Array) -> Array:
        """(..., 2) float32 pixels of the frame from those of the photo."""
        start = np.array([self.left, self.top])
        with np.errstate(invalid="ignore", over="ignore"):
            return ((xy.astype(np.float64) - start) * self.scale).astype(np.float32)


def frame_of(
    tool: str, width: int, height: int, size: str = "auto", fit: str = "crop", frames: int = -1
) -> Frame:
    """The frame in which a tool gets a photo.

    Args:
        tool: of :data:`TOOLS`.
        width: of the photo.
        height: of the photo.
        size: of :data:`SIZES`; "auto" is 832x480, or 480x832 for what is higher than wide.
        fit: "crop" fills the frame with the photo's middle, "pad" shows all of it.
        frames: of the tracks; -1 what the tool wants, 0 as many as the shot has.

    Raises:
        ShotError: the tool cannot have so many frames.
    """
    if frames > 0 and (frames - 1) % 4:
        least = frames - (frames - 1) % 4
        raise ShotError(
            "frames",
            f"{frames} frames are not 4 k + 1, as Wan's video models make them.",
            f"Ask for {least} or {least + 4}; {TOOLS[tool].label} wants {TOOLS[tool].frames}.",
        )
    if size == "photo":
        across, down = width, height
    else:
        size = ("832x480" if width >= height else "480x832") if size == "auto" else size
        across, down = (int(side) for side in size.split("x"))
    scales = across / width, down / height
    scale = max(scales) if fit == "crop" else min(scales)
    return Frame(
        width=across,
        height=down,
        photo=(width, height),
        scale=scale,
        left=(width - across / scale) / 2,
        top=(height - down / scale) / 2,
        frames=TOOLS[tool].frames if frames < 0 else frames,
        tool=tool,
    )


def fitted(tracks: TrackExport, frame: Frame) -> TrackExport:
    """Tracks in a tool's frame, as many frames as it wants, spread evenly over the shot.

    Between two of the shot's samples a point goes straight, and is seen where it is seen at both. A
    point outside of the frame is not seen.
    """
    xy, depth, visible = frame.moved(tracks.xy), tracks.depth, tracks.visible
    count = len(xy)
    if frame.frames not in (0, count):
        at = np.linspace(0, count - 1, frame.frames)
        low = np.minimum(at.astype(np.int64), max(count - 2, 0))
        high = np.minimum(low + 1, count - 1)
        part = (at - low)[:, None]
        xy = _between(xy, low, high, part[..., None])
        depth = _between(depth, low, high, part)
        visible = (visible[low] | (part == 1)) & (visible[high] | (part == 0))
    seen = (xy >= 0).all(-1) & (xy[..., 0] < frame.width) & (xy[..., 1] < frame.height)
    return TrackExport(xy=xy, depth=depth, visible=visible & seen, instance=tracks.instance)


def _between(values: Array, low: Array, high: Array, part: Array) -> Array:
    """Values between frames ``low`` and ``high``; exact at both."""
    mixed = values[low] * (1 - part) + values[high] * part
    return np.where(part == 0, values[low], mixed).astype(np.float32)


def picture(pixels: Array, frame: Frame) -> Array:
    """The photo in a tool's frame, uint8 (height, width, 3); bars are black.

    Each axis is filtered with a triangle as wide as a pixel of the coarser side.
    """
    rows = _weights(len(pixels), frame.height, frame.top, frame.scale)
    columns = _weights(pixels.shape[1], frame.width, frame.left, frame.scale)
    mixed = np.tensordot(rows, pixels.astype(np.float32), (1, 0))
    mixed = np.tensordot(columns, mixed, (1, 1)).swapaxes(0, 1)
    return mixed.round().clip(0, 255).astype(np.uint8)


def _weights(length: int, wanted: int, start: float, scale: float) -> Array:
    """(wanted, length) float32: how much of each old pixel goes into a new one."""
    centre = (np.arange(wanted) + 0.5) / scale + start
    reach = max(1.0, 1 / scale)
    distance = np.abs(centre[:, None] - (np.arange(length) + 0.5)) / reach
    weight = (1 - distance).clip(0)
    inside = (centre >= 0) & (centre <= length)
    total = weight.sum(1, keepdims=True)
    return np.where(inside[:, None], weight / np.maximum(total, 1e-12), 0).astype(np.float32)


def files(
    tracks: TrackExport,
    frame: Frame,
    pixels: Array,
    names: Mapping[int, str],
    about: dict[str, Any],
) -> Iterator[tuple[str, bytes | Array]]:
    """Name and content of every file for a tool; a picture is an array still.

    Args:
        tracks: of the shot, in the photo's pixels.
        frame: of the tool.
        pixels: the photo, uint8 (H, W, 3).
        names: of instances by id.
        about: the shot's frame_start, frame_end, fps and frames.

    Raises:
        ShotError: no point begins in the frame.
    """
    made = fitted(tracks, frame)
    count = len(made.xy)
    if not len(made.instance):
        raise ShotError(
            "points",
            f"0 tracks begin in the frame of {frame.width} x {frame.height}: {frame.rule}.",
            "Fit the whole photo into the frame, or pick something nearer to its middle.",
        )
    told = notes(tracks, frame, names)
    yield "image.png", picture(pixels, frame)
    yield "visibility.npy", npy(made.visible[None])
    if frame.tool == "wan-move":
        yield "tracks.npy", npy(made.xy[None])
        yield "depth.npy", npy(made.depth)
    else:
        yield "tracks.json", json.dumps(splines(made)).encode()
        if count == TOOLS["ati"].frames:
            yield "tracks.npz", ati(made)
    whole = {
        **about,
        "format": frame.tool,
        "width": frame.width,
        "height": frame.height,
        "frames": count,
        "fps": TOOLS[frame.tool].fps if frame.frames else about["fps"],
        "instance_of_track": made.instance.tolist(),
        "instances": {str(number): name for number, name in names.items()},
        "shot": {
            "width": frame.photo[0],
            "height": frame.photo[1],
            "frames": about["frames"],
            "fps": about["fps"],
        },
        "frame_from_photo": {"scale": frame.scale, "left": frame.left, "top": frame.top},
        "fit": frame.rule,
        "notes": list(told),
    }
    yield "about.json", json.dumps(whole, indent=1).encode()
    yield (
        "README.txt",
        readme(frame, TOOLS[frame.tool], count, len(made.instance), told, about["frames"]).encode(),
    )


def notes(tracks: TrackExport, frame: Frame, names: Mapping[int, str]) -> tuple[str, ...]:
    """What of a shot is not in the tool's files, a sentence each."""
    there = set(tracks.instance.tolist())
    told = tuple(
        f"{name} has no track: it is not seen in the frame when the shot begins."
        for number, name in names.items()
        if number not in there
    )
    if frame.tool == "ati" and len(tracks.instance) > MOST_ATI:
        told += (
            f"ATI was trained with up to {MOST_ATI} tracks, and these are "
            f"{len(tracks.instance)}; ask for fewer points if it does not follow them.",
        )
    return told


def said(
    tracks: TrackExport, frame: Frame, names: Mapping[int, str], frames: int
) -> tuple[str, ...]:
    """What was written and what was not, a sentence each; ``frames`` are the shot's."""
    first = (
        f"{len(tracks.instance)} tracks of {frame.frames or frames} frames in "
        f"{frame.width} x {frame.height}: {frame.rule}"
    )
    return first, *notes(tracks, frame, names)


def splines(tracks: TrackExport) -> list[list[dict[str, float]]]:
    """``[[{x, y}, ..], ..]``: the points of each track, one a frame, as ComfyUI's nodes read them.

    The form cannot say that a point is hidden, and its readers want tracks of equal length; where a
    point is seen stands in the file of visibilities.
    """
    by_track: list[list[list[float]]] = tracks.xy.swapaxes(0, 1).tolist()
    return [[{"x": round(x, 3), "y": round(y, 3)} for x, y in track] for track in by_track]


def ati(tracks: TrackExport) -> bytes:
    """ATI's own array in a .npz: (N, F, 1, 3) of x and y in eighths of a pixel, and 1 where seen.

    Source: get_tracks_inference in bytedance/ATI, wan/utils/motion.py.
    """
    seen = tracks.visible[..., None].astype(np.float32)
    whole = np.concatenate([np.round(tracks.xy * PARTS), seen], -1)
    data = io.BytesIO()
    np.savez_compressed(data, array=whole.swapaxes(0, 1)[:, :, None].astype(np.float32))
    return data.getvalue()


def npy(array: Array) -> bytes:
    """A .npy file."""
    whole = io.BytesIO()
    np.save(whole, array, allow_pickle=False)
    return whole.getvalue()
