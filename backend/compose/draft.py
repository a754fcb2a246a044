"""The draft of a shot: the photo's layers warped and composited, without a diffusion model."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.compose.filters import blur, pull_push
from backend.compose.layers import Background, layers_from_shot
from backend.compose.solid_layer import SolidLayer, mean_depth
from backend.compose.warp import LayerWarper, WarpedLayer
from backend.contracts import Draft, DraftFrame, Shot
from backend.control.scene_occlusion import CONTACT_TOLERANCE
from backend.geometry.fit import Fit


class ShotDraft:
    """The draft of a shot: layers composited over the plate from far to near, with a depth test.

    Args:
        shot: the shot.
        softness: minimum width of a layer's soft edge, pixels of the photo.
    """

    def __init__(
        self, shot: Shot, softness: float = 1.0, background: Background | None = None
    ) -> None:
        self._image = shot.lift.image
        self._layers = layers_from_shot(shot, softness, background)
        self._plate = LayerWarper(self._layers.plate)
        self._solid_layers = [SolidLayer(layer) for layer in self._layers.layers]

    def __len__(self) -> int:
        return len(self._layers.camera_from_rest)

    def __getitem__(self, index: int) -> DraftFrame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        # A frame without motion is the photo, bit for bit.
        if self._layers.at_rest[index]:
            return DraftFrame(rgb=self._image, trust=torch.ones_like(self._image[0]))
        with torch.no_grad():
            return self._compose_frame(index)

    def _compose_frame(self, index: int) -> DraftFrame:
        layers, matrices = self._layers, self._layers.camera_from_rest[index]
        if layers.camera_moves:
            plate = self._warped_plate(matrices[0])
        else:
            plate = _FrameBuffer(layers.plate.rgb, layers.plate_depth.clone(), layers.plate.trust)
        buffer = _FrameBuffer(plate.rgb.clone(), plate.depth, plate.trust.clone())
        warped = [
            solid.warp(matrices[solid.layer.matrix_index], layers.camera)
            for solid in self._solid_layers
        ]
        views = [view for view in warped if view is not None]
        for view in sorted(views, key=mean_depth, reverse=True):
            buffer.composite(view, CONTACT_TOLERANCE)
        # With a static camera, a picked static instance is part of the plate. It is composited
        # again, with its own matte, over layers that passed behind it.
        everywhere = (slice(None), slice(None))
        for alpha, depth in layers.occluders:
            occluder = WarpedLayer(
                window=everywhere, rgb=plate.rgb, alpha=alpha, depth=depth, trust=plate.trust
            )
            buffer.composite(occluder, 0.0)
        return DraftFrame(rgb=buffer.rgb.clamp_(0.0, 1.0), trust=buffer.trust.clamp_(0.0, 1.0))

    def _warped_plate(self, matrix: Tensor) -> _FrameBuffer:
        """The plate warped to a moved camera, with disocclusions inpainted.

        What is disoccluded is background, so far pixels have the larger weight.
        """
        layers = self._layers
        view = self._plate.warp(matrix, layers.camera)
        rgb = torch.zeros_like(layers.plate.rgb)
        depth = torch.full_like(layers.plate_depth, torch.inf)
        trust = torch.zeros_like(layers.plate_depth)
        if view is None:
            return _FrameBuffer(rgb, layers.plate_depth.clone(), trust)
        rgb[:, view.window[0], view.window[1]] = view.rgb
        depth[view.window] = view.depth
        trust[view.window] = view.trust
        known = torch.isfinite(depth)
        far = torch.where(known, depth, 0.0)
        weight = torch.where(known, ((far / far.max()) ** 4).clamp(min=1e-3), 0.0)
        filled = pull_push(torch.cat([rgb, torch.where(known, 1.0 / depth, 0.0)[None]]), weight)
        return _FrameBuffer(
            torch.where(known, rgb, filled[:3]),
            torch.where(known, depth, 1.0 / filled[3].clamp(min=1e-9)),
            torch.where(known, trust, 0.0),
        )


class _FrameBuffer:
    """Colour, depth and trust of the frame composited so far."""

    def __init__(self, rgb: Tensor, depth: Tensor, trust: Tensor) -> None:
        self.rgb, self.depth, self.trust = rgb, depth, trust

    def composite(self, view: WarpedLayer, tolerance: float) -> None:
        """Blend a layer in where it passes the depth test, with a relative tolerance."""
        window = view.window
        under, behind = self.rgb[:, window[0], window[1]], self.depth[window]
        trust = self.trust[window]
        # The depth test is blurred by half a pixel against aliasing where surfaces intersect.
        shown = view.alpha * blur((view.depth <= behind * (1 + tolerance)).float(), 0.5)
        under += shown * (view.rgb - under)
        trust += shown * (view.trust - trust)
        self.depth[window] = torch.where(shown > 0.5, view.depth, behind)


class FittedDraft:
    """A draft in the frame of a fit; padding is a hole, since the photo does not cover it."""

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
