"""The pictures and films of one ``impasto stylize``: painting them, and writing all their files."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.film import Film, is_film
from impasto.cli.plan import Plan
from impasto.cli.run_files import RunFiles
from impasto.engines.base import StreamingEngine
from impasto.errors import Interrupted
from impasto.images import PictureWriter, fit_size, output_format
from impasto.painting import CONTENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.cli.console import RunDisplay
    from impasto.cli.provenance import Painted, Provenance, Source
    from impasto.engines.base import Engine, Style, StylizeInputs
    from impasto.gallery import StyleSource
    from impasto.painting import Painting
    from impasto.types import Picture, Step


@dataclass
class StylizeRun:
    """One painting for several contents, with one engine."""

    painting: Painting
    sources: Mapping[str, StyleSource]
    styles: tuple[Style, ...]
    provenance: Callable[[Source], Provenance]
    """The record in the result of a content."""
    again: Painted | None
    """The result that is painted again."""
    resume: bool
    animation: Path | None
    losses: Path | None
    steady: float
    plan: bool
    prints_plan: bool
    _engine: Engine | None = field(default=None, init=False)

    def paint(self, content: Source, target: Path | None, display: RunDisplay) -> dict[str, object]:
        """Paint ``content`` into ``target``, or to stdout; return the fields for ``--json``.

        Raises:
            ImpastoError: with one sentence about what is wrong.
        """
        began, provenance = time.monotonic(), self.provenance(content)
        if is_film(content.path):
            film = Film(provenance, target, self.styles, self.steady, self.resume)
            checked = film.check()
            made = self._made(display)
            report = film.paint(checked, self.painting.engine, made, self.painting.options, display)
            return {**report, "seconds": round(time.monotonic() - began, 3)}
        options = self.painting.options
        files = RunFiles(
            target,
            save_every=options.saved_every,
            animation=self.animation,
            losses=self.losses,
            resume=self.resume,
        )
        inputs = self.painting.read({CONTENT: content.path or sys.stdin.buffer.read(), **self.sources}, self.styles)
        size = fit_size(inputs.content.width, inputs.content.height, options.size)
        result = Result(inputs.content.outline, target, size, provenance)
        engine = self._made(display)
        run = PictureRun(inputs, files, result, display, self.resume)
        began = time.monotonic()
        if self.plan:
            run.plan(engine, show=self.prints_plan)
        elif isinstance(engine, StreamingEngine):
            run.stream(engine)
        else:
            run.paint(engine)
        if self.again and not self.plan:
            for part in self.again.changes(result.metadata):
                display.note(f"the {part} is another than then; the result may differ")
        return {**result.report, **run.report, "seconds": round(time.monotonic() - began, 3)}

    def _made(self, display: RunDisplay) -> Engine:
        if self._engine is None:
            self._engine = self.painting.create_engine(on_download=display.download)
        return self._engine


class Result:
    """The destination of one result, which is checked before anything is painted."""

    def __init__(self, outline: Picture, target: Path | None, size: tuple[int, int], provenance: Provenance) -> None:
        self.target = target
        self._form = output_format(target) if target else outline.format or "png"
        self._provenance = provenance
        self._made_of = provenance.metadata  # now: the pictures may be gone when this one is done
        self.size = size
        self.metadata: Mapping[str, str] = {}
        with self.writer(outline, *size) as writer:
            self.encoding = writer.memory
        with self.writer(outline, 1, 1) as trial:
            trial.write(outline)
            trial.encode({})

    def writer(self, outline: Picture, width: int, height: int) -> PictureWriter:
        """Return the encoder of a picture like ``outline``, of this size."""
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
    def report(self) -> dict[str, object]:
        """The fields for ``--json``."""
        width, height = self.size
        return {"output": str(self.target) if self.target else "-", "width": width, "height": height}


class PictureRun:
    """Painting one picture and writing everything that belongs to it."""

    def __init__(
        self, inputs: StylizeInputs, files: RunFiles, result: Result, display: RunDisplay, resume: bool
    ) -> None:
        self._inputs = inputs
        self._files = files
        self._result = result
        self._display = display
        self._resume = resume
        self._last: Step | None = None
        self._plan: Plan | None = None

    @property
    def report(self) -> dict[str, object]:
        """The fields for ``--json``."""
        if self._plan:
            return self._plan.report
        last = self._last
        # JSON has no number that is not finite.
        losses = {name: loss if math.isfinite(loss) else None for name, loss in last.losses.items()} if last else {}
        return {"steps": last.done if last else 0, "losses": losses}

    def plan(self, engine: Engine, *, show: bool) -> None:
        """Paint nothing, but find out what it would take."""
        target = self._result.target
        folder = target.parent if target else Path(tempfile.gettempdir())
        self._plan = Plan(engine.forecast(self._inputs, folder), self._result.encoding)
        if show:
            print(f"{self._display.name}: {self._plan}")

    def stream(self, engine: StreamingEngine) -> None:
        """Paint and encode strip by strip."""
        content = self._inputs.content
        metadata: Mapping[str, str] = {}
        with self._result.writer(content.outline, *self._result.size) as writer:
            for strip in engine.strips(self._inputs, on_step=self._step):
                writer.write(strip)
                metadata = strip.metadata
                del strip  # or it would stay in memory beside the next one
            self._result.finish(writer, metadata)

    def paint(self, engine: Engine) -> None:
        """Paint in many steps, of which a checkpoint is kept."""
        checkpoint, target = None, self._result.target
        if target:
            from impasto.optimization.checkpoint import Checkpoint

            checkpoint = Checkpoint(target.with_name(f"{target.name}.checkpoint"), self._resume)
            if self._resume and not checkpoint.path.exists():
                self._display.note(f"there is no {checkpoint.path.name}; starting from the beginning")
        try:
            self._write(engine.stylize(self._inputs, on_step=self._step, checkpoint=checkpoint))
        except Interrupted as stop:
            self._write(stop.picture)
            self._display.note("interrupted; the best picture so far is written")
            raise

    def _step(self, step: Step) -> None:
        self._last = step
        self._display.step(step)
        self._files.step(step)

    def _write(self, picture: Picture) -> None:
        with self._result.writer(picture, picture.width, picture.height) as writer:
            writer.write(picture)
            self._result.finish(writer, picture.metadata)
        self._files.close(picture)
