"""Names of the depth and segmentation models, and their list in a welcome. Imports no torch."""

from collections.abc import Callable

from protocol.flat_scene import BACKDROP as BACKDROP_KIND
from protocol.flat_scene import DEPTH_NAMES, GROUND
from protocol.messages import PerceptionInfo

RAMP, BACKDROP = DEPTH_NAMES[GROUND], DEPTH_NAMES[BACKDROP_KIND]
GIVEN_DEPTH = "depth map from file"
GRABCUT = "GrabCut"
GIVEN_MASK = "mask from file"
FELZENSZWALB = "Felzenszwalb"

DEPTH = ("depth-anything-v2-large", "depth-anything-v2-base", "depth-anything-v2-small")
"""Depth networks, the best first; ``auto`` takes the first one whose weights are available."""
SEGMENTS = (
    "sam2.1-hiera-large",
    "sam-vit-huge",
    "sam2.1-hiera-base-plus",
    "sam-vit-large",
    "sam2.1-hiera-small",
    "sam-vit-base",
    "sam2.1-hiera-tiny",
)
"""The same for segmentation networks."""
SUGGESTED_DEPTH, SUGGESTED_SEGMENTS = "depth-anything-v2-small", "sam2.1-hiera-small"
"""Recommended first downloads: small, fast on a CPU, with a permissive licence."""


def perception_infos(available: Callable[[str], bool]) -> tuple[PerceptionInfo, ...]:
    """The perception models of a welcome: every model that may be requested, the best first.

    Args:
        available: whether the weights of that name can be loaded.
    """
    depth, segments = ([name for name in names if available(name)] for names in (DEPTH, SEGMENTS))
    return (
        *(PerceptionInfo(task="depth", name=name) for name in depth),
        PerceptionInfo(
            task="depth",
            name=RAMP,
            note="A flat ground up to the horizon you set, or one backdrop."
            if depth
            else "No depth network: the photo is a flat ground up to a horizon, or one backdrop."
            f" `levitor weights fetch {SUGGESTED_DEPTH}` gets one.",
        ),
        *(PerceptionInfo(task="segments", name=name) for name in segments),
        PerceptionInfo(
            task="segments",
            name=GRABCUT,
            note="Colours around your clicks decide."
            if segments
            else "No segmentation network: colours around your clicks decide; add clicks or a box."
            f" `levitor weights fetch {SUGGESTED_SEGMENTS}` gets one.",
        ),
        *(PerceptionInfo(task="automatic segments", name=name) for name in segments),
        PerceptionInfo(
            task="automatic segments",
            name=FELZENSZWALB,
            note="Regions of even colour; they hold the scene in place.",
        ),
    )
