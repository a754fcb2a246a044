"""One loaded Stable Video Diffusion for all engines of a process."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from backend.engines.svd.load import Base, base_places, load_base
from backend.networks import fingerprint, read_unchanged
from backend.resources import Resources

log = logging.getLogger(__name__)


class SharedBase:
    """Holds the networks of one base: read when first asked for, anew when their files change.

    Get one from :func:`hold_base`. The base is there for as long as anybody refers to this object.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._base: Base | None = None
        self._fingerprint = ""

    def loaded(self, folder: Path, before_load: Callable[[], None]) -> tuple[Base, str]:
        """The networks of the weights that lie in ``folder`` now, and the files' fingerprint.

        Nobody is to keep them longer than for one take: the next call may give others.

        Args:
            folder: in diffusers' layout.
            before_load: called before files are read, which may take minutes.

        Raises:
            ShotError: the weights cannot be read.
        """
        places = base_places(folder)
        if self._base is not None and fingerprint(*places) != self._fingerprint:
            log.info("the weights at %s were replaced", folder)
            self._base = None  # before the next is loaded: both may not fit
            gc.collect()
        if self._base is None:
            before_load()
            self._base, self._fingerprint = read_unchanged(lambda: self._read(folder), *places)
        return self._base, self._fingerprint

    def _read(self, folder: Path) -> Base:
        base = load_base(folder, self._dtype)
        base.unet.batch.one_token = True
        return base


def hold_base(resources: Resources, name: str, dtype: torch.dtype) -> SharedBase:
    """The one of all who were handed the same ``resources``; none of its files is read yet.

    Args:
        resources: what the engine was handed.
        name: of the weights.
        dtype: of the networks.
    """
    key = ("svd", name, resources.device, dtype)
    return resources.shared.hold(key, lambda: SharedBase(dtype))
