"""The extension's zip: what is in it, that it is the same each time, that Blender would take it."""

import hashlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import build_addon

ROOT = Path(build_addon.__file__).parent


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return build_addon.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def manifest(package) -> dict:
    with zipfile.ZipFile(package) as archive:
        return tomllib.loads(archive.read("blender_manifest.toml").decode())


def names(package: Path) -> set[str]:
    with zipfile.ZipFile(package) as archive:
        return set(archive.namelist())


def git_status() -> str:
    command = ["git", "status", "--porcelain", "--untracked-files=no"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_building_twice_gives_the_same_bytes_and_changes_no_tracked_file(package, tmp_path):
    before = git_status()
    again = build_addon.build(tmp_path)
    assert again.read_bytes() == package.read_bytes()
    assert git_status() == before
    assert [path.name for path in tmp_path.iterdir()] == [again.name]


def test_the_zip_does_not_depend_on_the_time_stamps_of_the_tree(package, tmp_path):
    root = copy_of_the_sources(tmp_path / "elsewhere")
    assert build_addon.build(tmp_path / "dist", root=root).read_bytes() == package.read_bytes()


def test_six_wheels_are_inside_and_each_has_its_pinned_hash(package, manifest):
    with zipfile.ZipFile(package) as archive:
        found = {
            Path(name).name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name.startswith("wheels/")
        }
    assert found == {wheel.name: wheel.sha256 for wheel in build_addon.WHEELS["release"]}
    assert len(found) == 6
    assert {Path(name).name for name in manifest["wheels"]} == set(found)


def test_the_six_wheels_serve_both_pythons_on_every_platform():
    tags = {tuple(wheel.name.removesuffix(".whl").split("-")[3:]) for wheel in release()}
    systems = ("macosx_10_15_universal2", "manylinux_2_28_x86_64", "win_amd64")
    assert tags == {(abi, system) for abi in ("cp311", "cp313") for system in systems}


def test_the_protocol_travels_as_a_sub_package_and_nothing_that_is_not_needed(package):
    found = names(package)
    assert {"__init__.py", "protocol/__init__.py", "protocol/messages.py", "LICENSE"} <= found
    assert "THIRD_PARTY_NOTICES.md" in found
    assert not [name for name in found if "__pycache__" in name or name.startswith("tests/")]


def test_the_manifest_keeps_the_platforms_rules(manifest):
    assert manifest["id"] == "levitor"
    assert manifest["blender_version_min"] == "4.5.0"
    assert len(manifest["tagline"]) <= 64
    assert set(manifest["permissions"]) == {"network", "files"}
    assert all(len(reason) <= 64 for reason in manifest["permissions"].values())
    assert "@" not in manifest["maintainer"]


def test_extension_and_distribution_carry_one_version(manifest):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert manifest["version"] == project["version"]


def test_another_wheel_set_changes_the_list_of_wheels_and_nothing_else(manifest, tmp_path):
    package = build_addon.build(tmp_path, "cp312-abi3")
    with zipfile.ZipFile(package) as archive:
        other = tomllib.loads(archive.read("blender_manifest.toml").decode())
    assert package.name == "levitor-0.1.0-cp312-abi3.zip"
    assert len(other.pop("wheels")) == 1
    assert other == {key: value for key, value in manifest.items() if key != "wheels"}
    assert len([name for name in names(package) if name.startswith("wheels/")]) == 1


def test_a_wheel_with_another_hash_is_refused_and_nothing_is_written(tmp_path, monkeypatch):
    offer_kept_wheels(monkeypatch)
    monkeypatch.setattr(build_addon, "KEPT_WHEELS", tmp_path / "wheels")
    wheel = release()[0]
    wrong = build_addon.Wheel(name=wheel.name, sha256="0" * 64)
    monkeypatch.setitem(build_addon.WHEELS, "release", (wrong, *release()[1:]))
    with pytest.raises(build_addon.BuildError, match=r"expected 0000000000000000.*Do not use it"):
        build_addon.build(tmp_path / "dist")
    assert not list(tmp_path.rglob("*.zip"))


def test_a_spoilt_wheel_in_the_cache_is_fetched_again(tmp_path, monkeypatch):
    wheel = release()[2]
    offer_kept_wheels(monkeypatch)
    monkeypatch.setattr(build_addon, "KEPT_WHEELS", tmp_path / "wheels")
    kept = build_addon.KEPT_WHEELS / wheel.name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half a wh")
    assert hashlib.sha256(build_addon.fetch(wheel)).hexdigest() == wheel.sha256
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == wheel.sha256


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"tagline": "x" * 65}, "65 characters, limit 64", id="tagline too long"),
        pytest.param({"tagline": "Moves photos."}, "ends in punctuation", id="tagline with a stop"),
        pytest.param(
            {"permissions": {"gpu": "Speed"}}, "no permission called gpu", id="permission"
        ),
        pytest.param({"license": []}, "has no license", id="no licence"),
        pytest.param({"wheels": []}, "lists 0 wheels, the zip holds 1", id="wheel not listed"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_named(manifest, change, sentence):
    files = dict.fromkeys(["__init__.py", "protocol/__init__.py", "wheels/z-1-cp311-cp311-x.whl"])
    wheels = ["./wheels/z-1-cp311-cp311-x.whl"]
    good = manifest | {"wheels": wheels}
    assert build_addon.problems_of(good, files) == []
    assert sentence in " ".join(build_addon.problems_of(good | change, files))


def test_a_missing_part_is_one_sentence_on_the_command_line_and_no_traceback(tmp_path):
    script = tmp_path / "build_addon.py"
    script.write_bytes(Path(build_addon.__file__).read_bytes())
    (tmp_path / "LICENSE").write_text("")
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("There is no blender_addon/blender_manifest.toml below")
    assert result.stderr.count("\n") == 1


def offer_kept_wheels(monkeypatch) -> None:
    """Let pip find in a folder what it would download: the network is none of a test's business."""
    for wheel in release():
        build_addon.fetch(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(build_addon.KEPT_WHEELS))


def release() -> tuple[build_addon.Wheel, ...]:
    return build_addon.WHEELS["release"]


def copy_of_the_sources(root: Path) -> Path:
    """The tree's extension and protocol, written now, so with other time stamps."""
    for name, data in build_addon._sources(ROOT).items():
        inside = (
            name if name.startswith("protocol/") or name == "LICENSE" else f"blender_addon/{name}"
        )
        (root / inside).parent.mkdir(parents=True, exist_ok=True)
        (root / inside).write_bytes(data)
    return root
