"""The draft engine, and the tutorial for every other one.

An engine is a class with a ``spec`` and two methods. ``encode`` is pure: it turns the control (the
shot, and which instance is seen where) into the engine's own signal; the work sits in one file of
``backend/control``, where training can use it too. ``sample`` makes the frames, calls ``on_step``
after each step and lets its ``Cancelled`` pass. Add the class to ``registry.py``, and the server
lists it and Blender shows it, options and all; the contract suite in ``tests/engines`` runs over
it.

This one has no weights. Its signal is the photo cut into a clean plate and layers with depth, and a
"denoising step" is one composed frame.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from backend.contracts import Control, OnStep
from backend.control.draft import DraftSignal, draft_signal
from backend.control.fill import blur, pull_push
from backend.engines.base import Scalar
from backend.engines.draft.spec import SPEC
from backend.engines.draft.warp import View, see

CONTACT = 0.02
"""Of its depth, how far something may be behind a surface and still be seen before it: what stands
on the ground touches it."""


class DraftEngine:
    """Composes frames from the photo's own pixels."""

    spec = SPEC

    def encode(self, control: Control, options: Mapping[str, Scalar]) -> DraftSignal:
        """Cut the photo into plate and layers."""
        return draft_signal(control, softness=float(options["softness"]))

    @torch.inference_mode()
    def sample(
        self,
        image: Tensor,
        signal: DraftSignal,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """Frames ``(F, 3, H, W)``. ``seed`` changes nothing: there is no noise in a draft."""
        del options, seed
        total = signal.camera_from_rest.shape[0]
        frames = torch.empty(total, *image.shape)
        for index in range(total):
            # A frame in which nothing has moved yet is the photo, bit for bit.
            frames[index] = image if signal.rest[index] else compose(signal, index)
            on_step(index + 1, total)
        return frames


def compose(signal: DraftSignal, index: int) -> Tensor:
    """One frame: the plate, then everything else from far to near, hidden where it is behind."""
    matrices, camera = signal.camera_from_rest[index], signal.camera
    if signal.camera_moves:
        colour, depth = _plate_from(see(signal.plate, matrices[0], camera))
    else:
        colour, depth = signal.plate.rgb, signal.plate_depth
    plate = colour
    views = [see(layer, matrices[layer.matrix], camera) for layer in signal.layers]
    for view in sorted(views, key=_distance, reverse=True):
        shown = view.alpha * _in_front(view.depth, depth)
        colour = colour + shown * (view.rgb - colour)
        depth = torch.where(shown > 0.5, view.depth, depth)
    # With a still camera, a picked thing that stays is part of the plate, exactly as in the photo.
    # Its own soft outline brings it back over whatever has just passed behind it.
    for alpha, cover_depth in signal.covers:
        hides = alpha * _in_front(cover_depth, depth)
        colour = colour + hides * (plate - colour)
        depth = torch.where(hides > 0.5, cover_depth, depth)
    return colour.clamp(0.0, 1.0)


def _plate_from(view: View) -> tuple[Tensor, Tensor]:
    """The plate seen from elsewhere, with what the photo never saw filled in.

    What comes into view behind an edge is background, so the far side of the edge counts most.
    """
    known = torch.isfinite(view.depth)
    depth = torch.where(known, view.depth, 1.0)
    far = depth / depth[known].max() if bool(known.any()) else depth
    trust = torch.where(known, (far**4).clamp(min=1e-3), 0.0)
    filled = pull_push(torch.cat([view.rgb, 1.0 / depth[None]]), trust)
    return (
        torch.where(known, view.rgb, filled[:3]),
        torch.where(known, view.depth, 1.0 / filled[3].clamp(min=1e-9)),
    )


def _in_front(near: Tensor, far: Tensor) -> Tensor:
    """1 where ``near`` is before ``far``, 0 behind it, softened over a pixel so it has no steps."""
    seen = (near <= far * (1 + CONTACT)).float()
    return blur(seen, 0.5)


def _distance(view: View) -> float:
    """Mean depth of what is seen of a layer."""
    solid = view.alpha > 0.5
    return float(view.depth[solid].mean()) if bool(solid.any()) else float("inf")
