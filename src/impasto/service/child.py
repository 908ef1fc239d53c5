"""The child process of a worker, as the worker sees it: it may be stopped, or die, at any moment."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from impasto.service.run import Failure, Painted, Progress, serve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from impasto.service.run import Work

_Message = Progress | Painted | Failure | None


class ChildDiedError(Exception):
    """The child process has ended without an answer."""


def _talk(connection: Connection, work: Work, said: SimpleQueue[_Message]) -> None:
    """Hand over ``work`` and pass on what is said about it; None if the child dies.

    In a thread: whoever sends to a child that is stopped, or receives half a message from one, waits for ever.
    """
    message: _Message = None
    try:
        connection.send(work)
        while not isinstance(message, Painted | Failure):
            message = connection.recv()
            said.put(message)
    except (EOFError, OSError):
        said.put(None)


class PaintProcess:
    """The child process; it is started when it is needed, and again after it was killed."""

    def __init__(self, warm_networks: int) -> None:
        """Let the child keep so many engines in memory."""
        self._warm_networks = warm_networks
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None

    def begin(self, work: Work) -> None:
        """Hand over ``work``."""
        if self._process is None or not self._process.is_alive():
            self.kill()
            self._connection, theirs = self._context.Pipe()
            self._process = self._context.Process(target=serve, args=(theirs, self._warm_networks), daemon=True)
            self._process.start()
            theirs.close()
        self._said = SimpleQueue[_Message]()
        self._talk = Thread(target=_talk, args=(self._connection, work, self._said), name="child", daemon=True)
        self._talk.start()

    def receive(self, seconds: float) -> Progress | Painted | Failure | None:
        """Return what the child says within so many ``seconds``.

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
