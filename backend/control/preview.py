"""Visualises a control as frames: coloured instance masks, control points, depth."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.contracts import Frames, MaskSequence
from backend.geometry.fit import Fit
from backend.geometry.lift import disparity_from_depth

GOLDEN = 0.61803398875
"""Step of the hue; successive multiples stay distinct."""
TINT = 0.55
"""Opacity of an id's colour over the image below it."""
DISC, ANCHOR_DISC = 3.5, 2.0
"""Radius of a point's disc in pixels, on picked instances and on others."""


def palette(count: int) -> Tensor:
    """``(count + 2, 3)`` colours for ids -1..count: empty is black, the background dark grey."""
    colours = [(0.0, 0.0, 0.0), (0.16, 0.16, 0.18)]
    colours += [colorsys.hsv_to_rgb((0.05 + i * GOLDEN) % 1.0, 0.75, 0.95) for i in range(count)]
    return torch.tensor(colours, device="cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a control preview shows.

    Attributes:
        under: ``(3, H, W)`` photo or ``(F, 3, H, W)`` take below the ids; None for the
            ids alone.
        masks: colour the picked instances.
        points: draw the control points.
        depth: show the depth in a second image to the right.
    """

    under: Tensor | None = None
    masks: bool = True
    points: bool = True
    depth: bool = True

    def fitted(self, fit: Fit) -> Look:
        """The same in the frame of a fit."""
        if self.under is None:
            return self
        frames = self.under if self.under.ndim == 4 else self.under[None]
        under = torch.stack([fit.image(frame) for frame in frames])
        return replace(self, under=under if self.under.ndim == 4 else under[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlFrames:
    """The frames of a control preview, each computed when it is indexed.

    Ids are on the left, depth on the right.

    Attributes:
        masks: of a shot.
        picked: how many ids the artist picked; automatic segments after them are shown dimmed.
        near: z shown white.
        far: z shown black.
        under: ``(3, H, W)`` photo or ``(F, 3, H, W)`` take below the ids.
        points: (row, col, id, depth) of every frame, drawn as discs.
        colours: ``(ids + 2, 3)`` of ids -1 and up.
        tinted: whether ids are coloured over ``under``.
        depth: whether the depth is shown to the right.
    """

    masks: MaskSequence
    picked: int
    near: float
    far: float
    colours: Tensor
    under: Tensor | None = None
    points: Sequence[Sequence[Sequence[int]]] = ()
    tinted: bool = True
    depth: bool = True

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """F, 3, H, W of the frames."""
        frames, height, width = self.masks.instance.shape
        return frames, 3, height, (1 + self.depth) * width

    @property
    def mean_points_per_frame(self) -> float:
        """Mean number of points per frame."""
        return sum(map(len, self.points)) / len(self)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Tensor:
        """``(3, H, W)`` float32 in [0, 1]."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        left = self._ids(index)
        halves = [left]
        if self.depth:
            z = disparity_from_depth(self.masks.depth[index], self.near, self.far)
            halves.append(z.expand_as(left).clone())
        # In reverse, so that picked instances, which have the smaller ids, are on top
        for row, column, item, _ in reversed(self.points[index]) if self.points else ():
            chosen = item <= self.picked
            radius = DISC if chosen else ANCHOR_DISC
            # A rim sets the point off from its own instance's colour
            _disc(left, row, column, radius + 1.5, left.new_full((3,), float(chosen)))
            for half in halves:
                _disc(half, row, column, radius, self.colours[item + 1])
        return torch.cat(halves, -1)

    def _ids(self, index: int) -> Tensor:
        instance = self.masks.instance[index]
        under = self.under
        if under is not None and under.ndim == 4:
            under = under[index]
        if under is not None and not self.tinted:
            return under.clone()
        ids = self.colours[(instance + 1).long()].movedim(-1, 0).contiguous()
        if under is None:
            return ids
        # Only picked instances are tinted
        chosen = (instance >= 1) & (instance <= self.picked)
        return torch.lerp(under, ids, TINT * chosen.float())


def look_at_masks(
    masks: MaskSequence, look: Look, points: Sequence[Sequence[Sequence[int]]] = ()
) -> Frames:
    """The preview of masks that hold their number of picked instances.

    Args:
        masks: to show.
        look: what to show.
        points: (row, col, id, depth) of every frame.
    """
    return control_frames(
        masks,
        masks.moving + len(masks.static),
        masks.near,
        masks.far,
        under=look.under,
        points=points if look.points else (),
        tinted=look.masks,
        depth=look.depth,
    )


def control_frames(
    masks: MaskSequence,
    picked: int,
    near: float,
    far: float,
    under: Tensor | None = None,
    points: Sequence[Sequence[Sequence[int]]] = (),
    tinted: bool = True,
    depth: bool = True,
) -> ControlFrames:
    """The frames of a shot's control; the arguments are :class:`ControlFrames`'."""
    colours = palette(max(int(masks.instance.max()), picked, 0)).to(masks.depth)
    colours[picked + 2 :] = 0.25 + 0.2 * colours[picked + 2 :]
    return ControlFrames(
        masks=masks,
        picked=picked,
        near=near,
        far=far,
        colours=colours,
        under=under,
        points=points,
        tinted=tinted,
        depth=depth,
    )


def mean_points_per_frame(frames: Frames) -> float:
    """Control points of a preview's frames, on average; 0 where an engine is told none."""
    return frames.mean_points_per_frame if isinstance(frames, ControlFrames) else 0.0


def _disc(image: Tensor, row: int, column: int, radius: float, colour: Tensor) -> None:
    reach = int(radius) + 1
    top, left = max(row - reach, 0), max(column - reach, 0)
    part = image[:, top : row + reach + 1, left : column + reach + 1]
    y = torch.arange(part.shape[1], device=image.device)[:, None] + top - row
    x = torch.arange(part.shape[2], device=image.device)[None] + left - column
    part[:, (y**2 + x**2) <= radius**2] = colour[:, None]
