"""The pictures and films of one ``impasto stylize``: their forecast, painting them, and writing all their files."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from impasto.cli.film import Film, is_film
from impasto.cli.run_files import RunFiles, checkpoint_path, is_finished
from impasto.engines.base import StreamingEngine
from impasto.errors import Interrupted
from impasto.files import check_folder
from impasto.images import PictureWriter, fit_size, output_format
from impasto.images.decoding import check_file
from impasto.images.encoding import picture_format
from impasto.images.limits import UNLIMITED
from impasto.optimization.memory import free_memory, resident_memory
from impasto.options import RuntimeOptions
from impasto.painting import CONTENT
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.cli.console import RunDisplay
    from impasto.cli.provenance import Painted, Provenance, Source
    from impasto.engines.base import Engine, Forecast, Style, StylizeInputs
    from impasto.gallery import StyleSource
    from impasto.images.limits import Limits
    from impasto.painting import Painting
    from impasto.types import Step

    Report = dict[str, object]
    """The fields for ``--json``."""

_ANY_PICTURE = Picture(np.zeros((1, 1, 3), np.float32))


@dataclass
class StylizeRun:
    """One painting for several contents."""

    painting: Painting
    sources: Mapping[str, StyleSource]
    styles: tuple[Style, ...]
    provenance: Callable[[Source], Provenance]
    """Makes the record for the result of a content image."""
    again: Painted | None
    """The result that is painted again."""
    resume: bool
    keeps_finished: bool
    """True to leave finished results as they are."""
    animation: Path | None
    losses: Path | None
    limits: Limits
    """Limits on the contents and the masks."""
    steady: float
    plan: bool
    prints_plan: bool
    stopped: Event = field(default_factory=Event, init=False)
    """Set to stop all pictures at their next step."""
    _engine: Engine | None = field(default=None, init=False)

    @property
    def threads(self) -> int:
        """Number of threads for each picture, as asked for; 0 if not."""
        options = self.painting.options
        return options.threads if isinstance(options, RuntimeOptions) else 0

    @property
    def paints_side_by_side(self) -> bool:
        """True if several pictures can be painted at once, each on a part of the processor's threads."""
        return self.painting.options.divides_the_processor and not self.plan

    def keeps(self, target: Path | None) -> bool:
        """Return True if ``target`` is a finished result that is to be left as it is."""
        return self.keeps_finished and target is not None and is_finished(target)

    def check(self, content: Source, target: Path | None) -> None:
        """Refuse a ``content`` that is not there, and a result that cannot be written, without decoding anything.

        Raises:
            ImpastoError: there is no such file, or the result cannot be written.
        """
        if self.keeps(target):
            return  # the content may be gone
        provenance, films = self.provenance(content), is_film(content.path, target)
        if content.path:
            check_file(content.path, UNLIMITED if films else self.limits)
        if films:
            self._film(provenance, target).check()
        elif target:
            PictureWriter(_ANY_PICTURE, 1, 1, picture_format(target), quality=provenance.quality).close()

    def prepare(self, content: Source, target: Path | None, display: RunDisplay) -> PreparedFilm | PictureRun:
        """Read ``content``, to be painted into ``target``, or to stdout if it is None.

        Raises:
            ImpastoError: a picture cannot be read, or the result cannot be written.
        """
        provenance = self.provenance(content)
        if is_film(content.path, target):
            film = self._film(provenance, target)
            output = film.check()
            check_folder(output)
            return PreparedFilm(film, output, self.painting, display)
        options = self.painting.options
        files = RunFiles(
            target,
            save_every=options.saved_every,
            animation=self.animation,
            losses=self.losses,
            resume=self.resume,
        )
        pictures = {CONTENT: content.path or sys.stdin.buffer.read(), **self.sources}
        inputs = self.painting.read(pictures, self.styles, limits=self.limits)
        size = fit_size(inputs.content.width, inputs.content.height, options.size)
        return PictureRun(self, inputs, files, Result(inputs.content.outline, target, size, provenance), display)

    def engine(self, display: RunDisplay) -> Engine:
        """Return the engine of pictures that are painted alone, which is created once.

        Raises:
            ImpastoError: the engine cannot be created.
        """
        if self._engine is None:
            self._engine = self.painting.create_engine(on_download=display.download)
        return self._engine

    def _film(self, provenance: Provenance, target: Path | None) -> Film:
        return Film(provenance, target, self.styles, self.steady, self.resume)


@dataclass(frozen=True)
class PreparedFilm:
    """A film whose result can be written."""

    film: Film
    target: Path
    painting: Painting
    display: RunDisplay

    def paint(self, engine: Engine) -> Report:
        """Paint the film."""
        began, painting = time.monotonic(), self.painting
        report = self.film.paint(self.target, painting.engine, engine, painting.options, self.display)
        return {**report, "seconds": round(time.monotonic() - began, 3)}


