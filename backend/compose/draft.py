"""A draft: frames of the photo's own pixels, moved, and where they are trusted."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.compose.body import Solid, mean_depth
from backend.compose.fill import blur, pull_push
from backend.compose.layers import cut_layers
from backend.compose.warp import Cutout, View
from backend.contracts import Draft, DraftFrame, Shot
from backend.control.hidden import CONTACT
from backend.geometry.fit import Fit


class ShotDraft:
    """The draft of a shot: the plate, then all else from far to near, hidden where behind.

    Args:
        shot: the shot.
        softness: least width of the soft edge around what moves, pixels of the photo.
    """

    def __init__(self, shot: Shot, softness: float = 1.0) -> None:
        self._image = shot.lift.image
        self._layers = cut_layers(shot, softness)
        self._plate = Cutout(self._layers.plate)
        self._solids = [Solid(layer) for layer in self._layers.layers]

    def __len__(self) -> int:
        return len(self._layers.camera_from_rest)

    def __getitem__(self, index: int) -> DraftFrame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        # A frame in which nothing has moved yet is the photo, bit for bit.
        if self._layers.rest[index]:
            return DraftFrame(rgb=self._image, trust=torch.ones_like(self._image[0]))
        with torch.no_grad():
            return self._composed(index)

    def _composed(self, index: int) -> DraftFrame:
        layers, matrices = self._layers, self._layers.camera_from_rest[index]
        if layers.camera_moves:
            plate = self._moved_plate(matrices[0])
        else:
            plate = _Canvas(layers.plate.rgb, layers.plate_depth.clone(), layers.plate.trust)
        canvas = _Canvas(plate.rgb.clone(), plate.depth, plate.trust.clone())
        seen = [solid.seen(matrices[solid.layer.matrix], layers.camera) for solid in self._solids]
        views = [view for view in seen if view is not None]
        for view in sorted(views, key=mean_depth, reverse=True):
            canvas.lay_over(view, CONTACT)
        # With a still camera, a picked thing that stays is part of the plate, exactly as in the
        # photo. Its own soft outline brings it back over whatever has just passed behind it.
        everywhere = (slice(None), slice(None))
        for alpha, depth in layers.covers:
            cover = View(
                window=everywhere, rgb=plate.rgb, alpha=alpha, depth=depth, trust=plate.trust
            )
            canvas.lay_over(cover, 0.0)
        return DraftFrame(rgb=canvas.rgb.clamp_(0.0, 1.0), trust=canvas.trust.clamp_(0.0, 1.0))

    def _moved_plate(self, matrix: Tensor) -> _Canvas:
        """The plate seen from elsewhere, with what the photo never saw filled in.

        What comes into view behind an edge is background, so the far side of the edge counts most.
        """
        layers = self._layers
        view = self._plate.seen(matrix, layers.camera)
        rgb = torch.zeros_like(layers.plate.rgb)
        depth = torch.full_like(layers.plate_depth, torch.inf)
        trust = torch.zeros_like(layers.plate_depth)
        if view is None:
            return _Canvas(rgb, layers.plate_depth.clone(), trust)
        rgb[:, view.window[0], view.window[1]] = view.rgb
        depth[view.window] = view.depth
        trust[view.window] = view.trust
        known = torch.isfinite(depth)
        far = torch.where(known, depth, 0.0)
        weight = torch.where(known, ((far / far.max()) ** 4).clamp(min=1e-3), 0.0)
        filled = pull_push(torch.cat([rgb, torch.where(known, 1.0 / depth, 0.0)[None]]), weight)
        return _Canvas(
            torch.where(known, rgb, filled[:3]),
            torch.where(known, depth, 1.0 / filled[3].clamp(min=1e-9)),
            torch.where(known, trust, 0.0),
        )


class _Canvas:
    """A frame in the making: colour, depth and trust of what is nearest so far."""

    def __init__(self, rgb: Tensor, depth: Tensor, trust: Tensor) -> None:
        self.rgb, self.depth, self.trust = rgb, depth, trust

    def lay_over(self, view: View, contact: float) -> None:
        """Blend a view in where it is before what is there; ``contact`` is :data:`CONTACT`."""
        window = view.window
        under, behind = self.rgb[:, window[0], window[1]], self.depth[window]
        trust = self.trust[window]
        # Softened by half a pixel, so that where two surfaces meet there are no steps.
        shown = view.alpha * blur((view.depth <= behind * (1 + contact)).float(), 0.5)
        under += shown * (view.rgb - under)
        trust += shown * (view.trust - trust)
        self.depth[window] = torch.where(shown > 0.5, view.depth, behind)


class FittedDraft:
    """A draft in the frame of a fit; padding is a hole, since the photo has nothing there."""

    def __init__(self, draft: Draft, fit: Fit) -> None:
        self._draft, self._fit = draft, fit

    def __len__(self) -> int:
        return len(self._draft)

    def __getitem__(self, index: int) -> DraftFrame:
        frame, fit = self._draft[index], self._fit
        top, left, height, width = fit.target
        shown = torch.zeros(fit.frame).to(frame.trust)
        shown[top : top + height, left : left + width] = 1.0
        trust = fit.image(frame.trust[None])[0]
        return DraftFrame(rgb=fit.image(frame.rgb), trust=trust * shown)


def shot_draft(shot: Shot, fit: Fit | None = None, softness: float = 1.0) -> Draft:
    """The draft of a shot, in the photo's pixels or in those of a fit's frame."""
    draft = ShotDraft(shot, softness)
    return draft if fit is None else FittedDraft(draft, fit)
