"""Finds weights on this computer, and words errors for missing ones. No torch, no network.

Search order: command line options, ``levitor.toml``, the environment, the cache of huggingface_hub,
the default folder. A location that was configured for one weight set is final: if the weights are
not there, no other location is used, so that nobody works with other weights than configured.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backend.config import Config, data_folder, read_config
from backend.resources import WEIGHTS_NOT_AT_PATH
from backend.weights.table import WeightSet, human, weights_of
from protocol.errors import ShotError

_POINTER = b"version https://git-lfs"
HUB_CACHE = "the hub's cache"
_HEAVY = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Complete or partial weights at a location.

    Attributes:
        path: the folder, or the original file.
        where: the source of that location, in words.
        missing: missing files; empty if it can be loaded.
    """

    name: str
    path: Path
    where: str
    missing: tuple[str, ...] = ()

    @property
    def refillable(self) -> bool:
        """Whether a download may be resumed in this folder; not in the hub's cache."""
        return self.path.is_dir() and self.where != HUB_CACHE


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A location to search.

    Attributes:
        final: it was configured for these weights, so no other location is searched.
    """

    where: str
    path: Path
    final: bool = False

    def __str__(self) -> str:
        return f"{self.path} ({self.where})"


def parse_options(given: Iterable[str]) -> dict[str, Path]:
    """``NAME=PATH`` options as a table of absolute paths.

    Raises:
        ShotError: one is of another form, its name is unknown, or nothing is at its path.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise ShotError(
                "weights",
                f"--weights is given '{text:.80}', which is not NAME=PATH.",
                "Say it like --weights svd-xt=/models/svd-xt.",
            )
        weights_of(name)
        found[name] = Path(path).expanduser().absolute()
        if not found[name].exists():
            raise ShotError(
                "weights",
                f"--weights puts '{name}' at {found[name]}, where nothing is.",
                "Correct the path.",
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Finds weights; reads the disk each time, so that new downloads are found.

    Attributes:
        options: paths of weight sets by the command line.
        config: of ``levitor.toml``.
        environ: a copy of the environment, so that a search can be pickled.
    """

    options: Mapping[str, Path] = field(default_factory=dict[str, Path])
    config: Config = field(default_factory=Config)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @classmethod
    def here(cls, given: Iterable[str] = ()) -> Search:
        """For this process: ``NAME=PATH`` options, its ``levitor.toml``, its environment.

        Raises:
            ShotError: an option or the file is wrong.
        """
        return cls(options=parse_options(given), config=read_config())

    def locations(self, name: str) -> tuple[Location, ...]:
        """The locations to search, in order."""
        weights = weights_of(name)
        if name in self.options:
            return (_named("--weights", self.options[name]),)
        file = "levitor.toml" if self.config.file is None else str(self.config.file)
        if name in self.config.weights:
            return (_named(file, self.config.weights[name]),)
        locations: list[Location] = []
        if self.config.folder is not None:
            locations.append(Location(where=file, path=self.config.folder))
        variable = variable_of(name)
        if own := self.environ.get(variable):
            return (*locations, _named(variable, _absolute(own)))
        if folder := self.environ.get("LEVITOR_WEIGHTS"):
            locations.append(Location(where="LEVITOR_WEIGHTS", path=_absolute(folder)))
        cache = hub_cache(self.environ)
        snapshots = _snapshots(weights, cache)
        locations += [Location(where=HUB_CACHE, path=path) for path in snapshots]
        if not snapshots:
            locations.append(Location(where=HUB_CACHE, path=cache))
        locations.append(Location(where="the default folder", path=default_folder(self.environ)))
        return tuple(locations)

    def find(self, name: str) -> Found | None:
        """The first complete location, else the first partial one, else None."""
        weights = weights_of(name)
        partly: Found | None = None
        for location in self.locations(name):
            found = _at_location(weights, location)
            if found is not None and not found.missing:
                return found
            partly = partly or found
        return partly

    def require(self, name: str) -> Path:
        """The folder or file of complete weights.

        Raises:
            ShotError: they are missing or incomplete.
        """
        found = self.find(name)
        if found is None or found.missing:
            raise self._lack(weights_of(name), found)
        return found.path

    def has(self, name: str) -> bool:
        """Whether the weights of that name are complete."""
        found = self.find(name)
        return found is not None and not found.missing

    def lack(self, names: Iterable[str]) -> ShotError | None:
        """The error for the first of ``names`` that is missing, which also names the others."""
        lacking = [name for name in names if not self.has(name)]
        if not lacking:
            return None
        first, *others = lacking
        error = self._lack(weights_of(first), self.find(first))
        if not others:
            return error
        sizes = and_list([f"'{name}' ({human(weights_of(name).size)})" for name in others])
        return ShotError(
            error.code,
            error.sentence,
            f"{error.fix} It needs {sizes} as well: `levitor weights fetch "
            f"{' '.join([first, *others])}` gets all.",
        )

    def target(self) -> Path:
        """The folder for downloads: the first folder that is searched."""
        if self.config.folder is not None:
            return self.config.folder
        if folder := self.environ.get("LEVITOR_WEIGHTS"):
            return _absolute(folder)
        return default_folder(self.environ)

    def _lack(self, weights: WeightSet, found: Found | None) -> ShotError:
        name, called = weights.name, f"'{weights.name}' ({weights.label})"
        locations = self.locations(name)
        code = WEIGHTS_NOT_AT_PATH if locations[-1].final else "weights"
        if found is not None:
            more = len(found.missing) - 1
            files = f"{found.missing[0]}{f' and {more} more of its files' if more else ''}"
            sentence = f"The weights {called} at {found.path} ({found.where}) lack {files}."
        elif locations[-1].final:
            sentence = f"The weights {called} are not at {locations[-1]}."
        else:
            looked = and_list([str(location) for location in locations])
            sentence = f"The weights {called} are not on this computer; looked in {looked}."
        return ShotError(code, sentence, self.how_to_get(weights))

    def how_to_get(self, weights: WeightSet) -> str:
        """How to get weights, with size and licence."""
        return (
            f"`levitor weights fetch {weights.name}` gets them ({human(weights.size)}, licence "
            f"{weights.licence}: {weights.terms}). {self.by_hand(weights)}"
        )

    def by_hand(self, weights: WeightSet) -> str:
        """How to get them without a connection."""
        return (
            f"By hand: download {_parts(weights)} from {weights.page} into"
            f" {self.target() / weights.name}, or say where they lie with"
            f" --weights {weights.name}=PATH."
        )


def variable_of(name: str) -> str:
    """The environment variable for their path, such as ``LEVITOR_WEIGHTS_SVD_XT``."""
    return "LEVITOR_WEIGHTS_" + "".join(c if c.isalnum() else "_" for c in name.upper())


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The default folder of weights."""
    return data_folder(environ) / "weights"


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache folder of huggingface_hub, by its environment variables."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := environ.get(variable):
            return _absolute(given)
    if home := environ.get("HF_HOME"):
        return _absolute(home) / "hub"
    cache = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return _absolute(cache) / "huggingface" / "hub"


def missing_files(weights: WeightSet, folder: Path) -> tuple[str, ...]:
    """Missing files of the weights in ``folder``; LFS pointers count as missing."""
    return tuple(
        group[0] for group in weights.needs if not any(_is_there(folder / name) for name in group)
    )


def _is_there(file: Path) -> bool:
    """Whether a file is neither empty nor a Git LFS pointer."""
    try:
        if not file.is_file() or file.stat().st_size == 0:
            return False
        if file.suffix not in _HEAVY:
            return True
        with file.open("rb") as opened:
            return opened.read(len(_POINTER)) != _POINTER
    except OSError:  # unreadable counts as missing
        return False


def _at_location(weights: WeightSet, location: Location) -> Found | None:
    """The weights at a location: the path itself, or a subfolder with one of their names."""
    partly: Found | None = None
    for path in _candidates(weights, location):
        if path.is_dir():
            missing = missing_files(weights, path)
        elif path.is_file() and weights.original is not None and path.suffix in (".pth", ".pt"):
            missing = () if _is_there(path) else (path.name,)
        else:
            continue
        found = Found(name=weights.name, path=path, where=location.where, missing=missing)
        if not missing:
            return found
        some = len(missing) < len(weights.needs)
        if partly is None and (location.final or some or path != location.path):
            partly = found
    return partly


def _candidates(weights: WeightSet, location: Location) -> Iterable[Path]:
    """Candidate paths, the likeliest first."""
    yield location.path
    names = [weights.name, weights.hub.rpartition("/")[2], weights.hub, *weights.old]
    if weights.original is not None:
        yield location.path / weights.original.file
        yield from (location.path / name / weights.original.file for name in names)
        yield location.path / "checkpoints" / weights.original.file
    for folder in (location.path, location.path / "checkpoints"):
        yield from (folder / name for name in names)


def _parts(weights: WeightSet) -> str:
    """The needed files of the repository, in words."""
    files = [group[0] for group in weights.needs]
    if all("/" in file for file in files):
        folders = list(dict.fromkeys(file.partition("/")[0] for file in files))
        return f"the folder{'s' if len(folders) > 1 else ''} {and_list(folders)}"
    return and_list(files)


def _snapshots(weights: WeightSet, cache: Path) -> list[Path]:
    """Folders of the hub's cache that hold a version of these weights, the current one first."""
    found: list[Path] = []
    hubs = [weights.hub]
    if weights.original is not None and weights.old:
        hubs += [f"{weights.hub.partition('/')[0]}/{name}" for name in weights.old]
    for hub in hubs:
        folder = cache / f"models--{hub.replace('/', '--')}"
        try:
            current = folder / "snapshots" / (folder / "refs" / "main").read_text().strip()
            others = sorted((folder / "snapshots").iterdir(), reverse=True)
        except OSError:
            continue
        found += dict.fromkeys([current, *others])
    return found


def _named(where: str, path: Path) -> Location:
    return Location(where=where, path=path, final=True)


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def and_list(words: list[str]) -> str:
    """The words with commas and an "and" between."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
