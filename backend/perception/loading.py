"""Networks from files: folders as transformers writes them, and the authors' own ``.pth``.

Files come from strangers. Nothing is unpickled but tensors, nothing is fetched, and whatever is
wrong with a file becomes one sentence that names it.
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
SHOWN = 3
"""Names of tensors that a sentence gives as examples."""


def refused(path: Path, what: str) -> ShotError:
    """The error for weights that are there and cannot be used."""
    return ShotError(
        "broken_weights",
        f"The weights at {path} cannot be used: {what}.",
        "Fetch them again with `levitor weights fetch NAME --again`, or point at others.",
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a library raises on a damaged file into a :class:`ShotError`.

    That can be anything; our own words and a lack of memory pass.
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
        raise refused(path, (words or type(error).__name__)[:200]) from error


def model_type(folder: Path) -> str:
    """What a folder's ``config.json`` says that it holds.

    Raises:
        ShotError: there is no such file, or it is no such description.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise refused(folder, "the folder holds no config.json")
    with reading(config):
        content = json.loads(config.read_text("utf-8"))
        if not isinstance(content, dict):
            raise refused(config, f"it holds a {type(content).__name__}, not an object")
        return str(content.get("model_type", "none"))


def from_folder(kind: Any, folder: Path, types: tuple[str, ...]) -> nn.Module:
    """A transformers model in float32, ready to answer.

    Args:
        kind: the model's class.
        folder: ``config.json`` and ``*.safetensors``.
        types: the model types that this class can read.

    Raises:
        ShotError: the folder holds something else, too little, or is damaged.
    """
    found = model_type(folder)
    if found not in types:
        raise refused(folder, f"the folder holds a '{found}' model, not '{types[0]}'")
    if not any(folder.glob("*.safetensors")):
        raise refused(folder, "the folder holds no .safetensors file")
    with reading(folder), quiet():
        model, report = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
        if missing := sorted(report["missing_keys"]):
            raise refused(folder, f"{_some(missing)} missing")
    networks.take_out_of_file(model)
    return model.eval().requires_grad_(False)


def read_pth(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth``, by name: a bare state dictionary or one in a training checkpoint.

    Raises:
        ShotError: it is damaged, or holds anything but named tensors.
    """
    with reading(path):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, FileNotFoundError | PermissionError):
                raise
            # Its words are about the inside of zip files and of pickles
            log.debug("%s cannot be read", path, exc_info=True)
            size = path.stat().st_size
            said = f"the file of {size} bytes is damaged, or holds more than tensors"
            raise refused(path, said) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise refused(path, f"the file holds a {type(content).__name__}, not named tensors")
    if strange := [str(name) for name, value in content.items() if not isinstance(value, Tensor)]:
        raise refused(path, f"{_some(strange)} no tensor{'' if len(strange) == 1 else 's'}")
    # Training on several devices puts a word before every name
    return {str(name).removeprefix("module."): value.float() for name, value in content.items()}


def fill(network: nn.Module, state: State, path: Path) -> None:
    """Give ``network`` exactly these tensors; it is then ready to answer.

    Raises:
        ShotError: a tensor is missing, unknown or of another shape.
    """
    networks.fill(network, state, lambda keys, what: refused(path, f"{keys} {what}"))


def need(state: State, name: str, path: Path, axes: int) -> tuple[int, ...]:
    """The shape of a tensor from which a network's size is read.

    Raises:
        ShotError: it is not there, or has another number of axes.
    """
    if name not in state:
        raise refused(path, f"of {len(state)} tensors none is called '{name}'")
    shape = tuple(state[name].shape)
    if len(shape) != axes:
        raise refused(path, f"'{name}' is {shape}, which does not have {axes} axes")
    return shape


def count(state: State, before: str) -> int:
    """How many numbers follow ``before`` in the names."""
    numbers = {name[len(before) :].split(".")[0] for name in state if name.startswith(before)}
    return sum(number.isdigit() for number in numbers)


def square_root(number: int, what: str, path: Path) -> int:
    """The side of a square grid.

    Raises:
        ShotError: the number is no square.
    """
    root = math.isqrt(max(number, 0))
    if root * root != number or root == 0:
        raise refused(path, f"{number} {what} are no square grid")
    return root


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{shown}{more} {'is' if len(names) == 1 else 'are'}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers, which nobody sees in a worker."""
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
