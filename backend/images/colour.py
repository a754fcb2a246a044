"""Colour management: converts a photo's colours to sRGB before they are rounded to 8 bits.

littleCMS does the conversion, through imagecodecs, which keeps 16 bits and floating point. Colour
metadata without an ICC profile (cICP, gAMA and cHRM, EXIF) are turned into one.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageCms

from backend.images.image_file import wrap_codec_errors
from backend.images.raster import Raster
from protocol.errors import ShotError

Array = npt.NDArray[Any]

SRGB_TOLERANCE = 2
"""Levels of 255; a profile that changes no colour by more is treated as sRGB, so that sRGB
photos keep their pixels to the bit."""
SPACES = {"grey": b"GRAY", "rgb": b"RGB ", "cmyk": b"CMYK", "lab": b"Lab "}
CLASSES = frozenset((b"mntr", b"scnr", b"prtr", b"spac"))
D65 = (0.3127, 0.3290)
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
PRIMARIES = {
    1: ("Rec.709", D65, REC709),
    9: ("Rec.2020", D65, (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("DCI-P3", (0.314, 0.351), (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: ("Display P3", D65, (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
}
"""Name, white and red, green and blue of ITU-T H.273's colour primaries."""
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
PQ, HLG = 16, 18
"""HDR transfer functions of H.273."""
WHITE_NITS = 203.0
"""Luminance of HDR paper white (ITU-R BT.2408); brighter values are clipped."""
SRGB_GAMMA = 1 / 2.2
_STEPS = np.linspace(0.0, 1.0, 4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An ICC profile and its name."""

    data: bytes
    name: str
    hdr: bool = False


def to_srgb(raster: Raster, notes: list[str]) -> Array:
    """uint8 (H, W, 3) sRGB of a raster, without its alpha.

    Args:
        raster: to convert.
        notes: sentences on what was done are appended.
    """
    values, space = raster.values, raster.space
    if values.dtype.kind == "f":
        _note_clipping(values, notes)
        values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=1.0).clip(0.0, 1.0)
    profile = _source_profile(raster, notes)
    if space == "grey" and profile is not None and profile.data[16:20] == SPACES["rgb"]:
        values, space = np.repeat(values[..., None], 3, -1), "rgb"
    if raster.bits > 8:
        kind = "floating-point" if values.dtype.kind == "f" else f"{raster.bits}-bit"
        notes.append(f"The photo's {kind} values were reduced to 8 bits.")
    if profile is not None:
        notes.append(f"The photo's colours were converted from {profile.name} to sRGB.")
        if profile.hdr:
            notes.append("The photo is HDR: what is brighter than paper white was cut to white.")
        return _converted(_scaled(values, raster.top), profile.data, space)
    if space == "cmyk":
        notes.append(
            "The photo is CMYK without a usable profile, so its colours are approximate; "
            "convert it to sRGB in an image editor for the right ones."
        )
        light = 1.0 - values.astype(np.float32) / raster.top
        return (light[..., :3] * light[..., 3:] * 255.0).round().astype(np.uint8)
    eight = _to_uint8(values, raster.top)
    return np.repeat(eight[..., None], 3, -1) if space == "grey" else eight


def _source_profile(raster: Raster, notes: list[str]) -> Profile | None:
    """The source profile; None if the colours are sRGB or unknown."""
    import imagecodecs

    if raster.space == "lab":  # device independent
        return Profile(data=imagecodecs.cms_profile("lab4"), name="Lab")
    try:
        with wrap_codec_errors("colour profile"):
            profile = _profile_of(raster)
            if profile is None:
                if raster.info.get("exif") == "unknown":
                    notes.append(
                        "The photo's file says that its colours are not sRGB, but not what they "
                        "are; they were taken as sRGB."
                    )
                return None
            wanted, found = SPACES[raster.space], profile.data[16:20]
            if profile.data[12:16] not in CLASSES or (
                found != wanted and (raster.space, found) != ("grey", SPACES["rgb"])
            ):
                name = found.decode("ascii", "replace").strip()
                raise ValueError(f"it is for {name}, and the photo is {raster.space.upper()}")
            return None if _is_srgb(profile.data) else profile
    except ShotError as error:
        reason = str(error.__cause__).rstrip(".")
        notes.append(
            f"The photo's colour profile cannot be used ({reason}) and was ignored; its colours "
            "may be off."
        )
        return None


def _profile_of(raster: Raster) -> Profile | None:
    """The profile of a file: from cICP, the ICC profile, gAMA and cHRM, then EXIF data."""
    import imagecodecs

    info = raster.info
    if info.get("cicp") and (coded := _profile_from_cicp(*info["cicp"])) is not None:
        return coded
    if raster.profile:
        about = ImageCms.ImageCmsProfile(io.BytesIO(raster.profile))
        name = " ".join(ImageCms.getProfileDescription(about).split()) or "its profile"
        return Profile(data=raster.profile, name=name)
    if info.get("gamma") or info.get("chromaticity"):
        return _profile_from_chromaticity(info.get("gamma"), info.get("chromaticity"))
    if info.get("exif") == "Adobe RGB":
        return Profile(data=imagecodecs.cms_profile("adobergb"), name="Adobe RGB")
    return None


def _profile_from_cicp(primaries: int, transfer: int) -> Profile | None:
    """A profile for H.273 code points; None for sRGB and for unknown ones."""
    if primaries not in PRIMARIES or (primaries == 1 and not _transfer_curve(transfer)):
        return None
    name, white, colours = PRIMARIES[primaries]
    curve, called = _transfer_curve(transfer) or (_srgb_to_linear(_STEPS), "")
    return Profile(
        data=_matrix_profile(white, colours, curve),
        name=f"{name} {called}".strip(),
        hdr=transfer in (PQ, HLG),
    )


def _transfer_curve(transfer: int) -> tuple[Array, str] | None:
    """Light in [0, 1] over :data:`_STEPS`, 1 is paper white; None for those like sRGB's.

    Source: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG, without its display's gamma).
    """
    if transfer in GAMMAS:
        return _STEPS ** GAMMAS[transfer], f"(gamma {GAMMAS[transfer]:g})"
    if transfer == PQ:
        root = _STEPS ** (1 / 78.84375)
        ratio = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        light = ratio ** (1 / 0.1593017578125) * 10_000 / WHITE_NITS
        return np.minimum(light, 1.0), "(PQ)"
    if transfer == HLG:
        high = (np.exp((_STEPS - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(_STEPS <= 0.5, _STEPS**2 / 3, high)
        # 75 % of the signal is paper white
        return np.minimum(light / np.interp(0.75, _STEPS, light), 1.0), "(HLG)"
    return None


def _profile_from_chromaticity(gamma: float | None, chromaticity: Any) -> Profile | None:
    """A profile for PNG's gAMA and cHRM; None if both are those of sRGB."""
    near_curve = gamma is None or abs(gamma - SRGB_GAMMA) < 0.02
    spots = tuple(chromaticity or (*D65, *REC709))
    near_spots = max(abs(a - b) for a, b in zip(spots, (*D65, *REC709), strict=True)) < 0.005
    if (near_curve and near_spots) or (gamma is not None and gamma <= 0):
        return None
    curve = _srgb_to_linear(_STEPS) if near_curve else _STEPS ** (1 / (gamma or 1.0))
    return Profile(
        data=_matrix_profile(spots[:2], spots[2:], curve), name="what its PNG file describes"
    )


def _matrix_profile(white: Any, colours: Any, curve: Array) -> bytes:
    import imagecodecs

    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=[*white, 1.0],
        primaries=[*colours[:2], 1.0, *colours[2:4], 1.0, *colours[4:], 1.0],
        transferfunction=np.asarray(curve, np.float32),
    )


