"""What a client may know of the still engine."""

from backend.engines.base import EngineSpec
from protocol.messages import EngineOption

SPEC = EngineSpec(
    name="still",
    label="Still",
    help="Shows the photo for the whole shot: a stand-in for edits, and the tutorial for engines.",
    stochastic=False,  # another seed gives the same frames
    options=(
        EngineOption(
            name="brightness",
            label="Brightness",
            help="Multiplies every pixel",
            default=1.0,
            low=0.0,
            high=1.0,
        ),
    ),
)
