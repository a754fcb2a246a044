"""Which checkpoint a run goes on from, and what of a folder it may not touch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.training import checkpoints
from backend.training.checkpoints import Checkpoint
from backend.training.config import differences
from backend.training.journal import METRICS
from protocol.errors import ShotError

log = logging.getLogger(__name__)

AUTO, NO = "auto", "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run lies, and on what it runs.

    Attributes:
        out: the run's folder.
        resume: ``auto`` goes on from the last whole checkpoint in ``out``, and begins where there
            is no checkpoint at all; ``no`` begins; else a checkpoint's folder, or another run's.
        force: go on although options that decide the weights are others.
        processes: that must be there; None takes any number.
        cpu: use no GPU.
    """

    out: Path
    resume: str = NO
    force: bool = False
    processes: int | None = None
    cpu: bool = False


def starting_point(place: Place, config: Mapping[str, Any], steps: int) -> Checkpoint | None:
    """The checkpoint to go on from; None begins anew.  Changes no file.

    Args:
        place: of the run.
        config: the run's options, flat.
        steps: that the run is to make in all.

    Raises:
        ShotError: the folder holds another run; the checkpoint is not there, not whole, of another
            version or of other options, or has more steps than the run is to make; or there are
            checkpoints and none of them is whole.
    """
    found = _chosen(place)
    if found is None:
        return None
    changed = differences(found.config, config)
    if changed and not place.force:
        shown = "; ".join(changed[:10]) + ("; ..." if len(changed) > 10 else "")
        raise ShotError(
            "resume",
            f"{found.folder} was made with other options: {shown}.",
            "Give the same options, name another --out, or go on all the same with --force.",
        )
    for change in changed:
        log.warning("By --force the run goes on with another option: %s.", change)
    if found.step > steps:
        raise ShotError(
            "steps",
            f"The run in {found.folder.parent} has {found.step} steps already, and --steps is "
            f"{steps}.",
            f"Give a --steps of more than {found.step}.",
        )
    return found


def _chosen(place: Place) -> Checkpoint | None:
    out, resume = place.out, place.resume
    if resume == NO:
        if (out / METRICS).exists() or checkpoints.steps(out):
            raise ShotError(
                "resume",
                f"{out} holds a run already, with {len(checkpoints.steps(out))} checkpoints.",
                "Go on with --resume auto, or name another --out.",
            )
        return None
    if resume == AUTO:
        return _last_whole(out)
    folder = Path(resume)
    if checkpoints.NAME.fullmatch(folder.name):
        found = checkpoints.read(folder)
    elif (found := _last_whole(folder)) is None:
        raise ShotError(
            "resume",
            f"{folder} is no checkpoint, and no run with one in it.",
            "Name a folder checkpoint-N, that of a run, or `auto`.",
        )
    here = found.folder.resolve().parent == out.resolve()
    taken = checkpoints.steps(out)
    if taken and (not here or taken[-1] > found.step):
        raise ShotError(
            "resume",
            f"{out} holds {'later steps' if here else 'another run'}: checkpoint-{taken[-1]}.",
            "Name another --out.",
        )
    return found


def _last_whole(folder: Path) -> Checkpoint | None:
    """The last checkpoint of a run that can be read; None where it has none at all.

    Raises:
        ShotError: there are some and none is whole, which may be the disk's fault and not theirs;
            or another version of this program wrote the last one.
    """
    taken = checkpoints.steps(folder)
    problem = None
    for step in reversed(taken):
        try:
            return checkpoints.read(folder / f"checkpoint-{step}")
        except checkpoints.OtherVersionError:
            raise
        except ShotError as error:
            log.warning("%s It is left out.", error.sentence)
            problem = problem or error
    if problem is None:
        return None
    raise ShotError(
        "resume",
        f"None of the {len(taken)} checkpoints in {folder} is whole. {problem.sentence}",
        "Look at the disk and at who may read the folder; nothing in it was changed. To begin anew "
        "name another --out.",
    )


def clean(out: Path, step: int) -> None:
    """Put what a kill left half done out of the way of a run that goes on from ``step``.

    Unfinished folders are removed. Later checkpoints, which could not be read, are renamed.
    """
    checkpoints.remove_unfinished(out)
    for later in checkpoints.steps(out):
        if later > step:
            checkpoints.set_aside(out / f"checkpoint-{later}")
