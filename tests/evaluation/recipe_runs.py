"""Runs of tables on tiny sets, with networks that stand for the real ones."""

from __future__ import annotations

import json

from backend.evaluation.features import RandomProjection
from backend.evaluation.flow import DIS
from backend.evaluation.published import recipe_of
from backend.evaluation.recipes.controls import ClipDepth
from backend.evaluation.recipes.measure import Measures
from backend.evaluation.recipes.plan import parsed_engines, parsed_videos
from backend.evaluation.recipes.report import content_of
from backend.evaluation.recipes.request import Request
from backend.evaluation.recipes.run import run_recipe
from backend.evaluation.trackers import LucasKanade
from backend.resources import Resources
from tests.evaluation.clip_sets import DrawnClips, Manifest

THREE = ("a/0", "a/1", "b/0")
WITH_DRAFT = {"levitor-1", "sgi2v-1", "conductor-1", "thesis-4.2"}
FLAT = ClipDepth("offline", Resources())


def measures(**changes):
    return Measures(
        tracker=LucasKanade(window=9, levels=2),
        flow=DIS(),
        depth=FLAT,
        inception=RandomProjection("frames"),
        i3d=RandomProjection("clips"),
        **changes,
    )


def no_weights(engine, checkpoint):
    from backend.resources import no_weights

    return no_weights


def request(name, out, *, engines=("draft",), videos=(), sets=None, clips=THREE, **changes):
    recipe = recipe_of(name)
    if sets is None:
        sets = {
            part: DrawnClips(names=clips, manifest=Manifest(points=points))
            for part, points in recipe.sets.items()
        }
    return Request(
        recipe=recipe,
        sets=sets,
        engines=parsed_engines(recipe, engines, no_weights),
        videos=parsed_videos(recipe, videos, list(sets)),
        out=out,
        depth="offline",
        **changes,
    )


def run(wanted, own=None):
    """As JSON has it; pictures are drawn where a test is about them."""
    own = own or measures()
    found = content_of(run_recipe(wanted, own), own, ["cpu"])
    return json.loads(json.dumps(found, allow_nan=False))
