"""What a client may know of the toy engine: everything that a specification can say."""

from __future__ import annotations

from collections.abc import Mapping

from backend.engines.base import EngineSpec, Scalar
from protocol.frames import FrameRule
from protocol.messages import EngineOption


def weights(options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """A finer model needs more of them."""
    return ("toy", "toy-fine") if options["mode"] == "fine" else ()


SPEC = EngineSpec(
    name="toy",
    label="Toy",
    help="The photo, tinted: an engine with an option of every kind.",
    frames=FrameRule(min=1, max=81, step=4),
    requires=frozenset({"boxes", "prompt"}),
    weights=weights,
    stochastic=False,
    options=(
        EngineOption(
            name="prompt", label="Prompt", help="Words", default="", kind="text", length=60
        ),
        EngineOption(
            name="mode",
            label="Mode",
            help="How it is made",
            default="quick",
            choices=("quick", "soft", "fine"),
            group="Quality",
        ),
        EngineOption(
            name="softness",
            label="Softness",
            help="Of the soft and the fine mode",
            default=0.5,
            low=0.0,
            high=1.0,
            group="Quality",
            visible_if=("mode", "soft", "fine"),
        ),
        EngineOption(
            name="which",
            label="Instances",
            help="Those that are tinted",
            default="",
            kind="instances",
            group="Look",
        ),
        EngineOption(
            name="tint",
            label="Tint",
            help="How much red is added",
            default=0.25,
            low=0.0,
            high=1.0,
            group="Look",
        ),
        EngineOption(
            name="mirror", label="Mirror", help="Left is right", default=False, advanced=True
        ),
        EngineOption(
            name="seeds",
            label="Seeds",
            help="A whole number",
            default=1,
            low=1,
            high=9,
            group="Randomness",
            advanced=True,
            visible_if=("mirror", True),
        ),
        EngineOption(name="note", label="Note", help="A line", default="", advanced=True),
    ),
)