def _srgb_to_linear(signal: Array) -> Array:
    """Linear light of an sRGB signal, both in [0, 1]."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile is sRGB within :data:`SRGB_TOLERANCE`.

    Raises:
        ValueError: it maps white to a dark colour.
    """
    steps, space = np.linspace(0, 255, 9).round().astype(np.uint8), profile[16:20]
    if space == SPACES["rgb"]:
        grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 9, 3)
        found, same = _converted(grid, profile, "rgb"), grid
        white = found[-1, -1]
    elif space == SPACES["grey"]:
        grey = np.arange(256, dtype=np.uint8)[None]
        found, same = _converted(grey, profile, "grey"), np.repeat(grey[..., None], 3, -1)
        white = found[0, -1]
    elif space == SPACES["cmyk"]:
        found = same = _converted(np.zeros((1, 1, 4), np.uint8), profile, "cmyk")
        white = found[0, 0]
    else:
        return False
    if white.min() < 128:  # damage that littleCMS does not detect
        raise ValueError(f"it makes rgb{tuple(white.tolist())} of white")
    return space != SPACES["cmyk"] and bool(
        np.abs(found.astype(int) - same.astype(int)).max() <= SRGB_TOLERANCE
    )


def _converted(values: Array, profile: bytes, space: str) -> Array:
    """uint8 (H, W, 3) sRGB; perceptual intent, as in image editors."""
    import imagecodecs

    return imagecodecs.cms_transform(
        np.ascontiguousarray(values),
        profile,
        imagecodecs.cms_profile("srgb"),
        colorspace={"grey": "gray"}.get(space, space),
        outcolorspace="rgb",
        outdtype="uint8",
        intent=0,
    )


def _scaled(values: Array, top: float) -> Array:
    """In a type that littleCMS takes: uint8, full-range uint16, or floating point."""
    if values.dtype == np.uint8 or values.dtype.kind == "f":
        return values
    if values.dtype == np.uint16 and top == 65535:
        return values
    return (values.clip(0, top) * (65535.0 / top)).round().astype(np.uint16)


def _to_uint8(values: Array, top: float) -> Array:
    if values.dtype == np.uint8 and top == 255:
        return values
    return (values.clip(0, top) * np.float32(255.0 / top)).round().astype(np.uint8)


def _note_clipping(values: Array, notes: list[str]) -> None:
    """Append a note if floating-point values are clipped."""
    finite = values[np.isfinite(values)]
    if finite.size < values.size or (finite.size and (finite.min() < 0 or finite.max() > 1)):
        low, high = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
        notes.append(
            f"The photo's floating-point values reach from {low:.3g} to {high:.3g}; what is not "
            "between 0 (black) and 1 (white) was cut."
        )
