"""Child processes that may be stopped or die at any moment, from the parent's side."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess


class ChildDiedError(Exception):
    """The child process has ended without an answer."""


class Child:
    """A child process that does one task at a time. It is started on demand, and restarted after it was killed."""

    def __init__(self, main: Callable[..., None], *arguments: Any) -> None:
        """Prepare a child that runs ``main`` with its end of a connection and ``arguments``."""
        self._main = main
        self._arguments = arguments
        self._context = multiprocessing.get_context("spawn")
        self._process: BaseProcess | None = None

    def begin(self, work: Any, ends: Callable[[Any], bool]) -> None:
        """Send ``work`` to the child. The first message for which ``ends`` is true is the last about this work."""
        if self._process is None or not self._process.is_alive():
            self.kill()
            self._connection, theirs = self._context.Pipe()
            process = self._context.Process(target=self._main, args=(theirs, *self._arguments), daemon=True)
            with theirs:
                process.start()
            self._process = process  # only after the start: a process that has not started cannot be killed
        self._said = SimpleQueue[Any]()
        self._talk = Thread(target=_talk, args=(self._connection, work, ends, self._said), name="child", daemon=True)
        self._talk.start()

    def receive(self, seconds: float) -> Any:
        """Return the child's next message, or None if there is none within ``seconds``.

        Raises:
            ChildDiedError: the child has ended.
        """
        try:
            message = self._said.get(timeout=seconds)
        except Empty:
            return None
        if message is None:
            raise ChildDiedError
        return message

    def memory(self) -> int:
        """Return the child's resident memory in bytes; 0 if the system does not report it."""
        try:
            assert self._process is not None
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """Kill the child at once; it holds no data that must be kept."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._talk.join()
            self._process.close()
            self._connection.close()
            self._process = None


def _talk(connection: Connection, work: Any, ends: Callable[[Any], bool], said: SimpleQueue[Any]) -> None:
    """Send ``work``, and put the child's messages into ``said``; put None if the child dies.

    This runs in a thread, because sending to a stopped child, or receiving half a message from it, blocks for ever.
    """
    try:
        connection.send(work)
        while True:
            message = connection.recv()
            said.put(message)
            if ends(message):
                return
    except (EOFError, OSError):
        said.put(None)
