"""PyTorch3D's point rasteriser behind the signature of our splatter, as a reference.

The only file that knows the package, which is optional and has no wheels; it is imported when a
frame is asked for.
"""

# Parts of torch carry no types, and PyTorch3D is not there where types are checked.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import Camera
from backend.geometry.camera import project


def splat_frame(
    points: Tensor, instance: Tensor, camera: Camera, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """One frame, as :func:`backend.geometry.splat.splat_frame` gives it.

    Args:
        points: ``(P, 3)`` float32 in camera axes.
        instance: ``(P,)`` int ids, 0 or more.
        camera: of the image.
        radius: ``(P,)`` pixels.

    Returns:
        ``(H, W)`` int32 ids, -1 where no point was splatted, and ``(H, W)`` float32 z, +inf there.

    Raises:
        ValueError: PyTorch3D is not installed.
    """
    try:
        from pytorch3d.renderer.points.rasterize_points import rasterize_points
        from pytorch3d.structures import Pointclouds
    except ModuleNotFoundError as error:
        raise ValueError(
            "rasteriser 'pytorch3d' needs the package pytorch3d, which is not installed; "
            "rasteriser 'own' shows the same ids without it"
        ) from error
    size = camera.height, camera.width
    ndc, reach, order = ndc_points(points, instance, camera, radius)
    if not len(order):
        nothing = torch.full(size, -1, dtype=torch.int64, device=points.device)
        return ids_and_depth(nothing, points, instance)
    # Bins may overflow and drop points on a GPU; without them every point is tested
    nearest, _, _ = rasterize_points(
        Pointclouds([ndc]), image_size=size, radius=reach[None], points_per_pixel=1, bin_size=0
    )
    nearest = nearest[0, ..., 0].long()
    found = torch.where(nearest >= 0, order[nearest.clamp(min=0)], -1)
    return ids_and_depth(found, points, instance)


def ndc_from_pixels(pixel: Tensor, height: int, width: int) -> Tensor:
    """PyTorch3D's normalised device coordinates of pixels.

    The shorter side spans [-1, 1], the longer one proportionally more; +x points left and +y up,
    0 is the centre.

    Args:
        pixel: ``(..., 2)`` (x, y) in pixels.
        height: of the image.
        width: of the image.
    """
    middle = pixel.new_tensor([width / 2, height / 2])
    return (middle - pixel) * ndc_per_pixel(height, width)


def ndc_per_pixel(height: int, width: int) -> float:
    """Length of a pixel in normalised coordinates."""
    return 2.0 / min(height, width)


def ndc_points(
    points: Tensor, instance: Tensor, camera: Camera, radius: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Points in the order and coordinates for which PyTorch3D gives our ids.

    Of equally near points it shows the first, so smaller ids come first. It culls z < 0 only, so
    z <= 0 is left out here.

    Returns:
        ``(Q, 3)`` x and y in normalised coordinates and z, ``(Q,)`` radii in the same unit, and
        ``(Q,)`` the index of each among all points.
    """
    order = torch.argsort(instance, stable=True)
    order = order[points[order, 2] > 0]
    pixel = project(points[order], camera)
    xy = ndc_from_pixels(pixel, camera.height, camera.width)
    reach = radius[order] * ndc_per_pixel(camera.height, camera.width)
    return torch.cat([xy, points[order, 2:]], 1), reach, order


def ids_and_depth(found: Tensor, points: Tensor, instance: Tensor) -> tuple[Tensor, Tensor]:
    """Ids and z of the visible point in each pixel.

    Args:
        found: ``(H, W)`` int64 index of a point, -1 where no point was splatted.
        points: ``(P, 3)``.
        instance: ``(P,)``.
    """
    seen = found >= 0
    ids = torch.full_like(found, -1, dtype=torch.int32)
    depth = torch.full_like(found, torch.inf, dtype=torch.float32)
    ids[seen] = instance[found[seen]].to(torch.int32)
    depth[seen] = points[found[seen], 2].to(torch.float32)
    return ids, depth
