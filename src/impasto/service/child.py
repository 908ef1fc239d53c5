"""Child processes that may be stopped, or die, at any moment, as those see them who give them work."""

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
    """A process that is started when it is needed, and again after it was killed; it does one thing at a time."""

    def __init__(self, main: Callable[..., None], *arguments: Any) -> None:
        """Let the child run ``main`` with its end of a connection and ``arguments``."""
        self._main = main
        self._arguments = arguments
        self._context = multiprocessing.get_context("spawn")
        self._process: BaseProcess | None = None

    def begin(self, work: Any, ends: Callable[[Any], bool]) -> None:
        """Hand over ``work``; of what is said about it, the message that ``ends`` is true of is the last."""
        if self._process is None or not self._process.is_alive():
            self.kill()
            self._connection, theirs = self._context.Pipe()
            process = self._context.Process(target=self._main, args=(theirs, *self._arguments), daemon=True)
            with theirs:
                process.start()
            self._process = process  # once it runs: what has not begun cannot be ended
        self._said = SimpleQueue[Any]()
        self._talk = Thread(target=_talk, args=(self._connection, work, ends, self._said), name="child", daemon=True)
        self._talk.start()

    def receive(self, seconds: float) -> Any:
        """Return what the child says within so many ``seconds``; None if it says nothing.

        Raises:
            ChildDiedError: it has ended.
        """
        try:
            message = self._said.get(timeout=seconds)
        except Empty:
            return None
        if message is None:
            raise ChildDiedError
        return message

    def memory(self) -> int:
        """Return the child's resident memory in bytes; 0 where the system does not say."""
        try:
            assert self._process is not None
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it at once; it holds nothing that matters."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._talk.join()
            self._process.close()
            self._connection.close()
            self._process = None


def _talk(connection: Connection, work: Any, ends: Callable[[Any], bool], said: SimpleQueue[Any]) -> None:
    """Hand over ``work`` and pass on what is said about it; None if the child dies.

    In a thread: whoever sends to a child that is stopped, or receives half a message from one, waits for ever.
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
