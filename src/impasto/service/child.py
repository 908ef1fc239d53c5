"""Child processes, which may be killed or crash at any time, their messages to their parent, and their confinement.

A child that decodes pictures is not trusted. Its messages are JSON and bytes, never pickles.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

_HEAD = 4
_ENDS_WITHIN = 1.0
"""Seconds to wait for the end of a child's process after its connection has ended."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


class ChildDiedError(Exception):
    """The child process has ended without an answer, or has sent an invalid message.

    Attributes:
        exit_code: exit code of the process, negative for a signal; None if the process has not ended.
    """

    def __init__(self, exit_code: int | None) -> None:
        """Report how the process has ended."""
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


def tell(connection: Connection, data: bytes = b"", **fields: Any) -> None:
    """Send ``fields``, which are JSON values, and ``data`` to the parent. The child calls this."""
    head = json.dumps(fields).encode()
    connection.send_bytes(len(head).to_bytes(_HEAD, "big") + head + data)


def _told(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the fields and the data of a message.

    Raises:
        ValueError: ``message`` does not come from `tell`.
    """
    end = _HEAD + int.from_bytes(message[:_HEAD], "big")
    fields = json.loads(message[_HEAD:end])
    if not isinstance(fields, dict):
        raise ValueError("the message has no fields")
    return fields, message[end:]


class Child:
    """A child process that does one task at a time. It is started on demand, and restarted after it was killed."""

    def __init__(
        self,
        main: Callable[..., None],
        *arguments: Any,
        understand: Callable[[dict[str, Any], bytes], Any],
        longest: int = 1 << 30,
    ) -> None:
        """Prepare a child that runs ``main`` with its end of a connection and ``arguments``.

        ``understand`` turns the fields and the data of a message, of at most ``longest`` bytes, into what `receive`
        returns. If it raises an error, the child counts as dead.
        """
        self._main = main
        self._understand = understand
        self._longest = longest
        self._arguments = arguments
        self._context = multiprocessing.get_context("spawn")
        self._process: BaseProcess | None = None
        self._talk: Thread | None = None
        self._works = False

    def start(self) -> None:
        """Start the process unless it runs."""
        if self._process is None or not self._process.is_alive():
            self.kill()
            self._connection, theirs = self._context.Pipe()
            process = self._context.Process(target=self._main, args=(theirs, *self._arguments), daemon=True)
            with theirs:
                process.start()
            self._process = process  # only after the start: a process that has not started cannot be killed

    def begin(self, work: Any, ends: Callable[[Any], bool]) -> None:
        """Send ``work`` to the child. Its last message about this work is the first for which ``ends`` returns True.

        A child that still does other work is killed, so that it cannot answer for this one.
        """
        if self._works:
            self.kill()
        self.start()
        self._works, self._ends = True, ends
        self._said = SimpleQueue[Any]()
        self._sent = Event()
        talk = (self._connection, work, self._sent, self._understand, ends, self._said, self._longest)
        self._talk = Thread(target=_talk, args=talk, name="child", daemon=True)
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
            assert self._process is not None
            self._process.join(_ENDS_WITHIN)
            raise ChildDiedError(self._process.exitcode)
        if self._ends(message):
            self._works = False
        return message

    def stop(self, seconds: float) -> None:
        """Ask the child to end its work. A child that has not ended it within ``seconds`` is killed."""
        deadline = time.monotonic() + seconds
        try:
            if self._sent.is_set():
                self._connection.send(None)
                while (left := deadline - time.monotonic()) > 0:
                    self.receive(left)
                    if not self._works:
                        return
        except (ChildDiedError, OSError):
            pass
        self.kill()

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
        self._works = False
        if self._process is not None:
            self._process.kill()
            self._process.join()
            if self._talk is not None:
                self._talk.join()
            self._process.close()
            self._connection.close()
            self._process = None


def confine(*, ends_with_thread: bool) -> None:
    """Forbid this process to gain privileges or dump core, and ignore Ctrl-C, which the parent handles.

    If ``ends_with_thread``, this process is killed as soon as the thread that started it ends for any reason.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if ends_with_thread:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _talk(
    connection: Connection,
    work: Any,
    sent: Event,
    understand: Callable[[dict[str, Any], bytes], Any],
    ends: Callable[[Any], bool],
    said: SimpleQueue[Any],
    longest: int,
) -> None:
    """Send ``work``, and put the child's messages into ``said``; put None if the child dies.

    This runs in a thread, because sending to a stopped child, or receiving half a message from it, blocks for ever.
    """
    try:
        connection.send(work)
        sent.set()
        while True:
            message = understand(*_told(connection.recv_bytes(longest)))
            said.put(message)
            if ends(message):
                return
    except Exception:  # any message of a child that is not trusted may fail to be understood, also for want of memory
        said.put(None)
