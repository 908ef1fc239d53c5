"""Painting in a child process. It may be killed at any time, as it holds no data that must be kept.

The parent sends a `PaintTask`. It receives `Progress` messages and then one `Painted` or `Failure`. Networks stay in
memory between jobs.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from impasto.errors import ImpastoError, OutOfMemoryError
from impasto.images import encode_picture, fit_size, resize_picture
from impasto.painting import Painting, paint
from impasto.service.confinement import confine
from impasto.service.retry import may_go_better

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from impasto.engines.base import Engine
    from impasto.types import Picture, Step

_PREVIEW_SIDE = 384
_SECONDS_BETWEEN_PREVIEWS = 2.0
_SECONDS_BETWEEN_STEPS = 0.5
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


def is_answer(message: object) -> bool:
    """Return whether ``message`` is the last one about a task."""
    return isinstance(message, Painted | Failure)


class Painter:
    """Paints one job after the other."""

    def __init__(self, warm_networks: int) -> None:
        """Keep up to ``warm_networks`` networks in memory."""
        self._most = warm_networks
        self._networks: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    def paint(self, task: PaintTask, send: Any) -> Painted | Failure:
        """Paint ``task``; pass every `Progress` to ``send``."""
        try:
            return self._paint(task, send)
        except ImpastoError as error:
            return Failure(error.code, str(error), may_go_better(error))
        except MemoryError:
            return Failure(OutOfMemoryError.code, "there is not enough memory; choose a smaller size", True)

    def _paint(self, task: PaintTask, send: Any) -> Painted:
        painting = Painting.of_json(task.painting)
        watch, engine = _Watch(send), self._engine(painting)
        picture = paint(painting, task.inputs, on_step=watch.step, engine=engine)
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
    """Sends progress at a limited rate."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._told = self._shown = time.monotonic()

    def step(self, step: Step) -> None:
        now = time.monotonic()
        if now - self._told < _SECONDS_BETWEEN_STEPS:
            return
        preview = None
        if now - self._shown >= _SECONDS_BETWEEN_PREVIEWS and step.fraction < 1:
            preview = _small(step.preview())
            self._shown = time.monotonic()
        self._send(Progress(step.fraction, preview))
        self._told = time.monotonic()


def _small(picture: Picture) -> bytes:
    size = fit_size(picture.width, picture.height, min(_PREVIEW_SIDE, max(picture.width, picture.height)))
    return encode_picture(resize_picture(picture, *size), "jpeg", keep_profile=False, quality=80)


def serve(connection: Connection, warm_networks: int) -> None:
    """Paint tasks from ``connection`` until it is closed. This is the main function of the child process."""
    confine(ends_with_thread=True)
    os.nice(_NICE)
    painter = Painter(warm_networks)
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):  # the worker has ended
            return
        connection.send(painter.paint(task, connection.send))
