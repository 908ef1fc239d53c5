"""Painting jobs in a process of its own, which may be killed at any time: it holds nothing that matters.

The parent sends `Work` and gets `Progress` and then a `Painted` or a `Failure`. Networks stay in memory between jobs.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import OPTIONS, create_engine
from impasto.engines.masks import alpha_mask
from impasto.errors import DownloadError, ImpastoError, OutOfMemoryError
from impasto.gallery import StyleCatalog
from impasto.images import encode_picture, fit_size, open_picture, read_picture, resize_picture
from impasto.service.confinement import confine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from impasto.engines.base import Engine
    from impasto.types import Picture, Step

_PREVIEW_SIDE = 384
_SECONDS_BETWEEN_PREVIEWS = 2.0
_SECONDS_BETWEEN_STEPS = 0.5
_NICE = 10
"""Painting takes what others leave: requests on the same machine are answered all the same."""


@dataclass(frozen=True)
class Work:
    """What to paint."""

    params: Mapping[str, Any]
    """'engine', its 'options', 'styles' (each a 'name' of the gallery or an 'input', and 'weight'), 'masks' (names of
    inputs, or 'alpha'), 'format'."""
    inputs: Mapping[str, bytes]
    """Picture files by the names that ``params`` use; 'content' is the content image."""


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    fraction: float
    preview: bytes | None
    """A small JPEG file, now and then."""


@dataclass(frozen=True)
class Painted:
    """The result, as a file."""

    data: bytes


@dataclass(frozen=True)
class Failure:
    """Why there is no result."""

    code: str
    text: str
    again: bool
    """Whether another attempt may go better."""


def is_answer(message: object) -> bool:
    """Return whether nothing more will be said about the work."""
    return isinstance(message, Painted | Failure)


class Painter:
    """Paints one job after the other."""

    def __init__(self, warm_networks: int) -> None:
        """Keep so many networks in memory."""
        self._most = warm_networks
        self._networks: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    def paint(self, work: Work, send: Any) -> Painted | Failure:
        """Do ``work``; give every `Progress` to ``send``."""
        try:
            return self._paint(work, send)
        except ImpastoError as error:
            return Failure(error.code, str(error), isinstance(error, (DownloadError, OutOfMemoryError)))
        except MemoryError:
            return Failure(OutOfMemoryError.code, "there is not enough memory; choose a smaller size", True)

    def _paint(self, work: Work, send: Any) -> Painted:
        params = work.params
        content = open_picture(work.inputs["content"])
        styles = tuple(_style(given, work.inputs) for given in params["styles"])
        watch = _Watch(send)
        engine = self._engine(params["engine"], params["options"])
        masks = tuple(
            alpha_mask(content) if name == "alpha" else open_picture(work.inputs[name])
            for name in params.get("masks", ())
        )
        picture = engine.stylize(StylizeInputs(content, styles, masks), on_step=watch.step)
        return Painted(encode_picture(picture, params["format"]))

    def _engine(self, name: str, options: Mapping[str, Any]) -> Engine:
        chosen = OPTIONS[name].parse(dict(options))
        key = (name, *chosen.network_key)
        engine = create_engine(name, chosen, network=self._networks.get(key))
        self._networks[key] = engine.network
        self._networks.move_to_end(key)
        while len(self._networks) > self._most:
            self._networks.popitem(last=False)
        return engine


class _Watch:
    """Sends steps, but not too many."""

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


def _style(given: Mapping[str, Any], inputs: Mapping[str, bytes]) -> Style:
    source = StyleCatalog().get(given["name"]) if "name" in given else read_picture(inputs[given["input"]])
    return Style(source, given.get("weight", 1.0))


def serve(connection: Connection, warm_networks: int) -> None:
    """Paint what comes through ``connection``, until it is closed: the main function of the child process."""
    confine(ends_with_thread=True)
    os.nice(_NICE)
    painter = Painter(warm_networks)
    while True:
        try:
            work = connection.recv()
        except (EOFError, OSError):  # the worker is gone
            return
        connection.send(painter.paint(work, connection.send))
