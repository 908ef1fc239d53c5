"""Checks of uploaded pictures. They are first decoded in a confined child process, which is killed if necessary."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from impasto.errors import ImageError, ImageLimitError, OutOfMemoryError
from impasto.images.limits import Limits
from impasto.service.child import Child, ChildDiedError
from impasto.service.confinement import confine

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_OPEN_FILES = 32
_CHILDREN = 2
"""Two, because sending a typical picture to a child takes as long as decoding it, and a slow picture must not block
the others."""


@dataclass(frozen=True, kw_only=True)
class CheckLimits:
    """Limits on time and memory for decoding a picture."""

    bytes: int
    pixels: int = 40_000_000
    longest_side: int = 12_000
    shortest_side: int = 16
    seconds: float = 15.0
    cpu_seconds: int = 10
    memory: int = 3 << 29
    """Address space of the process, in bytes: 1.5 GiB."""


@dataclass(frozen=True)
class Checked:
    """Properties of a picture that was checked."""

    width: int
    height: int
    format: str
    alpha: bool
    """True if parts of the picture may be transparent."""


@dataclass(frozen=True)
class Rejected:
    """Reason why a picture is rejected."""

    code: str
    text: str


class PictureCheck:
    """Decodes pictures in child processes, one picture at a time in each."""

    def __init__(self, limits: CheckLimits) -> None:
        """Accept pictures within ``limits``. The children are started on demand."""
        self._limits = limits
        self._idle = SimpleQueue[Child]()  # FIFO: all start with the first pictures; memory does not grow later
        for _ in range(_CHILDREN):
            self._idle.put(Child(_serve, limits))

    def check(self, data: bytes) -> Checked | Rejected:
        """Return the properties of the picture ``data``, or a rejection. No picture can do more harm than this."""
        limits = self._limits
        if len(data) > limits.bytes:
            return Rejected(
                ImageLimitError.code, f"the picture has {len(data):,} bytes; at most {limits.bytes:,} are taken"
            )
        child = self._idle.get()
        try:
            child.begin(data, _is_answer)
            answer: Checked | Rejected | None = child.receive(limits.seconds)
            if answer is None:
                child.kill()
                return Rejected("decode_timeout", f"the picture takes over {limits.seconds:g} seconds to decode")
            return answer
        except ChildDiedError:
            child.kill()
            return Rejected("decode_failed", "the picture cannot be decoded within the memory and time for it")
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """Kill the children. A later check starts them again."""
        children = [self._idle.get() for _ in range(_CHILDREN)]
        for child in children:
            child.kill()
            self._idle.put(child)


def _is_answer(message: object) -> bool:
    return isinstance(message, Checked | Rejected)


def _serve(connection: Connection, limits: CheckLimits) -> None:
    """Check pictures from ``connection``. This is the main function of the child process."""
    from impasto.images import open_picture  # before memory is limited

    confine(ends_with_thread=False)  # server threads are short-lived; the connection ends with the process
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            data = connection.recv()
        except EOFError:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime) + limits.cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
        try:
            opened = open_picture(
                data, limits=Limits(max_bytes=limits.bytes, max_pixels=limits.pixels, min_side=limits.shortest_side)
            )
            if max(opened.width, opened.height) > limits.longest_side:
                raise ImageLimitError(
                    f"image data is {opened.width}x{opened.height}; its longer side may have {limits.longest_side} "
                    "pixels; make it smaller"
                )
            answer: Checked | Rejected = Checked(
                opened.width, opened.height, opened.outline.format or "png", opened.alpha is not None
            )
            del opened
        except ImageError as error:
            answer = Rejected(error.code, str(error))
        except (MemoryError, OutOfMemoryError):
            answer = Rejected(ImageLimitError.code, "the picture needs too much memory; make it smaller")
        connection.send(answer)
