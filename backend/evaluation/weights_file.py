"""Weights of evaluation's networks: files that the user names, never downloaded, with checksums."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from backend.resources import is_out_of_memory
from protocol.errors import ShotError

BLOCK = 1 << 22


def checksum(path: Path) -> str:
    """SHA-256 of a whole file, as a report prints it beside the numbers."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def existing(path: Path | None, what: str, expected: str, option: str) -> Path:
    """``path``, if there is a file.

    Args:
        path: as given; None if it was not.
        what: it is for, as a sentence begins.
        expected: name of the file and where it comes from.
        option: of the command line that names it.

    Raises:
        ShotError: there is none.
    """
    if path is not None and path.is_file():
        return path
    where = "" if path is None else f" {path} is no file."
    raise ShotError(
        "evaluation_weights",
        f"{what} needs {expected}.{where}",
        f"Get it, then name it with {option}; nothing is downloaded here.",
    )


def torchscript(path: Path, device: str) -> torch.jit.ScriptModule:
    """A network with its code, from a file that the user trusts.

    Raises:
        ShotError: the file is none.
    """
    try:
        with warnings.catch_warnings():  # deprecated, and still what they are published as
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        raise ShotError(
            "evaluation_weights",
            f"{path} is no TorchScript file that this torch ({torch.__version__}) can read.",
            "Name the file as it was published.",
        ) from error
    return module.eval()


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; code in it is refused.

    Raises:
        ShotError: the file holds anything else.
    """
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, OSError):
            raise
        raise ShotError(
            "evaluation_weights",
            f"{path} is no file of tensors: {str(error).splitlines()[0][:120]}",
            "Name the file as it was published.",
        ) from error
    for wrapper in ("model", "state_dict"):  # of checkpoints of a training
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(part, Tensor) for part in state.values()):
        raise ShotError(
            "evaluation_weights", f"{path} is no state dictionary.", "Name one that is."
        )
    return state


def optional_module(name: str, why: str) -> ModuleType:
    """A package that is not among the project's own.

    Raises:
        ShotError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ShotError(
            "evaluation_package",
            f"{why} needs the package {package}, which is not installed here.",
            "Install it beside the project, or leave this out.",
        ) from error
