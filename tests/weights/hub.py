"""A model hub on the loopback interface: enough of its API for its own library to fetch from it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0f" * 20
LARGE = 1000
"""Files of this many bytes are kept apart from git, as the hub keeps weights."""


@contextmanager
def serve(
    repository: str, files: Mapping[str, bytes], status: int = 200, commit: str = COMMIT
) -> Iterator[Hub]:
    """Serve one repository until the block ends; with another status, refuse everything."""
    hub = Hub(repository, files, status, commit)
    thread = threading.Thread(target=hub.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class Hub(ThreadingHTTPServer):
    """One commit is the newest, and the only one.

    Attributes:
        asked: the paths of files that were downloaded.
        damaged: what is sent in the place of a file.
    """

    daemon_threads = True

    def __init__(
        self, repository: str, files: Mapping[str, bytes], status: int, commit: str
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository, self.files, self.status = repository, files, status
        self.commit = commit
        self.asked: list[str] = []
        self.damaged: dict[str, bytes] = {}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, format, *args):
        pass

    def _answer(self, body):
        hub, path = self.server, self.path.partition("?")[0]
        api, files = f"/api/models/{hub.repository}", f"/{hub.repository}/resolve/{hub.commit}/"
        if hub.status != 200:
            self._send(b"{}", {"X-Error-Code": "GatedRepo"}, body, hub.status)
        elif path in (api, f"{api}/revision/main", f"{api}/revision/{hub.commit}"):
            self._send(json.dumps({"id": hub.repository, "sha": hub.commit}).encode(), {}, body)
        elif path == f"{api}/tree/{hub.commit}":
            tree = [_entry(name, data) for name, data in hub.files.items()]
            self._send(json.dumps(tree).encode(), {}, body)
        elif path.startswith((f"{api}/tree/", f"{api}/revision/")):
            self._send(b"{}", {"X-Error-Code": "RevisionNotFound"}, body, 404)
        elif path.startswith(files) and (name := path.removeprefix(files)) in hub.files:
            if body:
                hub.asked.append(name)
            data = hub.files[name]
            headers = {"ETag": f'"{_name_of(data)}"', "X-Repo-Commit": hub.commit}
            self._send(hub.damaged.get(name, data), headers, body)
        else:
            self._send(b"{}", {"X-Error-Code": "EntryNotFound"}, body, 404)

    def _send(self, data, headers, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


def _entry(name: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(data), "oid": _git(data)}
    if len(data) < LARGE:
        return entry
    return entry | {"lfs": {"oid": _name_of(data), "size": len(data), "pointerSize": 130}}


def _name_of(data: bytes) -> str:
    """By which the hub knows a content."""
    return _git(data) if len(data) < LARGE else hashlib.sha256(data).hexdigest()


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
