"""Reads ``levitor.toml`` and finds the user's data and configuration folders. Imports no torch."""

from __future__ import annotations

import math
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.resources import MEMORY
from backend.weights.table import weights_of
from protocol.errors import ShotError

FILE = "levitor.toml"
AUTO = "auto"
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_NUMBERS = frozenset({"stall_seconds"})
_KEYS = {"server": ("device", "memory", "stall_seconds"), "weights": ("folder", "NAME of weights")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of ``levitor.toml``, or the defaults.

    Attributes:
        file: its path, if there is one.
        folder: of all weights.
        weights: paths of single weight sets, by name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        memory: one of ``backend.resources.MEMORY``.
        stall_seconds: how long a job of the server may go without a step; ``None`` for the
            server's default.
    """

    file: Path | None = None
    folder: Path | None = None
    weights: Mapping[str, Path] = field(default_factory=dict[str, Path])
    device: str = AUTO
    memory: str = AUTO
    stall_seconds: float | None = None


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's data folder by the conventions of the system."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "levitor"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "levitor"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "levitor"


def config_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's configuration folder by the conventions of the system."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or home / "AppData" / "Roaming") / "levitor"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "levitor"
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "levitor"


def read_config(environ: Mapping[str, str] = os.environ) -> Config:
    """Read the file that ``LEVITOR_CONFIG`` names, or the first in the working and user's folder.

    Raises:
        ShotError: the file is missing, is not TOML, or has an unknown or invalid entry.
    """
    if named := environ.get("LEVITOR_CONFIG"):
        file = Path(named).expanduser()
    else:
        candidates = (Path(FILE).absolute(), config_folder(environ) / FILE)
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            return Config()
        file = found
    try:
        given = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise _config_error(
            file, f"cannot be read ({error.strerror})", "Correct LEVITOR_CONFIG."
        ) from error
    except UnicodeDecodeError as error:
        raise _config_error(file, "is not text in UTF-8", "Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:  # names line and column
        raise _config_error(
            file,
            f"is not TOML: {error}",
            "Correct that place: text goes in quotes, a path of Windows in single ones.",
        ) from error
    return _parsed(file, given)


def _parsed(file: Path, given: Mapping[str, Any]) -> Config:
    for section, content in given.items():
        if section not in _KEYS or not isinstance(content, dict):
            raise _config_error(
                file, f"has '{section:.40}'", "Its sections are [server] and [weights]."
            )
        for key, value in content.items():
            if section == "server" and key not in _KEYS[section]:
                known = ", ".join(_KEYS[section])
                raise _config_error(
                    file, f"has '{key:.40}' in [server]", f"That section has {known}."
                )
            if section == "server" and key in _NUMBERS:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise _config_error(
                        file, f"has no number for {section}.{key}", "Give it a number."
                    )
            elif not isinstance(value, str):
                raise _config_error(
                    file, f"has no text for {section}.{key:.40}", "Put it in quotes."
                )
    server, weights = given.get("server", {}), dict(given.get("weights", {}))
    folder = weights.pop("folder", None)
    for name in weights:
        weights_of(name)
    return Config(
        file=file,
        folder=None if folder is None else _path(file, folder),
        weights={name: _path(file, value) for name, value in weights.items()},
        device=checked_device(server.get("device", AUTO)),
        memory=checked_memory(server.get("memory", AUTO)),
        stall_seconds=checked_stall_seconds(server.get("stall_seconds")),
    )


def _path(file: Path, text: str) -> Path:
    """A path in the file, relative to its folder."""
    return file.absolute().parent / Path(text).expanduser()


def _config_error(file: Path, what: str, fix: str) -> ShotError:
    return ShotError("config", f"{file} {what}.", fix)


def checked_device(device: str) -> str:
    """``device``, if it is a valid name.

    Raises:
        ShotError: it is not.
    """
    if not _DEVICE.fullmatch(device):
        raise ShotError(
            "device", f"There is no device '{device:.40}'.", "Choose auto, cpu, cuda or cuda:1."
        )
    return device


def checked_memory(memory: str) -> str:
    """``memory``, if it is a valid preset.

    Raises:
        ShotError: it is not.
    """
    if memory not in MEMORY:
        raise ShotError(
            "memory", f"There is no memory '{memory:.40}'.", f"Choose {', '.join(MEMORY)}."
        )
    return memory


def checked_stall_seconds(seconds: float | None) -> float | None:
    """``seconds``, if it is a valid limit.

    Raises:
        ShotError: it is not.
    """
    if seconds is not None and not 1 <= seconds < math.inf:  # also refuses NaN
        raise ShotError(
            "stall_seconds",
            f"A stall limit of {seconds:g} seconds is not 1 or more.",
            "600 is the default; a slow machine needs more.",
        )
    return seconds
