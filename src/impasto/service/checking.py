"""Checks of uploaded pictures. Each is first decoded in a confined child process, which is killed if necessary."""

from __future__ import annotations

import resource
import signal
import sys
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from impasto.errors import BusyError, ImageError, ImageLimitError, OutOfMemoryError
from impasto.images.formats import SUFFIXES
from impasto.images.limits import Limits
from impasto.service.child import Child, ChildDiedError, confine, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection

_LONGEST_TEXT = 500
_LONGEST_ANSWER = 64 << 10
"""Largest answer of a child in bytes."""
_OPEN_FILES = 32
CHILDREN = 4
"""Pictures that are checked at once. No tenant gets all places, so that slow pictures do not delay those of others."""


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
    bit_depth: int
    alpha: bool
    """True if parts of the picture may be transparent."""


@dataclass(frozen=True)
class Rejected:
    """Reason why a picture is rejected."""

    code: str
    text: str


class PictureCheck:
    """Decodes pictures in child processes, one picture at a time in each."""

    def __init__(self, limits: CheckLimits, *, main: Callable[[Connection, CheckLimits], None] | None = None) -> None:
        """Accept pictures within ``limits``. The children are started on demand, with another ``main`` if given."""
        self._limits = limits
        # FIFO: the first pictures go to different children, so all are started early and memory use does not grow later
        self._idle = SimpleQueue[Child]()
        for _ in range(CHILDREN):
            self._idle.put(Child(main or _serve, limits, understand=_understand, longest=_LONGEST_ANSWER))

    def start(self) -> None:
        """Start the children, so that the first pictures need not wait for them."""
        for _ in range(CHILDREN):
            child = self._idle.get()
            try:
                child.start()
            finally:
                self._idle.put(child)

    def check(self, data: bytes) -> Checked | Rejected:
        """Return the properties of the picture ``data``, or a rejection, even if decoding it crashes or hangs.

        Raises:
            BusyError: the machine was too busy to decode the picture in time.
        """
        limits = self._limits
        if len(data) > limits.bytes:
            return Rejected(
                ImageLimitError.code, f"the picture has {len(data):,} bytes; at most {limits.bytes:,} are taken"
            )
        child = self._idle.get()
        try:
            answer = self._ask(child, data)
            # If the child was killed from outside, such as for lack of memory, the picture may be fine: try once more.
            return answer or self._ask(child, data) or _UNDECODED
        finally:
            self._idle.put(child)

    def _ask(self, child: Child, data: bytes) -> Checked | Rejected | None:
        """Return the answer of ``child``; None if it died."""
        limits = self._limits
        child.begin(data, _is_answer)
        try:
            answer: Checked | Rejected | None = child.receive(limits.seconds)
        except ChildDiedError as error:
            child.kill()
            return _UNDECODED if error.exit_code == -signal.SIGXCPU else None
        if answer is None:
            # Time ran out before the child reached its CPU limit, at which it would have been killed: the machine is
            # busy.
            child.kill()
            raise BusyError("the server is busy with other pictures; try again in a moment")
        return answer

    def close(self) -> None:
        """Kill the children. A later check starts them again."""
        children = [self._idle.get() for _ in range(CHILDREN)]
        for child in children:
            child.kill()
            self._idle.put(child)


_UNDECODED = Rejected("decode_failed", "the picture could not be decoded within the memory and time limits")


def _is_answer(message: object) -> bool:
    return isinstance(message, Checked | Rejected)


def _understand(fields: Mapping[str, Any], data: bytes) -> Checked | Rejected:
    """Return the answer in a child's message.

    Raises:
        LookupError, ValueError: the message is not an answer.
    """
    del data
    if "code" in fields:
        return Rejected(str(fields["code"]), str(fields["text"])[:_LONGEST_TEXT])
    if fields["format"] not in SUFFIXES.values():
        raise ValueError(f"{fields['format']!r} is not a format")
    numbers = {name: int(fields[name]) for name in ("width", "height", "bit_depth")}
    return Checked(**numbers, format=fields["format"], alpha=bool(fields["alpha"]))


def _serve(connection: Connection, limits: CheckLimits) -> None:
    """Check pictures from ``connection``. This is the main function of the child process."""
    from impasto.images import open_picture  # before memory is limited

    # Not tied to the thread that started it, which may end soon. When the server exits, the connection closes and the
    # loop below ends.
    confine(ends_with_thread=False)
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
                opened.width,
                opened.height,
                opened.outline.format or "png",
                opened.outline.bit_depth,
                opened.alpha is not None,
            )
            del opened
        except ImageError as error:
            answer = Rejected(error.code, str(error))
        except (MemoryError, OutOfMemoryError):
            answer = Rejected(ImageLimitError.code, "the picture needs too much memory; make it smaller")
        except Exception as error:  # a bug; its message could contain parts of the picture
            print(f"a picture cannot be checked: {type(error).__name__}", file=sys.stderr)  # noqa: T201 - no logging here
            answer = _UNDECODED
        tell(connection, **asdict(answer))
