"""One thread for what takes the disk long, so that the loop answers its clients meanwhile."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]
Then = Callable[[Any, Exception | None], None]
"""Told what the call returned, or what it raised; in the thread of :meth:`Background.tend`."""
Later = Callable[[Call, Then], None]


def at_once(call: Call, then: Then) -> None:
    """Do a call where one may wait for it."""
    try:
        value = call()
    except Exception as error:  # noqa: BLE001 - handed on
        then(None, error)
    else:
        then(value, None)


class Background:
    """Does calls one after another in a thread of its own, which ends with the process.

    Attributes:
        socket: readable when an outcome has come.
    """

    def __init__(self) -> None:
        self.socket, self._wake = socket.socketpair()
        self.socket.setblocking(False)
        self._calls: queue.SimpleQueue[tuple[Call, Then] | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="disk", daemon=True).start()

    def later(self, call: Call, then: Then) -> None:
        """Do ``call`` in the thread, and hand its outcome to ``then`` at the next :meth:`tend`."""
        self._calls.put((call, then))

    def tend(self) -> None:
        """Hand on the outcomes that have come; never waits."""
        with contextlib.suppress(BlockingIOError):
            self.socket.recv(4096)
        while not self._outcomes.empty():
            self._outcomes.get()()

    def close(self) -> None:
        """Begin no further call; one that hangs in the system is left to it."""
        self._calls.put(None)
        self.socket.close()

    def _work(self) -> None:
        while (given := self._calls.get()) is not None:
            call, then = given
            at_once(call, lambda value, error, then=then: self._came(then, value, error))
        self._wake.close()

    def _came(self, then: Then, value: Any, error: Exception | None) -> None:
        self._outcomes.put(lambda: then(value, error))
        with contextlib.suppress(OSError):  # nobody listens any more
            self._wake.send(b"1")
