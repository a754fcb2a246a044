"""Warps an RGBD layer to a new view: splats its source coordinates, then samples its texture.

Splatting *coordinates* rather than colours keeps magnified layers sharp: coordinates are
interpolated between source pixels, and the texture is sampled there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.compose.layers import Layer
from backend.contracts import Camera
from backend.geometry.camera import project

MAX_SUBDIVISION = 8
DEPTH_TOLERANCE = 1.03
"""Points up to 3 % farther than the nearest one in a pixel are blended with it."""
MAX_GAP = 1.6
"""Pixels between neighbouring points. Below 2, every pixel is within the 2 x 2 taps of a point."""
MIN_WEIGHT = 1e-3
"""Bilinear weight below which a point neither contributes to a pixel nor occludes it."""


@dataclass(frozen=True, slots=True)
class WarpedLayer:
    """A layer warped to one frame, on the window of the frame that it covers.

    Attributes:
        window: rows and columns of the frame.
        rgb: ``(3, h, w)``.
        alpha: ``(h, w)``, 0 outside the layer.
        depth: ``(h, w)``, +inf outside the layer.
        trust: ``(h, w)``, 1 for the photo's own pixels, 0 for inpainted ones.
    """

    window: tuple[slice, slice]
    rgb: Tensor
    alpha: Tensor
    depth: Tensor
    trust: Tensor


class LayerWarper:
    """Warps a layer to many frames; holds what does not depend on the frame.

    Args:
        layer: the layer.
        scales: ``(n,)``; if given, n copies of the layer are warped as one, each scaled by its
            factor about the photo's camera.
    """

    def __init__(self, layer: Layer, scales: Tensor | None = None) -> None:
        self.layer = layer
        self._texture = torch.cat([layer.rgb, layer.alpha[None], layer.trust[None]])[None]
        row, column = torch.nonzero(layer.support, as_tuple=True)
        self.rest = layer.xyz[:, row, column].T.contiguous()
        self._source = torch.stack([column, row], -1).to(layer.xyz) + 0.5
        self._scales: Tensor | None = None
        if scales is not None:
            self._scales = scales.to(layer.xyz).repeat_interleave(len(row))[:, None]
            self.rest = self.rest.repeat(len(scales), 1) * self._scales
            self._source = self._source.repeat(len(scales), 1)

    def warp(self, matrix: Tensor, camera: Camera) -> WarpedLayer | None:
        """The layer under ``matrix`` (4, 4), camera_from_rest; None if it is out of the frame."""
        matrix = matrix.to(self.rest)
        scale = torch.linalg.matrix_norm(matrix[:3, :3], ord=2)
        points, source, magnification = self._subdivided(matrix, scale, camera)
        pixel = project(points, camera) - 0.5
        z = points[:, 2]
        inside = (z > 1e-6) & (pixel > -1).all(1)
        inside &= (pixel[:, 0] < camera.width) & (pixel[:, 1] < camera.height)
        kept = torch.nonzero(inside)[:, 0]
        if not len(kept):
            return None
        pixel, z, source, magnification = pixel[kept], z[kept], source[kept], magnification[kept]
        low = pixel.floor().amin(0).clamp(min=0).long().tolist()
        high = (pixel.floor().amax(0) + 2).long().tolist()
        left, top = low
        right, bottom = min(high[0], camera.width), min(high[1], camera.height)
        source_from_frame = _source_from_frame(matrix[:2, :2] / scale)
        pixel = pixel - pixel.new_tensor(low)
        field = _splat(
            pixel, z, source, magnification, source_from_frame, bottom - top, right - left
        )
        u, v, depth, known = _fill_cracks(field)
        sampled = self._sample(self._texture, torch.stack([u, v], -1))
        return WarpedLayer(
            window=(slice(top, bottom), slice(left, right)),
            rgb=sampled[:3],
            alpha=sampled[3] * known,
            depth=torch.where(known > 0, depth, torch.inf),
            trust=sampled[4],
        )

    def _subdivided(
        self, matrix: Tensor, scale: Tensor, camera: Camera
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Points in camera axes, their (u, v) in the layer, and their magnification.

        A source pixel that covers several pixels of the frame is subdivided; one out of the frame
        is culled. So there are about as many points as the frame has pixels, however near the layer
        comes.
        """
        points = _moved(self.rest, matrix)
        z = points[:, 2]
        magnification = torch.where(z > 1e-6, self.rest[:, 2] / z, 0.0) * scale
        margin = 1 + magnification.clamp(max=MAX_SUBDIVISION * MAX_GAP)
        pixel = project(points, camera)
        inside = (z > 1e-6) & (pixel[:, 0] > -margin) & (pixel[:, 0] < camera.width + margin)
        inside &= (pixel[:, 1] > -margin) & (pixel[:, 1] < camera.height + margin)
        steps = torch.ceil(magnification / MAX_GAP).clamp(1, MAX_SUBDIVISION)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for count in range(1, MAX_SUBDIVISION + 1):
            kept = torch.nonzero(inside & (steps == count))[:, 0]
            if not len(kept):
                continue
            if count == 1:
                parts.append((points[kept], self._source[kept], magnification[kept]))
                continue
            offset = (torch.arange(count).to(points) + 0.5) / count - 0.5
            grid = torch.cartesian_prod(offset, offset)
            source = (self._source[kept, None] + grid).reshape(-1, 2)
            rest = self._sample(self.layer.xyz[None], source[None])[:, 0].T
            if self._scales is not None:
                rest = rest * self._scales[kept].repeat_interleave(len(grid), 0)
            parts.append(
                (_moved(rest, matrix), source, magnification[kept].repeat_interleave(len(grid)))
            )
        if not parts:
            return points[:0], self._source[:0], magnification[:0]
        first, second, third = zip(*parts, strict=True)
        return torch.cat(first), torch.cat(second), torch.cat(third)

    def _sample(self, texture: Tensor, source: Tensor) -> Tensor:
        """``(C, h, w)``: ``texture`` (1, C, H, W) at the (u, v) of ``(h, w, 2)``."""
        height, width = self.layer.alpha.shape
        grid = 2 * source / source.new_tensor([width, height]) - 1
        return F.grid_sample(texture, grid[None], padding_mode="border", align_corners=False)[0]


