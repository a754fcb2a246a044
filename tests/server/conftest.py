"""Servers, peers and clients that are ended after the test."""

import pytest

from tests.server.support import HERE, Extension, Peer, ServerHere, ServerProcess


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """One server for all tests that do it no harm."""
    server = ServerProcess(tmp_path_factory.mktemp("server") / "state", "--chunk", "65536").start()
    yield server
    server.stop()


@pytest.fixture
def make_server(tmp_path):
    """Starts servers of the test's own; all are ended after it."""
    made = []

    def make(*arguments, state="state", **environment):
        server = ServerProcess(tmp_path / state, *arguments, environment=environment)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def connect():
    """Makes peers that are closed after the test."""
    made = []

    def make(server, *arguments, **keywords):
        made.append(Peer(server.endpoint, *arguments, **keywords))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def extension():
    """Makes clients of the extension that are closed after the test."""
    made = []

    def make(server, **parameters):
        endpoint = server if isinstance(server, str) else server.endpoint
        made.append(Extension(endpoint, **parameters))
        return made[-1]

    yield make
    for one in made:
        one.client.close()


@pytest.fixture
def make_server_here(tmp_path, monkeypatch):
    """Starts servers in threads of the test's process; their workers are processes as ever."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    made = []

    def make(*arguments):
        made.append(ServerHere(tmp_path / "state", *arguments))
        return made[-1]

    yield make
    for server in made:
        server.stop()
