"""`levitor weights`: listing, finding and fetching, against a hub of the test's own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.cli.main import main
from backend.weights.record import read_record
from backend.weights.table import TABLE, weights_of
from tests.weights import hub
from tests.weights.layouts import fill, write

LEVITOR = weights_of("levitor")
NETWORK = "controlnet/diffusion_pytorch_model.safetensors"
REPOSITORY = {
    NETWORK: b"n" * 100_000,
    "controlnet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": b"u" * 1000,
    "random_states_0.pkl": b"never",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user who has no weights yet; the hub's library reads some of this when it is imported."""
    monkeypatch.chdir(tmp_path)
    for name in ("LEVITOR_CONFIG", "LEVITOR_WEIGHTS", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "data" / "levitor" / "weights"


def levitor(*arguments, **environment):
    """Run the command in a process of its own, whose terminal nobody sits at."""
    return subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_needed_is_fetched_and_then_found(home):
    with hub.serve(LEVITOR.hub, REPOSITORY) as served:
        done = levitor("weights", "fetch", "levitor", "--yes", HF_ENDPOINT=served.endpoint)
        assert done.returncode == 0, done.stderr
        assert sorted(served.asked) == ["controlnet/config.json", NETWORK]
    assert "2.7 GB" in done.stdout
    assert "CC-BY-NC-4.0" in done.stdout  # what its licence may forbid is said first
    assert (home / "levitor" / NETWORK).read_bytes() == REPOSITORY[NETWORK]
    assert levitor("weights", "path", "levitor").stdout.strip() == str(home / "levitor")
    again = levitor("weights", "fetch", "levitor", "--yes", HF_HUB_OFFLINE="1")
    assert (again.returncode, "is here already" in again.stdout) == (0, True)


def test_fetching_goes_on_where_a_folder_is_incomplete(home):
    write(home / "LeviTor" / "controlnet" / "config.json", b"{}")
    with hub.serve(LEVITOR.hub, REPOSITORY) as served:
        done = levitor("weights", "fetch", "levitor", "--yes", HF_ENDPOINT=served.endpoint)
    assert done.returncode == 0, done.stderr
    assert (home / "LeviTor" / NETWORK).exists()


def test_what_is_here_and_damaged_is_fetched_again(home):
    write(home / "levitor" / NETWORK, b"n" * 999)
    with hub.serve(LEVITOR.hub, REPOSITORY) as served:
        levitor("weights", "fetch", "levitor", "--yes", HF_ENDPOINT=served.endpoint)
        assert served.asked == []  # it looks whole, from its names
        done = levitor(
            "weights", "fetch", "levitor", "--yes", "--again", HF_ENDPOINT=served.endpoint
        )
    assert done.returncode == 0, done.stderr
    assert (home / "levitor" / NETWORK).read_bytes() == REPOSITORY[NETWORK]


def fetched(name, endpoint, *more):
    return levitor("weights", "fetch", name, "--yes", *more, HF_ENDPOINT=endpoint)


def test_a_fetch_keeps_to_the_revision_that_the_table_knows(home):
    weights = weights_of("sam2.1-hiera-tiny")
    files = {"model.safetensors": b"m" * 2000, "config.json": b"{}"}
    with hub.serve(weights.hub, files, commit="ab" * 20) as moved:
        done = fetched("sam2.1-hiera-tiny", moved.endpoint)
        assert done.returncode == 1
        assert f"no longer the revision of {weights.hub} that is wanted (de431c404385)" in (
            done.stderr
        )
        assert moved.asked == []
    with hub.serve(weights.hub, files, commit=weights.revision) as served:
        done = fetched("sam2.1-hiera-tiny", served.endpoint)
    assert done.returncode == 0, done.stderr
    record = read_record(home / "sam2.1-hiera-tiny")
    assert record.revision == weights.revision
    assert record.files["model.safetensors"].sha256 == hashlib.sha256(b"m" * 2000).hexdigest()


def test_where_none_is_known_a_folder_keeps_to_the_revision_it_was_fetched_of(home):
    with hub.serve(LEVITOR.hub, REPOSITORY) as served:
        assert fetched("levitor", served.endpoint).returncode == 0
    assert read_record(home / "levitor").revision == hub.COMMIT
    changed = REPOSITORY | {NETWORK: b"x" * 100_000}
    with hub.serve(LEVITOR.hub, changed, commit="ab" * 20) as moved:
        done = fetched("levitor", moved.endpoint, "--again")
        assert "(the one that was fetched before)" in done.stderr
        assert f"If you trust the newest, remove {home / 'levitor'}" in done.stderr
        assert moved.asked == []
    assert done.returncode == 1
    assert (home / "levitor" / NETWORK).read_bytes() == REPOSITORY[NETWORK]


@pytest.mark.parametrize(
    ("name", "sent", "says"),
    [
        (NETWORK, b"x" * 100_000, "its SHA-256 begins with"),
        ("controlnet/config.json", b"[]", "its content is"),
    ],
    ids=["a large file", "a small file"],
)
def test_a_file_that_is_not_what_the_hub_says_is_refused_and_not_left(home, name, sent, says):
    with hub.serve(LEVITOR.hub, REPOSITORY) as served:
        served.damaged[name] = sent
        done = fetched("levitor", served.endpoint)
        assert done.returncode == 1
        assert f"{name} of 'levitor' is not what the hub says that it is: {says}" in done.stderr
        assert not (home / "levitor" / name).exists()
        served.damaged.clear()
        assert fetched("levitor", served.endpoint, "--again").returncode == 0
    assert (home / "levitor" / name).read_bytes() == REPOSITORY[name]


def test_a_hub_that_tells_another_checksum_than_the_released_one_is_refused(home):
    weights = weights_of("sam2.1-hiera-small")
    files = {"model.safetensors": b"m" * 2000, "config.json": b"{}"}
    with hub.serve(weights.hub, files, commit=weights.revision) as served:
        done = fetched("sam2.1-hiera-small", served.endpoint)
        assert served.asked == []
    assert done.returncode == 1
    assert "has 2000 bytes and SHA-256" in done.stderr
    assert "and the released one 184305280 and 0a4067b11ce1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_finds_what_was_damaged_after_it_was_fetched(home, capsys):
    with hub.serve(LEVITOR.hub, REPOSITORY) as served:
        fetched("levitor", served.endpoint)
    assert main(["weights", "list", "--check"]) == 0
    write(home / "levitor" / NETWORK, b"x" * 100_000)
    write(home / "levitor" / "controlnet" / "config.json", b"{ }")
    capsys.readouterr()
    assert main(["weights", "list", "--check"]) == 1
    said = capsys.readouterr().err
    assert f"{home / 'levitor'} is not as it should be" in said
    assert f"{NETWORK}: its SHA-256 begins with" in said
    assert "controlnet/config.json: it has 3 bytes and should have 2" in said
    assert "`levitor weights fetch levitor --again` gets it anew" in said


def test_weights_that_were_put_there_by_hand_are_checked_against_what_is_known(home, capsys):
    write(home / "sam2.1-hiera-small" / "model.safetensors", b"m")
    write(home / "sam2.1-hiera-small" / "config.json", b"{}")
    assert main(["weights", "list", "--check"]) == 1
    assert "it has 1 bytes and should have 184305280" in capsys.readouterr().err


def test_a_record_that_is_damaged_is_passed_over(home, caplog):
    write(home / "levitor" / ".levitor" / "fetched.json", b'{"hub": 1}')
    assert read_record(home / "levitor") is None
    assert "is ignored" in caplog.text


def test_another_folder_is_told_how_to_be_found(tmp_path):
    with hub.serve(LEVITOR.hub, REPOSITORY) as served:
        done = levitor(
            *("weights", "fetch", "levitor", "--yes", "--to", str(tmp_path / "big disk")),
            HF_ENDPOINT=served.endpoint,
        )
    assert (tmp_path / "big disk" / "levitor" / NETWORK).exists()
    assert f"--weights levitor={tmp_path / 'big disk' / 'levitor'}" in done.stdout


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        pytest.param({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE says", id="told to be offline"),
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached", id="no hub"),
    ],
)
def test_without_a_connection_it_is_refused_with_what_to_do_by_hand(home, environment, says):
    done = levitor("weights", "fetch", "levitor", "--yes", **environment)
    assert done.returncode == 1
    assert says in done.stderr
    assert f"download the folder controlnet from {LEVITOR.page} into {home}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("status", "files", "says"),
    [
        pytest.param(403, REPOSITORY, "wants the licence of 'levitor' accepted", id="gated"),
        pytest.param(200, {"README.md": b"moved"}, f"has no {NETWORK}", id="moved"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(status, files, says):
    with hub.serve(LEVITOR.hub, files, status) as served:
        done = levitor("weights", "fetch", "levitor", "--yes", HF_ENDPOINT=served.endpoint)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_fetched_before_somebody_agreed_to_the_licence(home):
    done = levitor("weights", "fetch", "svd-xt", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "nobody agreed to its licence" in done.stderr
    assert "Stability AI Community License; free below 1 million" in done.stdout
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["path", "levitor"], "are not on this computer"),
        (["path", "magic"], "no weights called 'magic'"),
        (["fetch", "magic", "--yes"], "no weights called 'magic'"),
    ],
)
def test_what_is_not_there_is_one_sentence(capsys, arguments, says):
    assert main(["weights", *arguments]) == 1
    assert says in capsys.readouterr().err


def test_the_list_says_of_each_whether_it_is_here(home, capsys):
    fill(home / "levitor", "levitor")
    fill(home / "svd-xt", "svd-xt", leave_out="vae/config.json")
    assert main(["weights", "list"]) == 0
    said = capsys.readouterr().out
    assert "ready      levitor" in said
    assert "incomplete svd-xt" in said
    assert "lacks vae/config.json" in said
    assert main(["weights", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert len(rows) == len(TABLE)
    assert [rows[name]["state"] for name in ("levitor", "svd-xt", "sam-vit-base")] == [
        "ready",
        "incomplete",
        "missing",
    ]
    assert rows["levitor"]["path"] == str(home / "levitor")


def test_an_original_file_of_another_content_is_told(home, capsys):
    file = write(home / "sam_vit_b_01ec64.pth", b"not these")
    assert main(["weights", "list"]) == 0
    capsys.readouterr()
    assert main(["weights", "list", "--check"]) == 1
    said = capsys.readouterr()
    assert f"{file} is not the file its authors released" in said.err
    assert main(["weights", "list", "--check", "--json"]) == 1
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["sam-vit-base"]["sha256"] == hashlib.sha256(b"not these").hexdigest()