def _moved(points: Tensor, matrix: Tensor) -> Tensor:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _splat(
    pixel: Tensor,
    z: Tensor,
    source: Tensor,
    magnification: Tensor,
    source_from_frame: Tensor,
    height: int,
    width: int,
) -> Tensor:
    """Weighted means of u, v and z over the nearest surface, and their weight, ``(4, H, W)``.

    Every point contributes bilinearly to the 2 x 2 pixels around it, with the (u, v) extrapolated
    to the centre of each pixel by ``magnification`` (frame pixels per source pixel) and
    ``source_from_frame`` (rotation of the axes). The buffers have a margin of a pixel, so that taps
    need no bounds check.
    """
    corner = pixel.floor()
    fx, fy = (pixel - corner).unbind(-1)
    stride = width + 2
    first = ((corner[:, 1] + 1) * stride + corner[:, 0] + 1).long()
    nearest = torch.full(((height + 2) * stride,), torch.inf, dtype=z.dtype, device=z.device)
    taps: list[tuple[int, Tensor, Tensor, Tensor, Tensor]] = []
    for down in (0, 1):
        for across in (0, 1):
            dx, dy = across - fx, down - fy
            weight = (1 - dx.abs()) * (1 - dy.abs())
            occluding_z = torch.where(weight > MIN_WEIGHT, z, torch.inf)
            start = down * stride + across
            nearest[start:].scatter_reduce_(0, first, occluding_z, "amin")
            du = (source_from_frame[0, 0] * dx + source_from_frame[0, 1] * dy) / magnification
            dv = (source_from_frame[1, 0] * dx + source_from_frame[1, 1] * dy) / magnification
            taps.append((start, du, dv, weight, occluding_z))
    limit = nearest * DEPTH_TOLERANCE
    total = torch.zeros(nearest.numel(), 4, dtype=z.dtype, device=z.device)
    u, v = source.unbind(-1)
    one = torch.ones_like(z)
    for start, du, dv, weight, occluding_z in taps:
        front = (occluding_z <= limit[start:][first]) & (occluding_z < torch.inf)
        weight = torch.where(front, weight, 0.0)
        values = torch.stack([u + du, v + dv, z, one], -1)
        total[start:].index_add_(0, first, values * weight[:, None])
    total = total.reshape(height + 2, stride, 4)[1:-1, 1:-1].movedim(-1, 0)
    return torch.cat([total[:3] / total[3:].clamp(min=1e-6), total[3:]])


def _source_from_frame(block: Tensor) -> Tensor:
    """``(2, 2)``: a step in the frame as a step in the layer, for a fronto-parallel layer.

    ``block`` is the upper left of a rotation. Zero for a layer seen nearly edge-on.
    """
    flat = abs(float(block[0, 0] * block[1, 1] - block[0, 1] * block[1, 0])) < 0.3
    return torch.zeros_like(block) if flat else torch.linalg.inv(block)


def _fill_cracks(field: Tensor) -> Tensor:
    """Fill single missing pixels of u, v, z from their neighbours; the last channel is coverage."""
    known = (field[-1:] > MIN_WEIGHT).to(field)
    field = torch.cat([field[:-1] * known, known])
    near = F.avg_pool2d(field[None], 3, stride=1, padding=1)[0]
    crack = (known == 0) & (near[-1:] > 4.5 / 9)
    return torch.where(crack, near / near[-1:].clamp(min=1e-6), field)
