"""Pictures of strangers are decoded for the first time in a process that can do little, and is killed if it must be."""

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
"""The handing over takes as long as the decoding of a usual picture; and a picture that takes seconds stops nobody."""


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
    """Whether some of it may be transparent."""


@dataclass(frozen=True)
class Rejected:
    """Why a picture is not taken."""

    code: str
    text: str


class PictureCheck:
    """Decodes pictures in child processes, each of which has one at a time."""

    def __init__(self, limits: CheckLimits) -> None:
        """Take pictures within ``limits``; a child is started when it is needed."""
        self._limits = limits
        self._idle = SimpleQueue[Child]()  # in turn: all begin with the first pictures, and memory grows no more later
        for _ in range(_CHILDREN):
            self._idle.put(Child(_serve, limits))

    def check(self, data: bytes) -> Checked | Rejected:
        """Say what ``data`` is; no picture can do more harm than being rejected."""
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
        """End the children; whoever comes later starts one again."""
        children = [self._idle.get() for _ in range(_CHILDREN)]
        for child in children:
            child.kill()
            self._idle.put(child)


def _is_answer(message: object) -> bool:
    return isinstance(message, Checked | Rejected)


def _serve(connection: Connection, limits: CheckLimits) -> None:
    """Check what comes: the main function of the child."""
    from impasto.images import open_picture  # before there is little memory

    confine(ends_with_thread=False)  # a server's threads come and go; with its process, the connection ends
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