class Result:
    """The destination of one result, which is checked before anything is painted."""

    def __init__(self, outline: Picture, target: Path | None, size: tuple[int, int], provenance: Provenance) -> None:
        self.target = target
        self._form = output_format(target) if target else outline.format or "png"
        self._provenance = provenance
        self._made_of = provenance.metadata  # computed now, because the pictures may be gone later
        self.size = size
        self.metadata: Mapping[str, str] = {}
        with self.writer(outline, *size) as writer:
            self.encoding = writer.memory
        with self.writer(outline, 1, 1) as trial:
            trial.write(outline)
            trial.encode({})

    def writer(self, outline: Picture, width: int, height: int) -> PictureWriter:
        """Return an encoder for a picture of this size with the properties of ``outline``."""
        provenance = self._provenance
        return PictureWriter(
            outline, width, height, self._form, keep_profile=provenance.keep_profile, quality=provenance.quality
        )

    def finish(self, writer: PictureWriter, metadata: Mapping[str, str]) -> None:
        """Write the file, with ``metadata`` of the engine and the record of the pictures."""
        self.metadata = {**metadata, **self._made_of}
        if self.target is None:
            sys.stdout.buffer.write(writer.encode(self.metadata))
            sys.stdout.buffer.flush()
        else:
            writer.save(self.target, self.metadata)

    @property
    def report(self) -> Report:
        """The place and the size of the result."""
        width, height = self.size
        return {"output": str(self.target) if self.target else "-", "width": width, "height": height}


class PictureRun:
    """Paints one picture, and writes everything that belongs to it."""

    def __init__(
        self, run: StylizeRun, inputs: StylizeInputs, files: RunFiles, result: Result, display: RunDisplay
    ) -> None:
        self._run = run
        self._inputs = inputs
        self._files = files
        self._result = result
        self._display = display
        self._last: Step | None = None
        self._plan: Plan | None = None

    @property
    def pixels(self) -> int:
        """Number of pixels of the result."""
        width, height = self._result.size
        return width * height

    def paint(self, engine: Engine) -> Report:
        """Paint the picture, or plan it."""
        began, run = time.monotonic(), self._run
        if run.plan:
            self._forecast(engine)
        elif isinstance(engine, StreamingEngine):
            self._stream(engine)
        else:
            self._optimize(engine)
        if run.again and not run.plan:
            for part in run.again.changes(self._result.metadata):
                self._display.note(f"the {part} is another than then; the result may differ")
        return {**self._result.report, **self._report, "seconds": round(time.monotonic() - began, 3)}

    @property
    def _report(self) -> Report:
        if self._plan:
            return self._plan.report
        last = self._last
        # JSON has finite numbers only.
        losses = {name: loss if math.isfinite(loss) else None for name, loss in last.losses.items()} if last else {}
        return {"steps": last.done if last else 0, "losses": losses}

    def _forecast(self, engine: Engine) -> None:
        """Forecast what painting would take, without painting."""
        target = self._result.target
        folder = target.parent if target else Path(tempfile.gettempdir())
        self._plan = Plan(engine.forecast(self._inputs, folder), self._result.encoding)
        if self._run.prints_plan:
            print(f"{self._display.name}: {self._plan}")

    def _stream(self, engine: StreamingEngine) -> None:
        """Paint and encode strip by strip."""
        content = self._inputs.content
        metadata: Mapping[str, str] = {}
        with self._result.writer(content.outline, *self._result.size) as writer:
            for strip in engine.strips(self._inputs, on_step=self._step):
                writer.write(strip)
                metadata = strip.metadata
                del strip  # or it would stay in memory beside the next one
            self._result.finish(writer, metadata)

    def _optimize(self, engine: Engine) -> None:
        """Paint in many steps, with a checkpoint beside the result."""
        checkpoint, target = None, self._result.target
        if target:
            from impasto.optimization.checkpoint import Checkpoint

            checkpoint = Checkpoint(checkpoint_path(target), self._run.resume)
            if checkpoint.resume and not checkpoint.path.exists():
                self._display.note(f"there is no {checkpoint.path.name}; starting from the beginning")
        try:
            self._write(engine.stylize(self._inputs, on_step=self._step, checkpoint=checkpoint))
            if checkpoint:
                checkpoint.discard()
        except Interrupted as stop:
            self._write(stop.picture)
            self._display.note("interrupted; the best picture so far is written")
            raise

    def _step(self, step: Step) -> None:
        self._last = step
        self._display.step(step)
        self._files.step(step)
        if self._run.stopped.is_set():
            raise KeyboardInterrupt  # the system interrupts only the main thread

    def _write(self, picture: Picture) -> None:
        with self._result.writer(picture, picture.width, picture.height) as writer:
            writer.write(picture)
            self._result.finish(writer, picture.metadata)
        self._files.close(picture)


@dataclass(frozen=True)
class Plan:
    """The forecast of an engine, and the memory in bytes for encoding the result."""

    forecast: Forecast
    encoding: int

    @property
    def memory(self) -> int:
        """Maximum resident memory of the process in bytes."""
        return self.forecast.memory + self.encoding

    @property
    def report(self) -> Report:
        """The forecast as fields for ``--json``."""
        return {"plan": {**asdict(self.forecast), "memory": self.memory, "available": _available()}}

    def __str__(self) -> str:
        """Return the plan as one line."""
        found = self.forecast
        parts = [f"{self.memory / 1e9:.1f} GB of memory at most ({_available() / 1e9:.1f} GB available)"]
        if found.accelerator:
            parts.append(f"{found.accelerator / 1e9:.1f} GB of GPU memory")
        if found.tile:
            parts.append(f"tiles of {found.tile} pixels")
        if found.disk:
            parts.append(f"{found.disk / 1e9:.1f} GB of temporary disk space")
        parts.append(f"about {_duration(found.seconds)}")
        return ", ".join(parts)


def _available() -> int:
    """Return the memory in bytes that this process uses now plus what it can still get."""
    return free_memory() + resident_memory()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(timedelta(seconds=seconds) / timedelta(minutes=1))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
