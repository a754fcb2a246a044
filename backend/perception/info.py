"""What makes depth and segments here, in words. No torch: the server's loop reads it."""

from protocol.messages import PerceptionInfo

RAMP = "ground plane"
GIVEN_DEPTH = "depth map from file"
GRABCUT = "GrabCut"
GIVEN_MASK = "mask from file"
FELZENSZWALB = "Felzenszwalb"


def perception_infos() -> tuple[PerceptionInfo, ...]:
    """What a welcome says of depth and segments."""
    return (
        PerceptionInfo(
            task="depth",
            name=RAMP,
            note="No depth network: the photo stands on a flat ground up to the horizon you set.",
        ),
        PerceptionInfo(
            task="segments",
            name=GRABCUT,
            note="No segmentation network: colours around your clicks decide; add clicks or a box.",
        ),
        PerceptionInfo(
            task="automatic segments",
            name=FELZENSZWALB,
            note="Regions of even colour; they hold the scene in place.",
        ),
    )
