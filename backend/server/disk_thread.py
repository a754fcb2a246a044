"""One thread for slow disk calls (hashing, fsync), so that the server's loop never blocks."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]
Callback = Callable[[Any, Exception | None], None]
"""Called with the result or the exception, in the thread of :meth:`DiskThread.run_callbacks`."""
Schedule = Callable[[Call, Callback], None]


def run_now(call: Call, callback: Callback) -> None:
    """Call it in this thread and pass the outcome on; the synchronous :data:`Schedule`."""
    try:
        value = call()
    except Exception as error:  # noqa: BLE001 - passed on
        callback(None, error)
    else:
        callback(value, None)


class DiskThread:
    """Runs calls one after another in a daemon thread.

    Attributes:
        socket: readable when a call has finished; for a poller.
    """

    def __init__(self) -> None:
        self.socket, self._wake = socket.socketpair()
        self.socket.setblocking(False)
        self._calls: queue.SimpleQueue[tuple[Call, Callback] | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="disk", daemon=True).start()

    def schedule(self, call: Call, callback: Callback) -> None:
        """Queue ``call``; :meth:`run_callbacks` passes its outcome to ``callback``."""
        self._calls.put((call, callback))

    def run_callbacks(self) -> None:
        """Run the callbacks of the calls that have finished; never waits."""
        with contextlib.suppress(BlockingIOError):
            self.socket.recv(4096)
        while not self._outcomes.empty():
            self._outcomes.get()()

    def close(self) -> None:
        """Start no further call; one that hangs in the system is not waited for."""
        self._calls.put(None)
        self.socket.close()

    def _run(self) -> None:
        while (given := self._calls.get()) is not None:
            call, callback = given
            run_now(
                call, lambda value, error, callback=callback: self._finished(callback, value, error)
            )
        self._wake.close()

    def _finished(self, callback: Callback, value: Any, error: Exception | None) -> None:
        self._outcomes.put(lambda: callback(value, error))
        with contextlib.suppress(OSError):  # the loop has closed its end
            self._wake.send(b"1")
