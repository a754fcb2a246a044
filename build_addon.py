"""Build the Blender extension: ``blender_addon`` + ``protocol`` + pinned pyzmq wheels -> a zip.

The zip is put together in memory from the tree and never edits it; the same tree gives the same
bytes, because names are sorted, times are fixed and nothing is compressed (the wheels already are).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
ADDON = "blender_addon"
MANIFEST = "blender_manifest.toml"
KEPT = frozenset({".py", ".toml", ".md", ".png", ".svg"})
KEPT_WHEELS = ROOT / ".wheels"
"""Where wheels stay between builds, in the checkout as the environments do; checked each time."""
EPOCH = (2026, 1, 1, 0, 0, 0)

REQUIRED = frozenset(
    [
        "schema_version",
        "id",
        "version",
        "name",
        "tagline",
        "maintainer",
        "type",
        "blender_version_min",
        "license",
    ]
)
PERMISSIONS = frozenset({"files", "network", "clipboard", "camera", "microphone"})
SHORT = 64


class BuildError(Exception):
    """The extension cannot be built; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One file of pyzmq.

    Attributes:
        name: the file's name; Blender reads nothing else of it.
        sha256: of the whole file.
        platform: what to ask pip for, where the name holds more than one.
    """

    name: str
    sha256: str
    platform: str = ""

    @property
    def pip_arguments(self) -> tuple[str, ...]:
        """What makes pip fetch exactly this file."""
        project, version, python, abi, platform = self.name.removesuffix(".whl").split("-")
        return (
            *("--python-version", f"{python[2]}.{python[3:]}", "--implementation", python[:2]),
            *("--abi", abi, "--platform", self.platform or platform, f"{project}=={version}"),
        )


# Why 26.4.0 and these six: blender_addon/blender_manifest.toml. The second set is for a Blender
# with a Python of the distribution's own, as in the window tests.
WHEELS: Mapping[str, tuple[Wheel, ...]] = {
    "release": (
        Wheel(
            name="pyzmq-26.4.0-cp311-cp311-macosx_10_15_universal2.whl",
            sha256="bfcf82644c9b45ddd7cd2a041f3ff8dce4a0904429b74d73a439e8cab1bd9e54",
        ),
        Wheel(
            name="pyzmq-26.4.0-cp311-cp311-manylinux_2_28_x86_64.whl",
            sha256="2f9f7ffe9db1187a253fca95191854b3fda24696f086e8789d1d449308a34b88",
        ),
        Wheel(
            name="pyzmq-26.4.0-cp311-cp311-win_amd64.whl",
            sha256="963977ac8baed7058c1e126014f3fe58b3773f45c78cce7af5c26c09b6823896",
        ),
        Wheel(
            name="pyzmq-26.4.0-cp313-cp313-macosx_10_15_universal2.whl",
            sha256="c43fac689880f5174d6fc864857d1247fe5cfa22b09ed058a344ca92bf5301e3",
        ),
        Wheel(
            name="pyzmq-26.4.0-cp313-cp313-manylinux_2_28_x86_64.whl",
            sha256="6332452034be001bbf3206ac59c0d2a7713de5f25bb38b06519fc6967b7cf771",
        ),
        Wheel(
            name="pyzmq-26.4.0-cp313-cp313-win_amd64.whl",
            sha256="23ecc9d241004c10e8b4f49d12ac064cd7000e1643343944a10df98e57bc544b",
        ),
    ),
    "cp312-abi3": (
        Wheel(
            name="pyzmq-27.3.0-cp312-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl",
            sha256="858fe25231e0fd8612da142efde019faa5ef63fa150a821a27870e791b38c798",
            platform="manylinux_2_28_x86_64",
        ),
    ),
}


def build(out: Path, wheels: str = "release", root: Path = ROOT) -> Path:
    """Write the extension's zip into the folder ``out`` and return its path.

    Args:
        out: made where it is missing; the zip appears in it whole or not at all.
        wheels: a key of :data:`WHEELS`.
        root: the checkout to build from.

    Raises:
        BuildError: a wheel cannot be had or has another hash, or the manifest breaks a rule.
    """
    if wheels not in WHEELS:
        raise BuildError(f"No wheel set is called {wheels!r}; there are {', '.join(WHEELS)}.")
    files = _sources(root)
    text = files[MANIFEST].decode()
    names = [wheel.name for wheel in WHEELS[wheels]]
    if wheels != "release":
        text = _with_wheels(text, names)
        files[MANIFEST] = text.encode()
    manifest = tomllib.loads(text)
    for wheel in WHEELS[wheels]:
        files[f"wheels/{wheel.name}"] = fetch(wheel)
    if problems := problems_of(manifest, files):
        raise BuildError("The extension breaks its rules: " + " ".join(problems))

    suffix = "" if wheels == "release" else f"-{wheels}"
    target = out / f"{manifest['id']}-{manifest['version']}{suffix}.zip"
    out.mkdir(parents=True, exist_ok=True)
    # As backend.files.atomic does, which needs the backend's environment
    handle, temporary = tempfile.mkstemp(dir=out, prefix=".", suffix=".zip")
    try:
        with os.fdopen(handle, "wb") as stream:
            _write_zip(stream, files)
        _validate_as_blender_does(Path(temporary), root)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def _sources(root: Path) -> dict[str, bytes]:
    """Every file of the extension but the wheels, by its name in the zip."""
    files = {"LICENSE": (root / "LICENSE").read_bytes()}
    for folder, prefix in ((ADDON, ""), ("protocol", "protocol/")):
        for path in (root / folder).rglob("*"):
            name = path.relative_to(root / folder)
            hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
            if path.is_file() and path.suffix in KEPT and not hidden:
                files[prefix + name.as_posix()] = path.read_bytes()
    if MANIFEST not in files:
        raise BuildError(f"There is no {ADDON}/{MANIFEST} below {root}.")
    return files


def _with_wheels(manifest: str, names: Iterable[str]) -> str:
    """The manifest with another list of wheels and nothing else changed."""
    listed = "".join(f'    "./wheels/{name}",\n' for name in names)
    text, count = re.subn(
        r"^wheels = \[.*?^\]", f"wheels = [\n{listed}]", manifest, flags=re.M | re.S
    )
    if count != 1:
        raise BuildError(f"{MANIFEST} must hold one list of wheels that ends in a line of its own.")
    return text


def _write_zip(stream: Any, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # the same on every system that builds it
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])


# Rules of the manifest


def problems_of(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> list[str]:
    """What the extension platform would refuse, a sentence each."""
    found = [f"{MANIFEST} has no {key}." for key in sorted(REQUIRED) if not manifest.get(key)]
    tagline = str(manifest.get("tagline", ""))
    if len(tagline) > SHORT:
        found.append(f"The tagline has {len(tagline)} characters, limit {SHORT}.")
    if tagline and not tagline[-1].isalnum():
        found.append("The tagline ends in punctuation.")
    for key, value in manifest.get("permissions", {}).items():
        if key not in PERMISSIONS:
            found.append(f"There is no permission called {key}.")
        if not value or len(value) > SHORT or value.endswith("."):
            found.append(f"The reason for {key} must be 1 to {SHORT} characters, no final stop.")
    listed = {name.removeprefix("./") for name in manifest.get("wheels", [])}
    packed = {name for name in files if name.startswith("wheels/")}
    if listed != packed:
        found.append(f"The manifest lists {len(listed)} wheels, the zip holds {len(packed)}.")
    abis = {name.split("-")[3] for name in listed}
    if "abi3" in abis and len(abis) > 1:
        found.append("Blender ignores an abi3 wheel beside one that names its Python.")
    if "__init__.py" not in files or "protocol/__init__.py" not in files:
        found.append("The zip lacks its own or the protocol's __init__.py.")
    return found


def _validate_as_blender_does(package: Path, root: Path) -> None:
    """Run the check of a Blender that is at hand; without one our own rules have to do."""
    script = "lib/python3*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
    found = sorted(
        (path for folder in root.glob(".venv-blender*") for path in folder.glob(script)),
        key=lambda path: path.parts[-6],
    )
    if not found:
        return
    command = [sys.executable, str(found[-1]), "validate", str(package)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(
            f"Blender refuses the extension: {(result.stdout + result.stderr).strip()}"
        )


# Wheels


def fetch(wheel: Wheel) -> bytes:
    """The wheel's bytes, from the cache or through pip, checked against its hash.

    Raises:
        BuildError: pip cannot get it, or what it got is another file.
    """
    kept = KEPT_WHEELS / wheel.name
    if kept.is_file():
        data = kept.read_bytes()
        if hashlib.sha256(data).hexdigest() == wheel.sha256:
            return data
    data = _download(wheel)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as stream:
            stream.write(data)
        Path(stream.name).replace(kept)
    except OSError:
        pass  # a checkout that cannot be written to costs a download the next time, no more
    return data


def _download(wheel: Wheel) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "-d", folder, *wheel.pip_arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        path = Path(folder) / wheel.name
        if result.returncode or not path.is_file():
            why = (result.stderr.strip().splitlines() or ["another file came"])[-1]
            raise BuildError(
                f"pip could not download {wheel.name} ({why}). Check the network and pip's index, "
                f"or put the file into {KEPT_WHEELS}."
            )
        data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != wheel.sha256:
        raise BuildError(
            f"{wheel.name} has SHA-256 {digest[:16]}..., expected {wheel.sha256[:16]}...: "
            "the index serves another file under this name. Do not use it."
        )
    return data


def main() -> int:
    """The command line; 0 or, with a sentence, 1."""
    parser = argparse.ArgumentParser(description="Build the LeviTor extension for Blender.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the zip")
    parser.add_argument("--wheels", choices=list(WHEELS), default="release", help="which pyzmq")
    args = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):  # a path the terminal cannot show ends nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        path = build(args.out, args.wheels)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{path} ({path.stat().st_size / 1e6:.1f} MB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
