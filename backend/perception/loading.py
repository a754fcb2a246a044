"""Loads networks from transformers folders and from the authors' ``.pth`` files.

Files are not trusted: only tensors are unpickled, nothing is downloaded, and every error becomes
one :class:`ShotError` that names the file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backend import networks
from backend.resources import is_out_of_memory
from protocol.errors import ShotError

log = logging.getLogger(__name__)

State = Mapping[str, Tensor]
MAX_NAMES_SHOWN = 3
"""Maximum number of tensor names in an error."""


def weights_error(path: Path, what: str) -> ShotError:
    """The error for weights that exist and cannot be used."""
    return ShotError(
        "broken_weights",
        f"The weights at {path} cannot be used: {what}.",
        "Fetch them again with `levitor weights fetch NAME --again`, or point at others.",
    )


@contextlib.contextmanager
def wrap_errors(path: Path) -> Iterator[None]:
    """Turns whatever a library raises on a damaged file into a :class:`ShotError`.

    A ShotError and out of memory pass unchanged.
    """
    try:
        yield
    except ShotError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        log.debug("%s cannot be read", path, exc_info=True)
        words = (str(error).strip().splitlines() or [""])[0].rstrip(".:")
        raise weights_error(path, (words or type(error).__name__)[:200]) from error


def model_type(folder: Path) -> str:
    """The model type in a folder's ``config.json``.

    Raises:
        ShotError: there is no such file, or it is not a JSON object.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise weights_error(folder, "the folder holds no config.json")
    with wrap_errors(config):
        content = json.loads(config.read_text("utf-8"))
        if not isinstance(content, dict):
            raise weights_error(config, f"it holds a {type(content).__name__}, not an object")
        return str(content.get("model_type", "none"))


def from_folder(model_class: Any, folder: Path, types: tuple[str, ...]) -> nn.Module:
    """Load a transformers model in float32, in evaluation mode.

    Args:
        model_class: of transformers.
        folder: ``config.json`` and ``*.safetensors``.
        types: the model types that this class can load.

    Raises:
        ShotError: another model type, missing files or tensors, or damaged files.
    """
    found = model_type(folder)
    if found not in types:
        raise weights_error(folder, f"the folder holds a '{found}' model, not '{types[0]}'")
    if not any(folder.glob("*.safetensors")):
        raise weights_error(folder, "the folder holds no .safetensors file")
    with wrap_errors(folder), no_progress_bars():
        model, report = model_class.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
        if missing := sorted(report["missing_keys"]):
            raise weights_error(folder, f"{_list_names(missing)} missing")
    networks.copy_from_mapped_file(model)
    return model.eval().requires_grad_(False)


def read_pth(path: Path) -> dict[str, Tensor]:
    """The state dictionary of a ``.pth``, bare or in a training checkpoint.

    Raises:
        ShotError: it is damaged, or holds anything but named tensors.
    """
    with wrap_errors(path):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, FileNotFoundError | PermissionError):
                raise
            # torch's message is about zip files and pickles
            log.debug("%s cannot be read", path, exc_info=True)
            size = path.stat().st_size
            said = f"the file of {size} bytes is damaged, or holds more than tensors"
            raise weights_error(path, said) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise weights_error(path, f"the file holds a {type(content).__name__}, not named tensors")
    if strange := [str(name) for name, value in content.items() if not isinstance(value, Tensor)]:
        raise weights_error(
            path, f"{_list_names(strange)} no tensor{'' if len(strange) == 1 else 's'}"
        )
    # DistributedDataParallel adds this prefix
    return {str(name).removeprefix("module."): value.float() for name, value in content.items()}


def load_exactly(network: nn.Module, state: State, path: Path) -> None:
    """Load a state dictionary strictly, and set evaluation mode.

    Raises:
        ShotError: a tensor is missing, unexpected or of another shape.
    """
    networks.fill(network, state, lambda keys, what: weights_error(path, f"{keys} {what}"))


def tensor_shape(state: State, name: str, path: Path, axes: int) -> tuple[int, ...]:
    """The shape of a tensor, from which the architecture is inferred.

    Raises:
        ShotError: it is missing, or has another number of axes.
    """
    if name not in state:
        raise weights_error(path, f"of {len(state)} tensors none is called '{name}'")
    shape = tuple(state[name].shape)
    if len(shape) != axes:
        raise weights_error(path, f"'{name}' is {shape}, which does not have {axes} axes")
    return shape


def count_blocks(state: State, before: str) -> int:
    """Number of distinct indices that follow the prefix ``before`` in the names."""
    numbers = {name[len(before) :].split(".")[0] for name in state if name.startswith(before)}
    return sum(number.isdigit() for number in numbers)


def square_root(number: int, what: str, path: Path) -> int:
    """The side of a square grid.

    Raises:
        ShotError: the number is no square.
    """
    root = math.isqrt(max(number, 0))
    if root * root != number or root == 0:
        raise weights_error(path, f"{number} {what} are no square grid")
    return root


def _list_names(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MAX_NAMES_SHOWN])
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return f"{shown}{more} {'is' if len(names) == 1 else 'are'}"


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Disables the progress bars and warnings of transformers."""
    from transformers.utils import logging as transformers_logging

    shown, level = (
        transformers_logging.is_progress_bar_enabled(),
        transformers_logging.get_verbosity(),
    )
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()
