"""Pinhole cameras: intrinsics from a field of view or focal length, projection, unprojection."""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math

import torch
from torch import Tensor

from backend.contracts import Camera

DEFAULT_FOV = 50.0
"""Horizontal degrees if neither EXIF nor the artist gives it; a 39 mm lens on full frame."""


def intrinsics_from_fov(horizontal_fov: float, height: int, width: int) -> Tensor:
    """Intrinsics with square pixels and a centred principal point.

    Args:
        horizontal_fov: degrees, between 1 and 175.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        ``(3, 3)`` float64, pixels.

    Raises:
        ValueError: the field of view is out of range.
    """
    if not 1.0 <= horizontal_fov <= 175.0:
        raise ValueError(
            f"a horizontal field of view of {horizontal_fov:g} degrees is not between 1 and 175"
        )
    focal = width / 2 / math.tan(math.radians(horizontal_fov) / 2)
    return intrinsics_from_focal(focal, focal, width / 2, height / 2)


def fov_from_focal(focal: float, width: int) -> float:
    """Horizontal field of view in degrees; the inverse of :func:`intrinsics_from_fov`.

    Args:
        focal: horizontal focal length, pixels.
        width: of the image, pixels.
    """
    return math.degrees(2 * math.atan(width / 2 / focal))


def intrinsics_from_focal(fx: float, fy: float, cx: float, cy: float) -> Tensor:
    """``(3, 3)`` float64 from focal lengths and principal point in pixels."""
    return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]], dtype=torch.float64)


def scaled_intrinsics(intrinsics: Tensor, x: float, y: float) -> Tensor:
    """Intrinsics after the image was resized by ``x`` horizontally and ``y`` vertically."""
    return torch.diag(intrinsics.new_tensor([x, y, 1.0])) @ intrinsics


def unproject(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Lift every pixel to a 3D point in its camera's frame.

    Args:
        depth: ``(..., H, W)``, z in scene units, positive.
        intrinsics: ``(..., 3, 3)``, pixels, centres at half-integers.

    Returns:
        ``(..., H, W, 3)`` in OpenCV camera axes, of the dtype of ``depth``.

    Raises:
        ValueError: the intrinsics do not end in ``3, 3``.
    """
    if intrinsics.shape[-2:] != (3, 3):
        raise ValueError(f"intrinsics must end in (3, 3), got {tuple(intrinsics.shape)}")
    height, width = depth.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=depth.device, dtype=torch.float64) + 0.5,
        torch.arange(width, device=depth.device, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    pixel = torch.stack([x, y, torch.ones_like(x)], -1)
    inverse: Tensor = torch.linalg.inv(intrinsics.to(torch.float64))
    rays = torch.einsum("...ij,hwj->...hwi", inverse.to(pixel), pixel)
    return (rays * depth[..., None]).to(depth.dtype)


def project(points: Tensor, camera: Camera) -> Tensor:
    """Pixels of points in camera axes.

    Args:
        points: ``(..., 3)``. For z <= 0 the result is meaningless; the caller culls.
        camera: the camera.

    Returns:
        ``(..., 2)`` (x, y) in pixels.
    """
    k = camera.intrinsics.to(points)
    x, y, z = points.unbind(-1)
    return torch.stack([(k[0, 0] * x + k[0, 1] * y) / z + k[0, 2], k[1, 1] * y / z + k[1, 2]], -1)
