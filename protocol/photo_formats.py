"""Files that a photo, or a depth map beside it, may be: one list for all who name them."""

from __future__ import annotations

PHOTO: dict[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
}
"""Formats that every backend reads, and their endings."""
HEIC = (".heic", ".heif")
"""Endings of the format that a backend reads with an extra."""

PHOTO_WORDS = f"{', '.join(PHOTO)}; HEIC where the backend has the extra `heif`"
"""For the command line's help and the README."""
PHOTO_GLOB = ";".join(f"*{ending}" for ending in (*sum(PHOTO.values(), ()), *HEIC))
"""For a file browser."""
DEPTH_MAP_WORDS = "a grey PNG or TIFF, an EXR, .npy or .npz"
"""A depth map's formats, for the same."""
