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

from backend.autograd import without_gradients
from backend.contracts import Control, OnStep
from backend.control.draft import DraftSignal, draft_signal
from backend.control.fill import blur, pull_push
from backend.control.hidden import CONTACT
from backend.engines.base import Scalar
from backend.engines.draft.body import Solid, mean_depth
from backend.engines.draft.spec import SPEC
from backend.engines.draft.warp import Cutout
from backend.resources import Resources


class DraftEngine:
    """Composes frames from the photo's own pixels."""

    spec = SPEC

    def __init__(self, resources: Resources | None = None) -> None:
        del resources  # every engine is handed them; this one needs no weights and no device

    def encode(self, control: Control, options: Mapping[str, Scalar]) -> DraftSignal:
        """Cut the photo into plate and layers."""
        return draft_signal(control, softness=float(options["softness"]))

    def notes(self, control: Control, options: Mapping[str, Scalar]) -> tuple[str, ...]:
        """Nothing: a draft is what it is at any size and length."""
        del control, options
        return ()

    def shown(
        self, control: Control, options: Mapping[str, Scalar]
    ) -> tuple[float, float, float, float]:
        """All of the photo."""
        del options
        height, width = control.shot.lift.depth.shape
        return 0, 0, height, width

    @without_gradients()
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
        frames = image.new_empty(total, *image.shape)
        composer = Composer(signal)
        for index in range(total):
            # A frame in which nothing has moved yet is the photo, bit for bit.
            frames[index] = image if signal.rest[index] else composer.frame(index)
            on_step(index + 1, total)
        return frames


class Composer:
    """Makes frames of a signal: the plate, then all else from far to near, hidden where behind."""

    def __init__(self, signal: DraftSignal) -> None:
        self._signal = signal
        self._plate = Cutout(signal.plate)
        self._solids = [Solid(layer) for layer in signal.layers]

    def frame(self, index: int) -> Tensor:
        """One frame ``(3, H, W)``."""
        signal, matrices = self._signal, self._signal.camera_from_rest[index]
        if signal.camera_moves:
            plate, depth = self._moved_plate(matrices[0])
        else:
            plate, depth = signal.plate.rgb, signal.plate_depth.clone()
        colour = plate.clone()
        seen = [solid.seen(matrices[solid.layer.matrix], signal.camera) for solid in self._solids]
        views = [view for view in seen if view is not None]
        for view in sorted(views, key=mean_depth, reverse=True):
            _lay_over(colour, depth, view.window, view.rgb, view.alpha, view.depth, CONTACT)
        # With a still camera, a picked thing that stays is part of the plate, exactly as in the
        # photo. Its own soft outline brings it back over whatever has just passed behind it.
        everywhere = (slice(None), slice(None))
        for alpha, cover_depth in signal.covers:
            _lay_over(colour, depth, everywhere, plate, alpha, cover_depth, 0.0)
        return colour.clamp_(0.0, 1.0)

    def _moved_plate(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """The plate seen from elsewhere, with what the photo never saw filled in.

        What comes into view behind an edge is background, so the far side of the edge counts most.
        """
        signal = self._signal
        view = self._plate.seen(matrix, signal.camera)
        if view is None:
            return torch.zeros_like(signal.plate.rgb), signal.plate_depth.clone()
        rgb = torch.zeros_like(signal.plate.rgb)
        depth = torch.full_like(signal.plate_depth, torch.inf)
        rgb[:, view.window[0], view.window[1]] = view.rgb
        depth[view.window] = view.depth
        known = torch.isfinite(depth)
        far = torch.where(known, depth, 0.0)
        trust = torch.where(known, ((far / far.max()) ** 4).clamp(min=1e-3), 0.0)
        filled = pull_push(torch.cat([rgb, torch.where(known, 1.0 / depth, 0.0)[None]]), trust)
        return (
            torch.where(known, rgb, filled[:3]),
            torch.where(known, depth, 1.0 / filled[3].clamp(min=1e-9)),
        )


def _lay_over(
    colour: Tensor,
    depth: Tensor,
    window: tuple[slice, slice],
    rgb: Tensor,
    alpha: Tensor,
    z: Tensor,
    contact: float,
) -> None:
    """Blend ``rgb`` into a window of ``colour`` where ``z`` is before ``depth``; both change."""
    under, behind = colour[:, window[0], window[1]], depth[window]
    # Softened by half a pixel, so that where two surfaces meet there are no steps.
    shown = alpha * blur((z <= behind * (1 + contact)).float(), 0.5)
    under += shown * (rgb - under)
    depth[window] = torch.where(shown > 0.5, z, behind)
