"""levitor.toml: where it is found, what it may say, one sentence for what it may not."""

import pytest

from backend.config import Config, read_config
from protocol.errors import ShotError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with no settings, and an environment that has none either."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_without_a_file_the_device_and_memory_are_auto(here, environ):
    assert read_config(environ) == Config()


def test_the_file_of_the_working_folder_comes_before_the_users(here, environ, tmp_path):
    users = tmp_path / "config" / "levitor" / "levitor.toml"
    users.parent.mkdir(parents=True)
    users.write_text('[server]\nmemory = "low"')
    assert read_config(environ).memory == "low"
    (here / "levitor.toml").write_text('[server]\nmemory = "high"')
    assert read_config(environ).memory == "high"
    other = tmp_path / "other.toml"
    other.write_text('[server]\nmemory = "balanced"')
    assert read_config({**environ, "LEVITOR_CONFIG": str(other)}).memory == "balanced"


def test_paths_are_taken_from_the_file_that_says_them(here, environ, tmp_path):
    other = tmp_path / "levitor.toml"
    other.write_text('[weights]\nfolder = "all"\nsvd-xt = "/models/svd"\n[server]\ndevice="cuda:1"')
    config = read_config({**environ, "LEVITOR_CONFIG": str(other)})
    assert config.folder == tmp_path / "all"
    assert {name: str(path) for name, path in config.weights.items()} == {"svd-xt": "/models/svd"}
    assert config.device == "cuda:1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[server", "is not TOML", id="no TOML"),
        pytest.param("[server]\ndevice = cpu", "(at line 2, column 10)", id="no quotes"),
        pytest.param("[sever]", "has 'sever'", id="section"),
        pytest.param("server = 3", "has 'server'", id="no section"),
        pytest.param("[server]\nport = '1'", "has 'port' in [server]", id="key"),
        pytest.param("[server]\ndevice = 3", "no text for server.device", id="number"),
        pytest.param("[server]\nstall_seconds = '9'", "no number for", id="text for seconds"),
        pytest.param("[server]\nstall_seconds = 0", "0 seconds is not 1 or more", id="no time"),
        pytest.param("[server]\nstall_seconds = nan", "is not 1 or more", id="not a number"),
        pytest.param("[server]\nstall_seconds = true", "no number for", id="true"),
        pytest.param("[server]\ndevice = 'tpu'", "no device 'tpu'", id="device"),
        pytest.param("[server]\nmemory = 'all'", "no memory 'all'", id="memory"),
        pytest.param("[weights]\nsvd = 'x'", "no weights called 'svd'", id="name"),
    ],
)
def test_what_it_may_not_say_is_one_sentence(here, environ, text, says):
    (here / "levitor.toml").write_text(text)
    with pytest.raises(ShotError) as refused:
        read_config(environ)
    assert says in refused.value.sentence
    assert refused.value.fix


def test_the_limit_of_a_silent_job_is_a_number(here, environ):
    (here / "levitor.toml").write_text("[server]\nstall_seconds = 1800")
    assert read_config(environ).stall_seconds == 1800


def test_a_file_that_is_named_and_not_there_is_one_sentence(here, environ):
    with pytest.raises(ShotError, match=r"gone\.toml cannot be read"):
        read_config({**environ, "LEVITOR_CONFIG": "gone.toml"})
