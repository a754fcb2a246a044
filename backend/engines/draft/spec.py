"""What a client may know of the draft engine. No torch here: the server's loop reads it."""

from backend.engines.base import EngineSpec
from protocol.messages import EngineOption

SPEC = EngineSpec(
    name="draft",
    label="Draft",
    help="Moves the photo's own pixels with exact occlusion; no weights, any size.",
    requires=frozenset({"draft"}),
    stochastic=False,
    measured=False,
    options=(
        EngineOption(
            name="softness",
            label="Edge Softness",
            help="Width in pixels of the soft edge around what moves",
            default=1.0,
            low=0.0,
            high=4.0,
        ),
    ),
)
