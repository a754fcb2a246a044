"""AdamW, and its state as tensors by parameter name: safetensors and JSON, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from backend.training.config import OptimizerOptions
from protocol.errors import ShotError

TENSORS, REST = "optimizer.safetensors", "optimizer.json"
BETWEEN = "/"
"""Between a parameter's name, in which torch puts dots, and the name of what is kept of it."""


def make(parameters: Mapping[str, nn.Parameter], options: OptimizerOptions) -> Optimizer:
    """AdamW over parameters.

    Raises:
        ShotError: 8-bit state is asked for and bitsandbytes is not here.
    """
    settings: dict[str, Any] = {
        "lr": options.learning_rate,
        "betas": (options.beta1, options.beta2),
        "eps": options.epsilon,
        "weight_decay": options.weight_decay,
    }
    if not options.eight_bit:
        return AdamW(parameters.values(), **settings)
    if not has_eight_bit():
        raise ShotError(
            "optimizer",
            "AdamW in 8 bits needs bitsandbytes, which is not installed.",
            "Run `pip install bitsandbytes`, or add --set optimizer.eight_bit=false.",
        )
    from bitsandbytes.optim import AdamW8bit  # pyright: ignore[reportMissingImports] - optional

    return AdamW8bit(parameters.values(), **settings)


def has_eight_bit() -> bool:
    """Whether bitsandbytes is installed."""
    import importlib.util

    return importlib.util.find_spec("bitsandbytes") is not None


def save_state(optimizer: Optimizer, names: list[str], folder: Path) -> None:
    """Write the state of every parameter.

    As the optimizer itself keeps it: ``state_dict()`` of bitsandbytes hides what is quantised in a
    dictionary of its own, for FSDP; its ``load_state_dict`` takes either form.

    Args:
        optimizer: with one group of parameters.
        names: of its parameters, in their order.
        folder: to write into.
    """
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    parameters = optimizer.param_groups[0]["params"]
    for name, parameter in zip(names, parameters, strict=True):
        for what, value in optimizer.state.get(parameter, {}).items():
            key = f"{name}{BETWEEN}{what}"
            if isinstance(value, Tensor):
                # Copied: parameters share the tables of 8-bit numbers, which safetensors refuses
                tensors[key] = value.detach().to("cpu", copy=True).contiguous()
            else:
                rest[key] = value
    save_file(tensors, folder / TENSORS)
    (folder / REST).write_text(
        json.dumps({"kind": type(optimizer).__name__, "values": rest}, indent=1)
    )


def load_state(optimizer: Optimizer, names: list[str], folder: Path) -> None:
    """Read back what :func:`save_state` wrote.

    Raises:
        ShotError: it is of another optimizer, or of other parameters.
    """
    said = json.loads((folder / REST).read_bytes())
    kind = type(optimizer).__name__
    if said["kind"] != kind:
        raise ShotError(
            "optimizer",
            f"{folder} holds the state of {said['kind']}, this run uses {kind}.",
            "Set optimizer.eight_bit as it was, or start another run.",
        )
    index = {name: number for number, name in enumerate(names)}
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**load_file(folder / TENSORS), **said["values"]}.items():
        name, _, what = key.rpartition(BETWEEN)
        if name not in index:
            raise ShotError(
                "optimizer",
                f"{folder} holds state of {name}, which this run does not train.",
                "Resume with the options it was made with, or start another run.",
            )
        state.setdefault(index[name], {})[what] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
