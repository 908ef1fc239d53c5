"""Painting in a child process, which may be killed at any time because it holds no data that must be kept.

The parent sends a `PaintTask`, and receives `Progress` messages and then one `Painted` or `Failure`. It may send None
to stop the task. Networks stay in memory between jobs.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from impasto.errors import ImpastoError, OutOfMemoryError
from impasto.images import encode_picture, fit_size, resize_picture
from impasto.painting import Painting, paint
from impasto.service.child import confine, tell
from impasto.service.jobs import PREVIEW_SIDE
from impasto.service.retry import may_go_better

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection

    from impasto.engines.base import Engine
    from impasto.types import Picture, Step

_WARM_NETWORKS = 4
_SECONDS_BETWEEN_PREVIEWS = 0.5
_PREVIEWS_SHARE = 0.1
"""Largest share of the time that previews may take. Those of large pictures come less often."""
_SECONDS_BETWEEN_STEPS = 0.25
_NICE = 10
"""Niceness of the painting process. The low priority keeps requests on the same machine responsive."""


@dataclass(frozen=True)
class PaintTask:
    """A painting, with its pictures."""

    painting: Mapping[str, Any]
    """Return value of `impasto.painting.Painting.as_json`."""
    inputs: Mapping[str, bytes]
    """Picture files, by the keys that ``painting`` uses for them."""


@dataclass(frozen=True)
class Progress:
    """The progress of a task."""

    fraction: float
    preview: bytes | None
    """A small JPEG file, or None. Previews are sent less often than progress."""


@dataclass(frozen=True)
class Painted:
    """The result, as a file."""

    data: bytes


@dataclass(frozen=True)
class Failure:
    """Reason why a task has no result."""

    code: str
    text: str
    again: bool
    """True if another attempt may succeed."""


def understand(fields: Mapping[str, Any], data: bytes) -> Progress | Painted | Failure:
    """Return the message that `serve` sends as ``fields`` and ``data``.

    Raises:
        LookupError, TypeError, ValueError: they are not such a message.
    """
    if fields["kind"] == "progress":
        return Progress(min(1.0, max(0.0, float(fields["fraction"]))), data or None)
    if fields["kind"] == "painted":
        return Painted(data)
    return Failure(str(fields["code"]), str(fields["text"]), bool(fields["again"]))


def _tell(connection: Connection, message: Progress | Painted | Failure) -> None:
    if isinstance(message, Progress):
        tell(connection, message.preview or b"", kind="progress", fraction=message.fraction)
    elif isinstance(message, Painted):
        tell(connection, message.data, kind="painted")
    else:
        tell(connection, kind="failure", code=message.code, text=message.text, again=message.again)


def is_answer(message: object) -> bool:
    """Return whether ``message`` is the last one about a task."""
    return isinstance(message, Painted | Failure)


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The parent does not want the picture any more."""


class Painter:
    """Paints one job after the other."""

    def __init__(self, most: int = _WARM_NETWORKS) -> None:
        """Keep up to ``most`` networks in memory."""
        self._most = most
        self._networks: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    def paint(self, task: PaintTask, send: Any, is_stopped: Callable[[], bool] = lambda: False) -> Painted | Failure:
        """Paint ``task``; pass every `Progress` to ``send``. End after a step if ``is_stopped`` returns True."""
        try:
            return self._paint(task, _Watch(send, is_stopped))
        except _Stopped:
            return Failure("canceled", "it was stopped", again=False)
        except ImpastoError as error:
            return Failure(error.code, str(error), may_go_better(error))
        except MemoryError:
            return Failure(OutOfMemoryError.code, "there is not enough memory; choose a smaller size", True)

    def _paint(self, task: PaintTask, watch: _Watch) -> Painted:
        painting = Painting.of_json(task.painting)
        engine = self._engine(painting)
        picture = paint(painting, task.inputs, on_step=watch.step, engine=engine)
        if watch.noted:
            self._networks.popitem()  # without its GPU, which was full, it would never use it again
        return Painted(encode_picture(picture, painting.format or "png"))

    def _engine(self, painting: Painting) -> Engine:
        key = (painting.engine, *painting.options.network_key)
        engine = painting.create_engine(network=self._networks.get(key))
        self._networks[key] = engine.network
        self._networks.move_to_end(key)
        while len(self._networks) > self._most:
            self._networks.popitem(last=False)
        return engine


class _Watch:
    """Sends progress at a limited rate, and stops the run when asked to.

    Attributes:
        noted: True if a step had a note.
    """

    def __init__(self, send: Any, is_stopped: Callable[[], bool]) -> None:
        self._send = send
        self._is_stopped = is_stopped
        self.noted = False
        self._told = time.monotonic()
        self._next_preview = self._told + _SECONDS_BETWEEN_PREVIEWS

    def step(self, step: Step) -> None:
        if self._is_stopped():
            raise _Stopped
        self.noted |= bool(step.note)
        now = time.monotonic()
        if now - self._told < _SECONDS_BETWEEN_STEPS:
            return
        preview = None
        if now >= self._next_preview and step.fraction < 1:
            preview = _small(step.preview())
            taken = time.monotonic() - now
            self._next_preview = now + max(_SECONDS_BETWEEN_PREVIEWS, taken / _PREVIEWS_SHARE)
        self._send(Progress(step.fraction, preview))
        self._told = time.monotonic()


def _small(picture: Picture) -> bytes:
    size = fit_size(picture.width, picture.height, min(PREVIEW_SIDE, max(picture.width, picture.height)))
    return encode_picture(resize_picture(picture, *size), "jpeg", keep_profile=False, quality=80)


def serve(connection: Connection) -> None:
    """Paint tasks from ``connection`` until it is closed. This is the main function of the child process."""
    confine(ends_with_thread=True)
    os.nice(_NICE)
    painter = Painter()
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):  # the worker has ended
            return
        if task is not None:  # None stops a task, and came after its end
            _tell(connection, painter.paint(task, partial(_tell, connection), partial(_is_stopped, connection)))


def _is_stopped(connection: Connection) -> bool:
    if not connection.poll():
        return False
    connection.recv()
    return True
